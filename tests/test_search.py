"""A search hands out one step after the other, forgets nothing, and trains nothing twice."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState
from rich.console import Console

from fsmd.config import FSMDConfig
from fsmd.errors import UserError
from fsmd.task import DataRef, Measurement, TrainingResult, TrainingTask
from search_spaces import spaces
from search_spaces.spaces import Space
from studies import pareto, storage
from studies.execute import ATTEMPTS, Planner, Queue, Step, open_study
from studies.front import chosen
from studies.meter import Limits, Meter
from studies.pareto import ENOUGH, MOST, SearchOptions, tell_exhausted, to_confirm
from studies.planning import METHODS, differences, going_on
from studies.proposals import Tried, propose
from studies.pruning import NoPruning, Pruner, SuccessiveHalving, TopK
from studies.search import Candidate, Recipe, Search, confirmation, resumed
from studies.settings import SETTINGS
from studies.storage import Provenance, StudyRecord

TASKS = ("click", "long_view")
EPOCHS = 6
HALVING = SuccessiveHalving(EPOCHS, evidence=None)
"""Stops from the first: of a few trainings none have ended yet."""
FEW = IntDistribution(2, 4, step=2)


def small_space(name: str = "paper") -> Space:
    return spaces.space(name, SETTINGS["planted"].applied, funnel=True)


def curve_of(task: TrainingTask) -> list[tuple[float, float]]:
    """Figures that depend on the task alone: it learns for some epochs, then gets worse."""
    draw = np.random.default_rng(int(task.id[:8], 16))
    level, best = draw.uniform(0.6, 0.7, 2), draw.integers(2, EPOCHS + 2)
    return [
        (float(level[0] - 0.01 * abs(e - best)), float(level[1] - 0.01 * abs(e - best)))
        for e in range(1, EPOCHS + 1)
    ]


def trained(task: TrainingTask, until: int | None) -> TrainingResult:
    """What `train` would return, with its early stopping."""
    curve = curve_of(task)
    means = [sum(point) for point in curve]
    end = next(
        (e for e in range(1, EPOCHS + 1) if e - 1 - int(np.argmax(means[:e])) >= task.patience),
        EPOCHS,
    )
    epochs = min(end, until or EPOCHS)
    best = int(np.argmax(means[:epochs])) + 1
    measurements = [
        Measurement(e, "valid", name, "auc", curve[e - 1][k])
        for e in range(1, epochs + 1)
        for k, name in enumerate(TASKS)
    ]
    if epochs == end:
        measurements += [Measurement(best, "test", t, "auc", 0.5) for t in TASKS]
    return TrainingResult(
        tuple(measurements), dict.fromkeys(TASKS, best), epochs, epochs == end, 0.1, 10
    )


class Killed(BaseException):
    """The planner dies here."""


Work = Callable[[TrainingTask, Path, int | None], TrainingResult]


@dataclass
class Lab:
    """A database, a search in it, and work that counts."""

    folder: Path
    engine: sa.Engine
    space: Space
    work: list[tuple[str, int | None]] = field(default_factory=list)
    events: list[str] = field(default_factory=list)

    def recipe(self) -> Recipe:
        return Recipe(DataRef("planted", "hash", Path("here")), TASKS, EPOCHS, 3, "cpu", 0)

    def search(
        self,
        trials: int = 12,
        rule: Pruner | None = None,
        slots: int = 1,
        die_at: int | None = None,
        stop: bool = True,
        name: str = "pareto",
        work: Work | None = None,
        **options: Any,
    ) -> Search:
        """Follow a search to its end, or until the planner dies at its n-th event."""
        left = [die_at]

        def listen(event: Any) -> None:
            if event.cell is not None:
                self.events.append(event.kind)
                if left[0] is not None:
                    left[0] -= 1
                    if left[0] < 0:
                        raise Killed

        def counted(task: TrainingTask, checkpoint: Path, until: int | None) -> TrainingResult:
            self.work.append((task.id, until))
            return trained(task, until)

        if storage.find_study(self.engine, name) is None:
            record = StudyRecord(name, pareto.NAME, "planted", {"arms": {}}, {}, storage.now())
            storage.insert_study(self.engine, record)
        cost = "params" if "cost" in options else None
        study = open_study(self.engine, name, TASKS, cost)
        with ThreadPoolExecutor(slots) as executor:
            planner = Planner(
                self.engine, study, TASKS, executor, work or counted, self.folder,
                Provenance({"torch": "1"}, "a machine"), slots, listen=listen,
            )  # fmt: skip
            found = Search(
                planner, self.space, self.recipe(), options.pop("sampler", "tpe"),
                rule or HALVING, trials,
                candidates=resumed(self.engine, study, self.space, self.recipe()), **options,
            )  # fmt: skip
            planner.follow(found)
            if stop:
                found.stop_the_rest()
        return found

    def study(self, name: str = "pareto") -> optuna.Study:
        return open_study(self.engine, name, TASKS)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    engine = storage.open_engine(f"sqlite:///{tmp_path}/studies.db", create=True)
    return Lab(tmp_path, engine, small_space())


def test_the_papers_models_come_first_and_nothing_is_trained_twice(lab: Lab) -> None:
    found = lab.search(trials=30, slots=2)
    assert [c.cell.level for c in found.candidates][:2] == ["paper's best", "deep fsmd"]
    assert len({c.cell.task.id for c in found.candidates}) == 30
    steps = {id: [until for i, until in lab.work if i == id] for id, _ in lab.work}
    for untils in steps.values():
        assert untils == sorted(
            set(untils), key=lambda until: until or 0
        )  # each rung once, upwards


def test_stopped_trainings_stay_as_pruned_trials_with_their_curves(lab: Lab) -> None:
    found = lab.search(trials=16)
    stopped = [c for c in found.candidates if c.stopped]
    ended = [c for c in found.candidates if c.state == "ended"]
    assert stopped
    assert len(stopped) + len(ended) == 16
    states = {t.user_attrs["level"]: t for t in lab.study().trials}
    for candidate in stopped:
        trial = states[candidate.cell.level]
        assert (trial.state, trial.values) == (TrialState.PRUNED, None)
        stored = storage.known_result(lab.engine, candidate.cell.task.id)
        assert not stored.finished
        assert stored.epochs == len(candidate.points)
    for candidate in ended:
        trial = states[candidate.cell.level]
        assert trial.state == TrialState.COMPLETE
        assert tuple(trial.values) == pytest.approx(chosen(candidate.points))


def test_pruning_spends_less_and_keeps_every_front_point_of_what_it_saw(lab: Lab) -> None:
    found = lab.search(trials=25)
    spent = sum(len(c.points) for c in found.candidates)
    whole = sum(trained(c.cell.task, None).epochs for c in found.candidates)
    assert spent < 0.8 * whole


@pytest.mark.parametrize(
    ("sampler", "rule", "trials", "die_at"),
    [*(("tpe", HALVING, 14, n) for n in (0, 1, 5, 13, 22)),
     ("gp", SuccessiveHalving(EPOCHS), 26, 70)],
)  # fmt: skip
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(
    tmp_path: Path, sampler: str, rule: Pruner, trials: int, die_at: int
) -> None:
    def lab_in(name: str) -> Lab:
        folder = tmp_path / name
        folder.mkdir()
        engine = storage.open_engine(f"sqlite:///{folder}/studies.db", create=True)
        return Lab(folder, engine, small_space())

    whole, cut = lab_in("whole"), lab_in("cut")
    way: dict[str, Any] = {"sampler": sampler, "rule": rule, "trials": trials}
    expected = whole.search(**way)
    with pytest.raises(Killed):
        cut.search(die_at=die_at, **way)
    found = cut.search(**way)
    assert any(c.stopped for c in found.candidates)

    def told(search: Search) -> list[Any]:
        return [(c.cell.level, c.params, c.points, c.state) for c in search.candidates]

    assert told(found) == told(expected)
    assert not [t for t in cut.study().trials if t.state == TrialState.RUNNING]


def test_more_trials_go_on_and_a_stopped_one_may_be_taken_up_again(lab: Lab) -> None:
    first = lab.search(trials=10)
    more = lab.search(trials=20)
    assert [c.params for c in more.candidates[:10]] == [c.params for c in first.candidates]
    assert len(more.candidates) == 20
    for before, after in zip(first.candidates, more.candidates, strict=False):
        assert after.points[: len(before.points)] == before.points


def test_a_worker_lost_late_is_tried_again_and_its_epochs_are_kept(lab: Lab) -> None:
    """Each rung is a step of its own: those before must not use up the tries."""
    tries = dict[int | None, int]()

    def work(task: TrainingTask, checkpoint: Path, until: int | None) -> TrainingResult:
        tries[until] = tries.get(until, 0) + 1
        if until == EPOCHS and tries[until] < ATTEMPTS:
            raise MemoryError
        checkpoint.touch()
        return trained(task, until)

    found = lab.search(trials=1, stop=False, work=work)
    assert tries[EPOCHS] == ATTEMPTS > 1
    assert len(tries) > 2
    assert found.candidates[0].state == "ended"
    assert not found.candidates[0].failed


def test_a_training_that_stays_lost_keeps_its_checkpoint(lab: Lab) -> None:
    def work(task: TrainingTask, checkpoint: Path, until: int | None) -> TrainingResult:
        if until == EPOCHS:
            raise MemoryError
        checkpoint.touch()
        return trained(task, until)

    found = lab.search(trials=1, stop=False, work=work)
    assert found.candidates[0].failed
    assert len(list(lab.folder.glob("*.ckpt"))) == 1
    again = lab.search(trials=1, stop=False)
    assert [c.state for c in again.candidates] == ["ended"]
    assert not list(lab.folder.glob("*.ckpt"))


def test_what_another_study_has_trained_is_not_trained_again(lab: Lab) -> None:
    lab.search(trials=6, rule=NoPruning(EPOCHS), name="other")
    assert len(lab.work) == 6
    lab.work.clear()
    again = lab.search(trials=6, rule=NoPruning(EPOCHS))
    assert not lab.work
    assert lab.events[-6:] == ["known"] * 6
    assert all(t.state == TrialState.COMPLETE for t in lab.study().trials)
    assert all(c.state == "ended" for c in again.candidates)


def test_what_another_search_has_paused_goes_on_from_there(lab: Lab) -> None:
    lab.search(trials=12, stop=False, name="other")
    before = dict.fromkeys(task for task, _ in lab.work)
    lab.work.clear()
    again = lab.search(trials=12)
    assert not lab.work  # every curve that it asks for is there
    assert {c.cell.task.id for c in again.candidates} == set(before)
    assert any(c.stopped for c in again.candidates)
    assert not [t for t in lab.study().trials if t.state == TrialState.RUNNING]


def test_a_fixed_study_takes_up_what_a_search_paused(lab: Lab) -> None:
    found = lab.search(trials=16)
    cell = next(c for c in found.candidates if c.stopped).cell
    found.planner.executor = ThreadPoolExecutor(1)
    found.planner.follow(Queue([cell]))
    found.planner.executor.shutdown()
    assert storage.known_result(lab.engine, cell.task.id).finished


def test_limits_are_kept_before_anything_is_trained(lab: Lab) -> None:
    def few(config: FSMDConfig) -> bool:
        return config.expert_count <= 6

    found = lab.search(trials=20, allowed=few)
    assert len(found.candidates) == 20
    assert all(c.params["expert_count"] <= 6 for c in found.candidates)  # type: ignore[operator]
    assert {c.cell.task.id for c in found.candidates} >= {task for task, _ in lab.work}


def test_with_limits_a_search_that_goes_on_proposes_what_it_would_have_proposed(
    tmp_path: Path,
) -> None:
    def few(config: FSMDConfig) -> bool:
        return config.expert_count <= 4

    searches = []
    for name, sittings in (("whole", [14]), ("cut", [5, 9, 14])):
        (tmp_path / name).mkdir()
        engine = storage.open_engine(f"sqlite:///{tmp_path / name}/studies.db", create=True)
        lab = Lab(tmp_path / name, engine, small_space())
        for trials in sittings:
            # Trained to their ends: what was stopped would be told as ended in between.
            found = lab.search(trials=trials, allowed=few, rule=NoPruning(EPOCHS))
        searches.append([c.params for c in found.candidates])
    assert searches[0] == searches[1]


def test_chance_proposes_once_the_sampler_has_broken_a_limit_ten_times(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The paper's models that break it do not count: the sampler has not been asked yet."""
    lab.space = small_space("architecture")
    known, asked = [lab.space.config(p) for p in lab.space.known.values()], list[str]()
    kept = [True, True, *[False] * 12, True]  # of what is proposed

    def spy(space: Space, tried: Sequence[Tried], sampler: str, *rest: Any) -> Any:
        asked.append(sampler)
        return propose(space, tried, sampler, *rest)

    def allowed(config: FSMDConfig) -> bool:
        return config not in known and kept[len(asked) - 1]

    monkeypatch.setattr("studies.search.propose", spy)
    lab.search(trials=3, allowed=allowed)
    assert asked == ["tpe"] * 12 + ["random"] * 3


