"""One run of a search: search, stop what nothing promotes, confirm the best on fresh seeds."""

import math
import time
from functools import partial
from typing import NamedTuple

import sqlalchemy as sa
from rich.console import Console

from fsmd.data.schema import Dataset
from fsmd.errors import UserError, meant
from fsmd.terminal import tell
from search_spaces.spaces import SPACES, space
from studies.auto.plan import NO_DEADLINES, Deadlines
from studies.costs import Costs
from studies.definition import Search
from studies.machine import machine
from studies.objectives import end_costs, named
from studies.options import check_range
from studies.planner.planner import Planner
from studies.planner.progress import LiveProgress
from studies.search.agenda import SearchAgenda, resumed
from studies.search.attempt import Attempt, AttemptState, objectives_of, space_of
from studies.search.confirmation import baseline_cells, begun, confirmation, to_confirm
from studies.search.meter import Meter, limits_of
from studies.search.proposals import SAMPLERS, grid
from studies.search.pruning import PRUNERS
from studies.store.mirror import Mirror, open_mirror
from studies.store.records import Plan, StudyRecord
from studies.store.runs import known_runs
from studies.workers.protocol import Workers


class SearchOutcome(NamedTuple):
    """How a search went, its confirmation included."""

    attempts: tuple[Attempt, ...]
    confirmed: tuple[str, ...]
    """Names of the attempts that were to be confirmed on fresh seeds."""
    trained: int
    unfinished: tuple[int, int]
    """Configurations, and trainings on fresh seeds, for which the time did not suffice."""
    failed: int
    """Trainings that failed by themselves, and those that the next run tries again."""
    lost: int


def check_search(search: Search, plan: Plan) -> None:
    """Refuse what no search can do on the data of a plan, before anything is stored.

    Raises UserError that names the alternatives.
    """
    for name, value, known in (
        ("space", search.space, SPACES),
        ("sampler", search.sampler, SAMPLERS),
        ("pruner", search.pruner, PRUNERS),
    ):
        if value not in known:
            raise UserError(
                f"--{name} must be one of {' '.join(known)}; got {value!r}{meant(value, known)}"
            )
    named(search.objectives, plan.tasks)
    for name, number, least, most in (
        ("trials", search.trials, 1, 10**6),
        ("timeout", search.timeout, 1, 10**9),
        ("max-params", search.max_params, 1, 10**15),
        ("max-latency", search.max_latency, 0, 10**9),
        ("confirm", search.confirm, 0, 1000),
    ):
        if number is not None:
            check_range(f"--{name}", number, least, most)
    if search.pruner == "topk" and search.timeout is not None:
        raise UserError(
            "--pruner topk goes on with the best once all have been tried, so it takes "
            "--trials and no --timeout; --pruner halving takes both"
        )
    if search.sampler == "grid":
        grid(space(search.space, plan.tasks, plan.settings))


def search_mirror(engine: sa.Engine, record: StudyRecord) -> Mirror:
    """The Optuna study of a stored search."""
    objectives, tasks = objectives_of(record), record.plan.tasks
    axes = {choice.name: choice.domain for choice in space_of(record).choices}
    ends = end_costs(objectives)
    return open_mirror(
        engine, record.name, tasks, objectives, axes, end_costs=ends, is_search=True
    )


