"""One run of the multi-objective search, from what the user asked to the report."""

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import optuna
import sqlalchemy as sa
from rich.console import Console

from fsmd.data.files import cache_root
from fsmd.data.schema import Schema
from fsmd.errors import UserError
from fsmd.task import DataRef
from search_spaces import spaces
from search_spaces.spaces import Space
from studies.definition import MARGIN
from studies.execute import Planner, open_study
from studies.executors import LocalWorkers
from studies.front import best_first, on_front
from studies.meter import COSTS, Limits, Meter
from studies.planning import name_on
from studies.progress import LiveProgress
from studies.proposals import SAMPLERS, grid
from studies.provenance import machine, provenance
from studies.pruning import PRUNERS, pruner
from studies.search import Candidate, Recipe, Search, confirmation, resumed
from studies.settings import SETTINGS
from studies.storage import StudyRecord
from studies.worker import run_task

NAME = "pareto"
DEFAULT_SPACE, DEFAULT_DATA = "paper", "planted"
TITLE = "Architecture search for both tasks"
QUESTION = (
    "Which architectures are on the front of the two tasks, and does it hold on fresh seeds?"
)
NEAR = MARGIN
"""AUC by which a point may lie behind the front to be confirmed with it."""
LEAST, ENOUGH, MOST = 6, 10, 20
"""Points confirmed, the references not counted: at least the first number; what lies near the
front up to the second; the front up to the third, its ends always."""
REFERENCES = ("fsmd", "fs", "mmoe", "paper's best", "deep fsmd")
"""The paper's models that are confirmed too, where the search has them; see `references`."""


@dataclass(frozen=True)
class SearchOptions:
    """What only a search is asked for."""

    space: str = DEFAULT_SPACE
    trials: int = 60
    sampler: str = "gp"
    pruner: str = "halving"
    timeout: float | None = None
    objectives: str = "auc,auc"
    max_params: int | None = None
    max_latency: float | None = None
    confirm: int = 5

    @property
    def cost(self) -> str | None:
        """The third objective, if there is one."""
        return self.objectives.split(",")[2] if self.objectives.count(",") == 2 else None

    @property
    def limits(self) -> Limits:
        """What is asked of a configuration's cost."""
        return Limits(self.cost, self.max_params, self.max_latency)

    @property
    def sought(self) -> dict[str, str | float | None]:
        """What the front is of, by the options' names: fixed for a search."""
        return {"space": self.space, "objectives": self.objectives,
                "max-params": self.max_params, "max-latency": self.max_latency}  # fmt: skip

    @property
    def method(self) -> dict[str, str | float]:
        """How it is sought, by the options' names: may change when the search goes on."""
        timeout = {} if self.timeout is None else {"timeout": self.timeout}
        return {"sampler": self.sampler, "pruner": self.pruner, "trials": self.trials,
                "confirm": self.confirm, **timeout}  # fmt: skip

    def check(self) -> None:
        """Refuse what no search can do; UserError names the alternatives."""
        for name, value, known in (
            ("space", self.space, spaces.names()),
            ("sampler", self.sampler, SAMPLERS),
            ("pruner", self.pruner, PRUNERS),
            ("objectives", self.objectives, ("auc,auc", *(f"auc,auc,{c}" for c in COSTS))),
        ):
            if value not in known:
                raise UserError(f"--{name} must be one of {' '.join(known)}; got {value!r}")
        for name, number, least in (
            ("trials", self.trials, 1), ("timeout", self.timeout, 1),
            ("max-params", self.max_params, 1), ("max-latency", self.max_latency, 0),
            ("confirm", self.confirm, 0),
        ):  # fmt: skip
            if number is not None and not number >= least:
                raise UserError(f"--{name} must be at least {least}; got {number}")
        if self.pruner == "topk" and self.timeout is not None:
            raise UserError(
                "--pruner topk goes on with the best once all have been tried, so it takes "
                "--trials and no --timeout; --pruner halving takes both"
            )


def stored_name(space: str, objectives: str, data: str) -> str:
    """The name of a search that is not given one: other questions are kept apart."""
    parts = (NAME, *([space] if space != DEFAULT_SPACE else ()), *objectives.split(",")[2:])
    return name_on("-".join(parts), data, DEFAULT_DATA)


def check_grid(options: SearchOptions, schema: Schema) -> None:
    """Refuse a grid that is too large or has no end, before anything is trained for it."""
    if options.sampler == "grid":
        grid(spaces.space(options.space, SETTINGS[schema.name].applied, schema.funnel))


def references(levels: Collection[str]) -> tuple[str, ...]:
    """Those of `REFERENCES` that are there; FS only where the data makes FSMD the same model."""
    return tuple(
        name for name in REFERENCES if name in levels and not (name == "fs" and "fsmd" in levels)
    )


def space_of(record: StudyRecord, funnel: bool) -> Space:
    """The space of a stored search."""
    trained = SETTINGS[record.data.partition(":")[0]].applied
    return spaces.space(str(record.settings["space"]), trained, funnel)