def test_limits_that_nothing_keeps_end_the_search(lab: Lab) -> None:
    found = lab.search(trials=5, allowed=lambda _: False)
    assert found.candidates == []
    with pytest.raises(UserError, match=r"keeps --max-params 1; raise the limit"):
        tell_exhausted(found, SearchOptions(max_params=1), Console())


def test_a_space_with_too_little_that_keeps_the_limits_is_told(lab: Lab) -> None:
    def few(config: FSMDConfig) -> bool:
        return (config.expert_count, config.gate_depth) == (4, 1)

    found = lab.search(trials=50, allowed=few, rule=NoPruning(EPOCHS), sampler="grid")
    console = Console(record=True, width=200)
    tell_exhausted(found, SearchOptions(trials=50, max_params=9), console)
    assert f"tried {len(found.candidates)} of 50 configurations" in console.export_text()
    assert 0 < len(found.candidates) < 50


def test_a_third_objective_is_minimised_and_counts_for_the_front(lab: Lab) -> None:
    found = lab.search(trials=12, cost=lambda config: float(config.expert_count))
    study = optuna.load_study(study_name="pareto", storage=str(lab.engine.url))
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MAXIMIZE", "MINIMIZE"]
    for trial in study.get_trials(states=[TrialState.COMPLETE]):
        assert trial.values[2] == trial.params["expert_count"]
    smallest = min(found.candidates, key=lambda c: c.cell.cost)
    assert smallest.curve.points[0][2] == -smallest.cell.cost[0]
    assert smallest.state == "ended"  # nothing dominates the cheapest