def run_search(
    record: StudyRecord,
    data: Dataset,
    planner: Planner,
    console: Console,
    deadlines: Deadlines = NO_DEADLINES,
    thinker: Workers | None = None,
) -> SearchOutcome:
    """Search, stop what nothing promotes, and confirm the front on fresh seeds.

    record: a stored search, as `check_search` lets it pass. planner: with `search_mirror`'s
    mirror. console: where progress and notices go. deadlines: an automatic search's. thinker:
    where the sampler is asked, so that it has not to wait for the planner's workers.

    Raises UserError where no configuration keeps the limits.
    """
    search, engine, tasks = record.search, planner.engine, record.plan.tasks
    objectives = objectives_of(record)
    notify = partial(tell, console)
    asked_before = [o.key for o in objectives if o.asked == "before"]
    costs = Costs(engine, machine(), notify)
    try:
        meter = Meter(limits_of(search), asked_before, data.ref, costs)
        margins = tuple(objective.margin for objective in objectives)
        agenda = SearchAgenda(
            planner=planner,
            record=record,
            data=data.ref,
            space=space_of(record),
            pruner=PRUNERS[search.pruner](record.plan.settings.epochs, margins),
            allowed=meter.allowed,
            costs=meter.costs,
            thinker=thinker,
            deadline=min(time.monotonic() + (search.timeout or math.inf), deadlines.search),
            attempts=resumed(engine, record, data.ref, planner.retry_failed),
        )
        planner.deadline = deadlines.end
        if search.auto is not None:
            agenda.repair()
            _baselines_first(record, data, planner, console)
        planner.deadline = deadlines.search
        with LiveProgress(console, search.trials, planner.at_once, tasks) as planner.listen:
            agenda.repair()
            planner.follow(agenda)
            agenda.stop_the_rest()
        planner.deadline = deadlines.end
    finally:
        costs.close()
    tell_exhausted(agenda, console)
    known = begun(engine, record)
    points = search.auto.points if search.auto else None
    names = to_confirm(agenda.attempts, known, points) if search.confirm else ()
    cells = confirmation(record, data.ref, agenda.attempts, names, search.confirm)
    simple = baseline_cells(record, data.ref, known) if names else ()
    if cells:
        beside = f", beside {len({cell.arm for cell in simple})} baselines," if simple else ""
        tell(
            console,
            f"confirming {len(names)} configurations{beside} on {search.confirm} fresh seeds",
        )
    cells += simple
    with LiveProgress(console, len(cells), planner.at_once, tasks) as planner.listen:
        fresh = planner.run(cells, agenda.waiting)
    ends = [attempt.state for attempt in agenda.attempts]
    failed = fresh.failed + ends.count(AttemptState.FAILED)
    lost = fresh.lost + ends.count(AttemptState.LOST)
    tried = len(ends) - ends.count(AttemptState.PAUSED)
    return SearchOutcome(
        attempts=tuple(agenda.attempts),
        confirmed=names,
        trained=len(planner.attempts),
        unfinished=(0 if agenda.exhausted else max(0, search.trials - tried), fresh.cut),
        failed=failed,
        lost=lost,
    )


def _baselines_first(
    record: StudyRecord, data: Dataset, planner: Planner, console: Console
) -> None:
    """Train the baselines on the fresh seeds before anything is searched."""
    cells = baseline_cells(record, data.ref)
    statuses = known_runs(planner.engine, [cell.training.id for cell in cells])
    left = [cell for cell in cells if not planner.is_final(statuses.get(cell.training.id))]
    if left:
        tasks = record.plan.tasks
        tell(console, f"training {len(record.search.baselines)} baselines")
        with LiveProgress(console, len(left), planner.at_once, tasks) as planner.listen:
            planner.follow(planner.in_order(left))


def tell_exhausted(agenda: SearchAgenda, console: Console) -> None:
    """Say that there was less to try than was asked for; UserError if there was nothing."""
    if not agenda.exhausted:
        return
    search = agenda.record.search
    given = " and ".join(f"--max-{key} {limit}" for key, limit in limits_of(search).items())
    if not agenda.attempts:
        raise UserError(
            f"none of the {len(agenda.rejected)} models tried from the space "
            f"{search.space!r} keeps {given}; raise the limit, or choose another --space"
        )
    tell(
        console,
        f"tried {len(agenda.attempts)} of {search.trials} configurations: no other was found "
        f"in the space {search.space}" + (f" that keeps {given}" if given else ""),
    )