def recipe_of(record: StudyRecord, data: DataRef) -> Recipe:
    """What a stored search's trainings share."""
    s = record.settings
    return Recipe(data, tuple(record.data_facts["tasks"]), s["epochs"], s["patience"],
                  s["device"], s["seed"])  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How a search went."""

    candidates: tuple[Candidate, ...]
    confirmed: tuple[str, ...]
    trained: int
    failed: int


def search(
    engine: sa.Engine,
    record: StudyRecord,
    data: DataRef,
    options: SearchOptions,
    workers: int,
    retry_failed: bool,
    console: Console,
) -> Outcome:
    """Search, stop what nothing promotes, and confirm the front on fresh seeds."""
    recipe = recipe_of(record, data)
    space = space_of(record, bool(record.data_facts["funnel"]))
    study = open_study(engine, record.name, recipe.tasks, options.cost)
    executor = LocalWorkers(workers)
    tell = partial(console.print, markup=False)
    meter = Meter(options.limits, data, engine, machine(), tell)
    started = time.monotonic()
    try:
        with LiveProgress(console, options.trials, workers, executor.messages) as progress:
            planner = Planner(
                engine=engine, study=study, tasks=recipe.tasks, executor=executor, work=run_task,
                checkpoints=cache_root() / "checkpoints", provenance=provenance(recipe.device),
                slots=workers, retry_failed=retry_failed, listen=progress,
            )  # fmt: skip
            agenda = Search(
                planner, space, recipe, options.sampler, pruner(options.pruner, recipe.epochs),
                options.trials, meter.allowed, meter.objective,
                started + options.timeout if options.timeout else float("inf"),
                resumed(engine, study, space, recipe, retry_failed),
            )  # fmt: skip
            progress.had(sum(c.state == "ended" for c in agenda.candidates))
            planner.follow(agenda)
            agenda.stop_the_rest()
        tell_exhausted(agenda, options, console)
        levels = to_confirm(agenda.candidates, begun(study)) if options.confirm else ()
        cells = confirmation(recipe, agenda.candidates, levels, options.confirm)
        failed = sum(c.failed for c in agenda.candidates)
        if cells:
            console.print(
                f"confirming {len(levels)} configurations on {options.confirm} fresh seeds"
            )
            with LiveProgress(console, len(cells), workers, executor.messages) as progress:
                planner.listen = progress
                failed += planner.run(cells).failed
    finally:
        executor.shutdown(cancel_futures=True)
        meter.close()
    return Outcome(tuple(agenda.candidates), levels, len(planner.attempts), failed)


def tell_exhausted(agenda: Search, options: SearchOptions, console: Console) -> None:
    """Say that there was less to try than was asked for; UserError if there was nothing."""
    if not agenda.exhausted:
        return
    limits = {"--max-params": options.max_params, "--max-latency": options.max_latency}
    given = " and ".join(f"{flag} {n}" for flag, n in limits.items() if n is not None)
    if not agenda.candidates:
        raise UserError(
            f"none of the {len(agenda.rejected)} models tried from the space "
            f"{options.space!r} keeps {given}; raise the limit, or choose another --space"
        )
    console.print(
        f"tried {len(agenda.candidates)} of {options.trials} configurations: no other was found "
        f"in the space {options.space}" + (f" that keeps {given}" if given else "")
    )


def begun(study: optuna.Study) -> frozenset[str]:
    """Levels that were trained on fresh seeds before."""
    trials = study.get_trials(deepcopy=False)
    return frozenset(
        trial.user_attrs["level"] for trial in trials if trial.user_attrs.get("replicate", 0) > 0
    )


def to_confirm(candidates: Iterable[Candidate], begun: Collection[str] = ()) -> tuple[str, ...]:
    """What is trained again on fresh seeds, the best first, then the references.

    The front (`MOST` points of it, the best of each objective first), what lies within `NEAR` of
    it (up to `ENOUGH` points in all), and, since a seed may hide the best ones, the next ranks up
    to `LEAST` points. References count even where they were stopped. Levels that have fresh seeds
    already get as many as the others, wherever they stand by now: what is compared must be paired.
    """
    candidates = [c for c in candidates if c.points and not c.failed]
    ended = [c for c in candidates if c.state == "ended"]
    if not ended:
        return ()
    points_NM = np.array([c.curve.stands for c in ended])
    front_N, near_N = on_front(points_NM), on_front(points_NM, NEAR)
    ends = [int(i) for i in dict.fromkeys(points_NM.argmax(axis=0))]
    order = [*ends, *(i for i in best_first(points_NM) if i not in ends)]
    front = [i for i in order if front_N[i]][:MOST]
    near = [i for i in order if near_N[i] and not front_N[i]][: max(0, ENOUGH - len(front))]
    found = [*front, *near]
    rest = [i for i in order if i not in found][: max(0, LEAST - len(found))]
    levels = [ended[i].cell.level for i in (*found, *rest)]
    paper = references([c.cell.level for c in candidates])
    named = [c.cell.level for c in candidates if c.cell.level in {*paper, *begun}]
    return tuple(dict.fromkeys([*levels, *named]))