def test_after_the_deadline_nothing_is_started_or_gone_on_with(lab: Lab) -> None:
    assert lab.search(deadline=0.0).candidates == []
    assert not lab.work


def test_a_search_that_ran_out_of_time_keeps_what_is_paused(lab: Lab) -> None:
    whole = lab.search(trials=8, stop=False)
    whole.deadline = 0.0
    whole.stop_the_rest()
    assert not any(c.stopped for c in whole.candidates)
    assert not [t for t in lab.study().trials if t.state == TrialState.PRUNED]


def test_running_a_finished_search_again_tells_nothing_twice(lab: Lab) -> None:
    lab.search(trials=10)
    before = lab.study().trials
    assert any(t.state == TrialState.PRUNED for t in before)
    lab.search(trials=10)
    assert lab.study().trials == before


def test_networks_that_share_nothing_stand_at_each_tasks_own_best(lab: Lab) -> None:
    """As `training` chooses: an epoch for each task."""
    points = ((0.70, 0.60), (0.60, 0.695), (0.5, 0.5))
    for sharing, expected in (("none", (0.70, 0.695)), ("bottom", (0.70, 0.60))):
        config = replace(lab.space.base, sharing=sharing, fm="none", chain=False)
        cell = lab.recipe().cell("#1", {}, config, 0)
        assert Candidate(cell, {}, "ended", points).curve.stands == expected


def test_what_a_task_shows_after_its_own_end_counts_nothing(lab: Lab) -> None:
    """The other task keeps the training going; alone this one had ended after its patience, 3."""
    config = replace(lab.space.base, sharing="none", fm="none", chain=False)
    cell = lab.recipe().cell("#1", {}, config, 0)
    first = (0.70, 0.6, 0.6, 0.71, 0.6, 0.6, 0.6, 0.75)
    points = tuple((value, 0.5 + n / 64) for n, value in enumerate(first))
    assert Candidate(cell, {}, "ended", points[:4]).curve.stands == (0.71, 0.5 + 3 / 64)
    assert Candidate(cell, {}, "ended", points).curve.stands == (0.71, 0.5 + 7 / 64)


def test_a_small_space_is_tried_to_its_last_cell(lab: Lab) -> None:
    shape, *others = lab.space.choices
    one = CategoricalDistribution(("diamond", "constant"))
    lab.space = replace(
        lab.space,
        choices=(replace(shape, domain=one), *(replace(c, domain=FEW) for c in others)),
    )
    kept = lab.search(trials=50, sampler="grid", rule=TopK(EPOCHS), name="kept").candidates
    assert sum(c.state == "ended" for c in kept) == len(kept) // 4
    for sampler in ("grid", "tpe"):
        found = lab.search(trials=50, sampler=sampler, rule=NoPruning(EPOCHS), name=sampler)
        assert len(found.candidates) == 2 * 2 * 2
        assert len({str(c.params) for c in found.candidates}) == 8


def test_a_training_that_fails_is_told_and_the_search_goes_on(lab: Lab) -> None:
    calls = iter(range(100))

    def failing(self: Lab) -> Callable[..., TrainingResult]:
        def work(task: TrainingTask, checkpoint: Path, until: int | None) -> TrainingResult:
            if next(calls) == 3:
                raise ArithmeticError("not finite")
            return trained(task, until)

        return work

    storage.insert_study(
        lab.engine, StudyRecord("pareto", "pareto", "planted", {"arms": {}}, {}, storage.now())
    )
    study = open_study(lab.engine, "pareto", TASKS)
    with ThreadPoolExecutor(1) as executor:
        planner = Planner(
            lab.engine, study, TASKS, executor, failing(lab), lab.folder,
            Provenance({}, "a machine"), 1,
        )  # fmt: skip
        search = Search(planner, lab.space, lab.recipe(), "tpe", HALVING, 10)
        planner.follow(search)
    assert sum(c.failed for c in search.candidates) == 1
    assert len(search.candidates) == 10
    again = resumed(lab.engine, study, lab.space, lab.recipe())
    assert [c.failed for c in again] == [c.failed for c in search.candidates]
    retried = resumed(lab.engine, study, lab.space, lab.recipe(), retry_failed=True)
    assert not any(c.failed for c in retried)


# ------------------------------------------------------------------------------------------
# Confirmation.
# ------------------------------------------------------------------------------------------


def test_the_front_its_neighbours_and_the_references_are_confirmed(lab: Lab) -> None:
    def candidate(level: str, *points: tuple[float, float], state: str = "ended") -> Candidate:
        cell = lab.recipe().cell(level, {}, lab.space.base, 0)
        return Candidate(cell, {}, state, points)  # type: ignore[arg-type]

    front = [candidate("#1", (0.70, 0.60)), candidate("#2", (0.60, 0.70))]
    near = candidate("#3", (0.6998, 0.5998))
    far = [candidate(f"far {n}", (0.65 - n / 100, 0.55 - n / 100)) for n in range(6)]
    paused = candidate("#5", (0.90, 0.90), state="paused")
    stopped = candidate("mmoe", (0.5, 0.5), state="paused")
    found = to_confirm([*far, *front, near, paused, stopped])
    assert set(found) == {"#1", "#2", "#3", "far 0", "far 1", "far 2", "mmoe"}
    assert found[-1] == "mmoe"
    many = [candidate(f"#{n}", (0.6 + n / 100, 0.8 - n / 100)) for n in range(MOST)]
    assert set(to_confirm(many)) == {c.cell.level for c in many}
    vast = [candidate(f"#{n}", (0.6 + n / 999, 0.8 - n / 999)) for n in range(30)]
    assert len(to_confirm(vast)) == MOST
    assert {"#0", "#29"} <= set(to_confirm(vast))  # the best of each task
    close = [candidate(f"#{n}", (0.6 - n / 1e5, 0.6 - n / 1e5)) for n in range(20)]
    assert to_confirm(close) == tuple(c.cell.level for c in close[:ENOUGH])
    assert set(to_confirm(close, begun={"#19"})) == {*to_confirm(close), "#19"}
    assert to_confirm([]) == to_confirm([stopped]) == ()


def test_what_has_fresh_seeds_gets_as_many_as_the_others_when_the_search_goes_on(
    lab: Lab,
) -> None:
    before = lab.search(trials=5, rule=NoPruning(EPOCHS))
    study = lab.study()
    assert pareto.begun(study) == frozenset()
    left = before.candidates[-1].cell.level
    cells = confirmation(lab.recipe(), before.candidates, [left], 2)
    before.planner.executor = ThreadPoolExecutor(1)
    before.planner.run(cells)
    assert pareto.begun(study) == {left}
    after = lab.search(trials=12, rule=NoPruning(EPOCHS))
    levels = to_confirm(after.candidates, pareto.begun(study))
    assert left in levels
    assert {c.replicate for c in confirmation(lab.recipe(), after.candidates, levels, 4)
            if c.level == left} == {1, 2, 3, 4}  # fmt: skip


class Inline(ThreadPoolExecutor):
    """Stands for worker processes."""


def meter(lab: Lab, limits: Limits, told: list[str]) -> Meter:
    data = DataRef("planted", "hash", Path("here"))
    return Meter(limits, data, lab.engine, "a machine", told.append)


def test_what_a_model_costs_is_measured_once_and_judged_the_same_ever_after(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[FSMDConfig] = []

    def measure(config: FSMDConfig, path: Path) -> tuple[int, float]:
        measured.append(config)
        return 10 * config.expert_count, float(len(measured))

    monkeypatch.setattr("studies.meter.measure", measure)
    monkeypatch.setattr("studies.meter.LocalWorkers", Inline)
    small, large = FSMDConfig(expert_count=2), FSMDConfig(expert_count=4)
    for _ in range(2):  # in a second run too
        strict = meter(lab, Limits("latency", parameters=20, milliseconds=1.5), [])
        assert (strict.allowed(small), strict.allowed(large)) == (True, False)
        assert strict.objective(small) == 1.0
        strict.close()
    assert measured == [small, large]


def test_a_model_that_cannot_be_measured_is_left_out_and_a_killed_process_is_asked_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def measure(config: FSMDConfig, path: Path) -> tuple[int, float]:
        tries.append(config.expert_count)
        if config.expert_count == 4:
            raise MemoryError
        if len(tries) == 1:
            raise BrokenProcessPool
        return 7, 1.0

    monkeypatch.setattr("studies.meter.measure", measure)
    monkeypatch.setattr("studies.meter.LocalWorkers", Inline)
    told: list[str] = []
    found = meter(lab, Limits(parameters=9), told)
    assert found.allowed(FSMDConfig(expert_count=2))
    assert not found.allowed(FSMDConfig(expert_count=4))
    assert not found.allowed(FSMDConfig(expert_count=4))
    assert found.allowed(FSMDConfig(expert_count=6))
    assert tries == [2, 2, 4, 6]
    assert told == ["a model was left out, as it cannot be measured: MemoryError: "]
    found.close()


def test_where_no_model_can_be_measured_the_search_ends_with_one_line(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(config: FSMDConfig, path: Path) -> tuple[int, float]:
        raise FileNotFoundError("no data")

    monkeypatch.setattr("studies.meter.measure", measure)
    monkeypatch.setattr("studies.meter.LocalWorkers", Inline)
    told: list[str] = []
    found = meter(lab, Limits("params"), told)
    assert not any(found.allowed(FSMDConfig(expert_count=experts)) for experts in (2, 4))
    with pytest.raises(UserError, match=r"what 3 models cost .* FileNotFoundError: no data"):
        found.allowed(FSMDConfig(expert_count=6))
    assert len(told) == 2
    found.close()


def test_confirmation_trains_fresh_seeds_the_same_for_all(lab: Lab) -> None:
    found = lab.search(trials=8, rule=NoPruning(EPOCHS))
    levels = to_confirm(found.candidates)
    cells = confirmation(lab.recipe(), found.candidates, levels, 3)
    assert len(cells) == 3 * len(levels)
    seeds = {r: {c.task.seed for c in cells if c.replicate == r} for r in (1, 2, 3)}
    assert all(len(s) == 1 for s in seeds.values())
    searched = {c.cell.task.seed for c in found.candidates}
    assert len(searched) == 1
    assert not searched & {c.task.seed for c in cells}
    by_level = {c.cell.level: c.cell.task.config for c in found.candidates}
    assert all(cell.task.config == by_level[cell.level] for cell in cells)


# ------------------------------------------------------------------------------------------
# Proposals.
# ------------------------------------------------------------------------------------------


def history(space: Space, n: int, sampler: str) -> list[Tried]:
    tried: list[Tried] = []
    for i in range(n):
        found = propose(space, tried, sampler, seed=1)
        assert found
        depth = float(found.params.get("gate_depth", 1))
        tried.append(Tried(found.params, (0.6 + depth / 100, 0.7 - i / 1000), notes=found.notes))
    return tried


@pytest.mark.parametrize(
    ("sampler", "name"),
    [*((s, n) for s in ("tpe", "nsga2", "nsga3", "random") for n in ("paper", "full")),
     ("gp", "paper"), ("gp", "architecture")],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_every_sampler_proposes_what_is_new_and_the_same_again(sampler: str, name: str) -> None:
    space = small_space(name)
    tried = history(space, 11, sampler)
    keys = [str(sorted(t.params.items())) for t in tried]
    assert len(set(keys)) == len(keys)
    assert propose(space, tried, sampler, 1) == propose(space, tried, sampler, 1)
    assert propose(space, tried[:5], sampler, 1) == propose(space, tried[:5], sampler, 1)


@pytest.mark.parametrize("name", ["architecture", "full"])
def test_the_gaussian_process_models_every_axis(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = small_space(name)
    tried = history(space, 12, "random")
    assert len({frozenset(t.params) for t in tried}) > 1  # some have axes that others have not

    def alone(*_: Any) -> None:
        raise AssertionError("an axis that it does not model")

    monkeypatch.setattr(optuna.samplers.GPSampler, "sample_independent", alone)
    assert propose(space, tried, "gp", 0)


def test_a_running_or_failed_configuration_is_not_proposed_again() -> None:
    space = small_space()
    cells = list(space.cells())
    tried: Sequence[Tried] = [
        *(Tried(cell, None) for cell in cells[:70]),
        *(Tried(cell, None, failed=True) for cell in cells[70:-1]),
    ]
    found = propose(space, tried, "tpe", 0)
    assert found
    assert found.params == cells[-1]
    assert propose(space, [*tried, Tried(cells[-1], None)], "tpe", 0) is None


def test_genetic_samplers_keep_their_generations_over_a_resumption() -> None:
    tried = history(small_space("full"), 45, "nsga2")
    generations = [max((v for k, v in t.notes.items() if "generation" in k), default=None)
                   for t in tried]  # fmt: skip
    assert generations == sorted(generations, key=int)  # type: ignore[arg-type]
    assert generations[-1] == 2


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_papers_models_are_of_the_first_generation(sampler: str) -> None:
    """Else they would never be parents."""
    space = small_space()
    tried = [replace(t, notes={}) for t in history(space, 20, "random")]
    found = propose(space, tried, sampler, 0)
    assert found
    (generation,) = (v for k, v in found.notes.items() if k.endswith(":generation"))
    assert generation == 1


def test_where_fsmd_is_fs_that_is_the_reference() -> None:
    for funnel, named in ((True, {"fsmd"}), (False, {"fs"})):
        known = spaces.space("architecture", SETTINGS["census"].applied, funnel).known
        assert set(pareto.references(known)) == named | {"mmoe", "paper's best", "deep fsmd"}


def test_a_grid_of_a_vast_space_is_refused() -> None:
    with pytest.raises(UserError, match=r"more than 100,000 cells; use another sampler"):
        propose(small_space("architecture"), [], "grid", 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"space": "huge"}, "--space must be one of paper architecture full; got 'huge'"),
        ({"sampler": "cmaes"}, "--sampler must be one of gp tpe"),
        ({"pruner": "median"}, "--pruner must be one of halving topk none"),
        ({"objectives": "auc"}, "--objectives must be one of auc,auc auc,auc,params"),
        ({"trials": 0}, "--trials must be at least 1; got 0"),
        ({"timeout": float("nan")}, "--timeout must be at least 1; got nan"),
        ({"max_latency": -1.0}, "--max-latency must be at least 0"),
        ({"confirm": -1}, "--confirm must be at least 0"),
        ({"pruner": "topk", "timeout": 60.0}, "--pruner topk goes on with the best once all"),
    ],
)
def test_a_wrong_option_is_refused_with_the_alternatives(
    change: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        SearchOptions(**change).check()


def test_a_search_that_goes_on_another_way_keeps_each_way_once_the_last_one_last() -> None:
    """How it proposes and stops is no part of what is trained, so it is no difference."""
    first = {"epochs": 2, METHODS: [SearchOptions().method]}
    other = {"epochs": 2, METHODS: [SearchOptions(sampler="random", timeout=9).method]}
    assert not list(differences(first, other))
    back = going_on(going_on(going_on(first, other), other), first)
    assert back[METHODS] == [
        {"sampler": "random", "pruner": "halving", "trials": 60, "confirm": 5, "timeout": 9},
        {"sampler": "gp", "pruner": "halving", "trials": 60, "confirm": 5},
    ]


def test_what_is_sought_is_fixed_and_names_the_search() -> None:
    small = SearchOptions(max_params=9)
    (told,) = differences(SearchOptions().sought, small.sought)
    assert told == "max-params: None there, 9 now"
    assert pareto.stored_name("paper", "auc,auc", "planted") == "pareto"
    assert pareto.stored_name("full", "auc,auc,params", "census") == "pareto-full-params-census"


def test_a_training_that_failed_holds_no_place_among_the_promoted(lab: Lab) -> None:
    found = lab.search(trials=3, sampler="random", stop=False)
    bad, good, *_ = found.candidates
    found.candidates = [
        replace(bad, state="running", points=((0.7, 0.7),)),
        replace(good, state="paused", points=((0.65, 0.65),)),
    ]
    found.trials = 2
    assert found.next() is None
    found.ended(Step(bad.cell, 2), None)
    step = found.next()
    assert step is not None
    assert step.cell == good.cell
