"""A search hands out one step after the other, forgets nothing, and trains nothing twice."""

import io
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import TrialState
from rich.console import Console

from fsmd.config import FSMDConfig, digest
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.metrics import METRICS
from fsmd.runtime import Runtime
from fsmd.selection import Selection
from fsmd.tasks import Task
from fsmd.training import Measurement, Training, TrainingResult
from reports.search.results import read_search
from search_spaces.space import Space
from search_spaces.spaces import space
from studies import catalog
from studies.costs import Costs
from studies.definition import Search
from studies.failure import Failure, failure_of
from studies.planner.design import differences, going_on, search_plan, study_name
from studies.planner.planner import ATTEMPTS, Event, Planner
from studies.search import run
from studies.search.agenda import SearchAgenda, resumed
from studies.search.attempt import (
    Attempt,
    AttemptState,
    cell_of,
    objectives_of,
    read_attempts,
    selection_of,
    space_of,
    tried_attempts,
)
from studies.search.confirmation import (
    CONFIRM_AT_MOST,
    CONFIRM_WITH_NEAR,
    begun,
    confirmation,
    references,
    to_confirm,
)
from studies.search.importance import ped_anova
from studies.search.meter import Meter, limits_of
from studies.search.proposals import Tried, propose
from studies.search.pruning import NoPruning, Pruner, SuccessiveHalving, TopK
from studies.search.run import check_search, search_mirror, tell_exhausted
from studies.store.database import open_engine
from studies.store.mirror import stored_studies
from studies.store.records import StudyRecord
from studies.store.runs import Provenance, known_result
from studies.store.studies import find_study, insert_study
from studies.workers.local import WorkerLostError
from tests.lab import NOW, Immediate, Threads, small_data

TAKES_LONG = True
TASKS = (Task("click"), Task("long_view", after="click"))
THREE = (*TASKS, Task("like", after="click"))
LOSSES = tuple(replace(task, metric="log_loss") for task in TASKS)
EPOCHS, PATIENCE = 6, 3
SETTINGS = TrainingSettings(512, 0.002, 0.0, 0.0, EPOCHS, PATIENCE)
BELIEVED = SuccessiveHalving(EPOCHS, slack=(0.001, 0.001), evidence=None)
"""Stops from the first: of a few trainings none have ended yet."""
FEW = IntDistribution(2, 4, step=2)
Rule = SuccessiveHalving | NoPruning | TopK
SEARCH = Search("look", "A search", "Which is best?", "paper", sampler="tpe")
REF = small_data().ref


def small_space(name: str = "paper") -> Space:
    return space(name, TASKS, SETTINGS)


def _draw(training: Training) -> np.random.Generator:
    key = digest([training.config.to_json(), training.seed])
    return np.random.default_rng(int(key[:8], 16))


def curve_of(training: Training, tasks: Sequence[Task] = TASKS) -> list[tuple[float, ...]]:
    """Figures that depend on model and seed alone: it learns for some epochs, then gets worse."""
    draw = _draw(training)
    top = draw.uniform(0.6, 0.7, len(tasks))
    best = draw.integers(2, EPOCHS + 2)
    sign = [METRICS[task.metric].sign for task in tasks]
    return [
        tuple(float(top[k] - sign[k] * 0.01 * abs(e - best)) for k in range(len(tasks)))
        for e in range(1, EPOCHS + 1)
    ]


def trained(
    training: Training, until: int | None, tasks: Sequence[Task] = TASKS
) -> TrainingResult:
    """What `train` would return, with its early stopping."""
    curve = curve_of(training, tasks)
    sign = METRICS[tasks[0].metric].sign  # all are judged alike
    means = [sign * sum(point) for point in curve]
    end = next(
        (
            e
            for e in range(1, EPOCHS + 1)
            if e - 1 - int(np.argmax(means[:e])) >= training.patience
        ),
        EPOCHS,
    )
    epochs = min(end, until or EPOCHS)
    best = int(np.argmax(means[:epochs])) + 1
    measurements = [
        Measurement(e, "valid", task.name, task.metric, curve[e - 1][k])
        for e in range(1, epochs + 1)
        for k, task in enumerate(tasks)
    ]
    if epochs == end:
        measurements += [Measurement(best, "test", t.name, t.metric, 0.5) for t in tasks]
    chosen = {task.name: best for task in tasks}
    seconds = epochs * float(_draw(training).uniform(1, 2))
    return TrainingResult(tuple(measurements), chosen, epochs, epochs == end, seconds, 10)


class Killed(BaseException):
    """The planner dies here."""


Work = Callable[[Training, Path, int | None], TrainingResult]


@dataclass
class Lab:
    """A database, a search in it, and work that counts."""

    folder: Path
    engine: sa.Engine
    space: Space
    tasks: tuple[Task, ...] = TASKS
    work: list[tuple[str, int | None]] = field(default_factory=list)
    """(training, until) of what workers were given."""
    events: list[str] = field(default_factory=list)

    def record(self, search: Search = SEARCH) -> StudyRecord:
        """The stored search, with this definition."""
        plan = search_plan(small_data(self.tasks), SETTINGS, 0, Runtime())
        way = {name: getattr(search, name) for name in Search.METHOD}
        record = StudyRecord(search.name, search, search, plan, NOW, methods=(way,))
        if find_study(self.engine, search.name) is None:
            insert_study(self.engine, record)
        return record

    def planner(
        self,
        record: StudyRecord,
        workers: Immediate,
        *,
        slots: int = 1,
        work: Work | None = None,
        listen: Callable[[Event], None] = lambda event: None,
    ) -> Planner:
        def all_of(
            trainings: Sequence[Training], checkpoints: Sequence[Path], until: int | None
        ) -> list[TrainingResult | Failure]:
            outcomes: list[TrainingResult | Failure] = []
            for training, checkpoint in zip(trainings, checkpoints, strict=True):
                self.work.append((training.id, until))
                try:
                    one = work or (lambda t, _, u: trained(t, u, self.tasks))
                    outcomes.append(one(training, checkpoint, until))
                except Exception as error:
                    outcomes.append(failure_of(error))
            return outcomes

        return Planner(
            engine=self.engine,
            mirror=search_mirror(self.engine, record),
            workers=workers,
            work=all_of,
            checkpoints=self.folder,
            provenance=Provenance({"torch": "1"}, "a machine"),
            slots=slots,
            listen=listen,
        )

    def search(
        self,
        trials: int = 12,
        rule: Pruner = BELIEVED,
        slots: int = 1,
        die_at: int | None = None,
        stop: bool = True,
        name: str = SEARCH.name,
        work: Work | None = None,
        sampler: str = "tpe",
        objectives: tuple[str, ...] = ("tasks",),
        retry_failed: bool = False,
        **options: Any,
    ) -> SearchAgenda:
        """Follow a search to its end, or until the planner dies at its n-th event."""
        left = [die_at]

        def listen(event: Event) -> None:
            if event.cell is not None:
                self.events.append(event.kind)
                if left[0] is not None:
                    left[0] -= 1
                    if left[0] < 0:
                        raise Killed

        record = self.record(
            replace(SEARCH, name=name, trials=trials, sampler=sampler, objectives=objectives)
        )
        workers = Immediate() if slots == 1 else Threads(slots)
        planner = self.planner(record, workers, slots=slots, work=work, listen=listen)
        planner.retry_failed = retry_failed
        attempts = resumed(self.engine, record, REF, retry_failed)
        agenda = SearchAgenda(planner, record, REF, self.space, rule, attempts=attempts, **options)
        try:
            agenda.repair()
            planner.follow(agenda)
            if stop:
                agenda.stop_the_rest()
        finally:
            workers.close()
        return agenda

    def study(self, name: str = SEARCH.name) -> optuna.Study:
        return stored_studies(self.engine, name)[name]


def lab_in(folder: Path, tasks: tuple[Task, ...] = TASKS) -> Lab:
    folder.mkdir(exist_ok=True)
    engine = open_engine(f"sqlite:///{folder}/studies.db", create=True)
    return Lab(folder, engine, space("paper", tasks, SETTINGS), tasks)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return lab_in(tmp_path)


def brief(agenda: SearchAgenda) -> list[Any]:
    return [(a.name, a.params, a.curve, a.state, a.costs) for a in agenda.attempts]


def ended(agenda: SearchAgenda) -> list[Attempt]:
    return [a for a in agenda.attempts if a.state == AttemptState.ENDED]


def stopped(agenda: SearchAgenda) -> list[Attempt]:
    return [a for a in agenda.attempts if a.state == AttemptState.STOPPED]


def ids(agenda: SearchAgenda) -> list[str]:
    return [a.training_id for a in agenda.attempts]


def test_the_papers_models_come_first_and_nothing_is_trained_twice(lab: Lab) -> None:
    found = lab.search(trials=16, slots=2)
    assert [a.name for a in found.attempts][:2] == ["paper's best", "deep fsmd"]
    assert len(set(ids(found))) == 16
    steps = {id: [until for i, until in lab.work if i == id] for id, _ in lab.work}
    for untils in steps.values():
        upwards = sorted(set(untils), key=lambda until: until or 0)
        assert untils == upwards  # each rung once


def test_stopped_trainings_stay_as_pruned_trials_with_their_curves(lab: Lab) -> None:
    found = lab.search(trials=16)
    assert stopped(found)
    assert len(stopped(found)) + len(ended(found)) == 16
    trials = {t.user_attrs["arm"]: t for t in lab.study().trials}
    for attempt in stopped(found):
        trial = trials[attempt.name]
        assert (trial.state, trial.values) == (TrialState.PRUNED, None)
        stored = known_result(lab.engine, attempt.training_id)
        assert not stored.finished
        assert stored.epochs == attempt.epochs
    for attempt in ended(found):
        trial = trials[attempt.name]
        assert trial.state == TrialState.COMPLETE
        best = max(attempt.curve, key=sum)
        assert tuple(trial.values) == pytest.approx(best)
        assert attempt.values == pytest.approx(best)


def test_pruning_spends_less_and_keeps_every_front_point_of_what_it_saw(lab: Lab) -> None:
    found = lab.search(trials=25)
    spent = sum(a.epochs for a in found.attempts)
    cells = [cell_of(a, found.record, REF) for a in found.attempts]
    whole = sum(trained(cell.training, None).epochs for cell in cells)
    assert spent < 0.8 * whole


@pytest.fixture(scope="module")
def uncut(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str, Rule, int], list[Any]]:
    """What a search comes to that nobody kills."""

    @cache
    def briefly(sampler: str, rule: Rule, trials: int) -> list[Any]:
        lab = lab_in(tmp_path_factory.mktemp("uncut"))
        return brief(lab.search(sampler=sampler, rule=rule, trials=trials))

    return briefly


@pytest.mark.parametrize(
    ("sampler", "rule", "trials", "die_at"),
    [
        *(("tpe", BELIEVED, 14, n) for n in (0, 1, 5, 13, 22)),
        pytest.param(
            *("gp", SuccessiveHalving(EPOCHS, slack=(0.001, 0.001)), 26, 70),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(
    tmp_path: Path,
    uncut: Callable[..., list[Any]],
    sampler: str,
    rule: SuccessiveHalving,
    trials: int,
    die_at: int,
) -> None:
    cut = lab_in(tmp_path)
    way: dict[str, Any] = {"sampler": sampler, "rule": rule, "trials": trials}
    with pytest.raises(Killed):
        cut.search(die_at=die_at, **way)
    found = cut.search(**way)
    assert stopped(found)
    assert brief(found) == uncut(sampler, rule, trials)
    assert not [t for t in cut.study().trials if t.state == TrialState.RUNNING]


def test_what_failed_by_itself_in_another_search_is_not_trained_again(lab: Lab) -> None:
    def failing(training: Training, checkpoint: Path, until: int | None) -> TrainingResult:
        raise ArithmeticError("not finite")

    lab.search(trials=2, name="other", work=failing)
    lab.work.clear()
    found = lab.search(trials=2)
    assert not lab.work
    assert [a.state for a in found.attempts] == [AttemptState.FAILED] * 2
    assert [t.state for t in lab.study().trials] == [TrialState.FAIL] * 2
    again = lab.search(trials=2, name="third", retry_failed=True)
    assert [a.failed for a in again.attempts] == [False] * 2


def test_more_trials_go_on_and_a_stopped_one_may_be_taken_up_again(lab: Lab) -> None:
    first = lab.search(trials=10)
    more = lab.search(trials=20)
    assert [a.params for a in more.attempts[:10]] == [a.params for a in first.attempts]
    assert len(more.attempts) == 20
    for before, after in zip(first.attempts, more.attempts, strict=False):
        assert after.curve[: before.epochs] == before.curve


def test_what_was_stopped_is_told_as_known_to_a_run_that_goes_on(lab: Lab) -> None:
    found = lab.search()
    assert stopped(found)
    lab.events.clear()
    lab.search()
    assert lab.events == ["known"] * len(found.attempts)


def test_a_worker_lost_late_is_tried_again_and_its_epochs_are_kept(lab: Lab) -> None:
    """Each rung is a step of its own: those before must not use up the tries."""
    tries = dict[int | None, int]()

    def work(training: Training, checkpoint: Path, until: int | None) -> TrainingResult:
        tries[until] = tries.get(until, 0) + 1
        if until == EPOCHS and tries[until] < ATTEMPTS:
            raise MemoryError
        checkpoint.parent.mkdir(exist_ok=True)
        checkpoint.touch()
        return trained(training, until)

    found = lab.search(trials=1, stop=False, work=work)
    assert tries[EPOCHS] == ATTEMPTS > 1
    assert len(tries) > 2
    assert [a.state for a in found.attempts] == [AttemptState.ENDED]


def test_a_training_that_stays_lost_keeps_its_checkpoint(lab: Lab) -> None:
    def work(training: Training, checkpoint: Path, until: int | None) -> TrainingResult:
        if until == EPOCHS:
            raise MemoryError
        checkpoint.parent.mkdir(exist_ok=True)
        checkpoint.touch()
        return trained(training, until)

    found = lab.search(trials=1, stop=False, work=work)
    assert found.attempts[0].failed
    assert len(list(lab.folder.rglob("*.ckpt"))) == 1
    again = lab.search(trials=1, stop=False)
    assert [a.state for a in again.attempts] == [AttemptState.ENDED]
    assert not list(lab.folder.rglob("*.ckpt"))


def test_a_training_that_is_lost_at_once_is_read_as_lost_and_tried_again(lab: Lab) -> None:
    def work(training: Training, checkpoint: Path, until: int | None) -> TrainingResult:
        raise MemoryError

    lab.search(trials=1, stop=False, work=work)
    (attempt,) = read_attempts(lab.engine, lab.record())
    assert (attempt.state, attempt.failed, attempt.curve) == (AttemptState.LOST, True, ())
    again = lab.search(trials=1, stop=False)
    assert [a.state for a in again.attempts] == [AttemptState.ENDED]


@pytest.mark.parametrize("rule", [NoPruning(EPOCHS), TopK(EPOCHS)], ids=["none", "topk"])
@pytest.mark.parametrize("lost_first", [1, 5])
def test_what_a_fault_took_all_tries_of_is_tried_once_more_before_anything_is_ranked(
    lab: Lab, uncut: Callable[..., list[Any]], rule: Rule, lost_first: int
) -> None:
    """So the search comes to what it would have without the fault, and confirms the same."""
    tries = dict[str, int]()

    def work(training: Training, _: Path, until: int | None) -> TrainingResult:
        number = [*tries, training.id].index(training.id)
        tries[training.id] = tries.get(training.id, 0) + 1
        if number == lost_first and tries[training.id] <= ATTEMPTS:
            raise MemoryError
        return trained(training, until)

    found = lab.search(trials=8, rule=rule, sampler="random", work=work)
    assert brief(found) == uncut("random", rule, 8)
    began = list(dict.fromkeys(id for id, _ in lab.work))
    steps = [id for id, _ in lab.work]
    again = steps.index(began[lost_first]) + ATTEMPTS
    assert set(steps[:again]) == {*began[: lost_first + 1]}
    assert steps[again:].index(began[lost_first]) == len(began) - lost_first - 1  # all have begun


def test_what_is_lost_once_more_keeps_no_search_from_its_end(lab: Lab) -> None:
    def work(training: Training, _: Path, until: int | None) -> TrainingResult:
        if training.id == lab.work[0][0]:
            raise MemoryError
        return trained(training, until)

    found = lab.search(trials=3, rule=NoPruning(EPOCHS), work=work)
    ended = [a.state for a in found.attempts]
    assert ended == [AttemptState.LOST, AttemptState.ENDED, AttemptState.ENDED]
    assert [id for id, _ in lab.work].count(found.attempts[0].training_id) == 2 * ATTEMPTS


def test_what_another_study_has_trained_is_not_trained_again(lab: Lab) -> None:
    lab.search(trials=6, rule=NoPruning(EPOCHS), name="other")
    assert len(lab.work) == 6
    lab.work.clear()
    again = lab.search(trials=6, rule=NoPruning(EPOCHS))
    assert not lab.work
    assert lab.events[-6:] == ["known"] * 6
    assert all(t.state == TrialState.COMPLETE for t in lab.study().trials)
    assert len(ended(again)) == 6


def test_what_another_search_has_paused_goes_on_from_there(lab: Lab) -> None:
    lab.search(trials=12, stop=False, name="other")
    before = dict.fromkeys(training for training, _ in lab.work)
    lab.work.clear()
    again = lab.search(trials=12)
    assert not lab.work  # every curve that it asks for is there
    assert set(ids(again)) == set(before)
    assert stopped(again)
    assert not [t for t in lab.study().trials if t.state == TrialState.RUNNING]


def test_a_fixed_study_takes_up_what_a_search_paused(lab: Lab) -> None:
    found = lab.search(trials=16)
    cell = cell_of(stopped(found)[0], found.record, REF)
    found.planner.follow(found.planner.in_order([cell]))
    assert known_result(lab.engine, cell.training.id).finished


def test_limits_are_kept_before_anything_is_trained(lab: Lab) -> None:
    def few(config: FSMDConfig) -> bool:
        return config.expert_count <= 6

    found = lab.search(trials=12, allowed=few)
    assert len(found.attempts) == 12
    assert all(few(a.config) for a in found.attempts)
    assert set(ids(found)) >= {training for training, _ in lab.work}


def test_with_limits_a_search_that_goes_on_proposes_what_it_would_have_proposed(
    tmp_path: Path,
) -> None:
    def few(config: FSMDConfig) -> bool:
        return config.expert_count <= 4

    searches = []
    for name, sittings in (("whole", [12]), ("cut", [5, 9, 12])):
        lab = lab_in(tmp_path / name)
        for trials in sittings:
            # Trained to their ends: what was stopped would be told as ended in between.
            found = lab.search(trials=trials, allowed=few, rule=NoPruning(EPOCHS))
        searches.append([a.params for a in found.attempts])
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

    monkeypatch.setattr("studies.search.agenda.propose", spy)
    record = lab.record(replace(SEARCH, trials=3, space="architecture"))
    planner = lab.planner(record, Immediate())
    planner.follow(SearchAgenda(planner, record, REF, lab.space, BELIEVED, allowed))
    assert asked == ["tpe"] * 12 + ["random"] * 3


@pytest.mark.parametrize("slower", ["sampler", "training"])
def test_the_sampler_is_asked_while_workers_train_and_answers_the_same_whoever_is_slower(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, slower: str
) -> None:
    """Each waits for the other, which neither could if one came after the other."""
    alone = lab_in(tmp_path / "alone").search(trials=10, rule=NoPruning(EPOCHS))
    known, moved = len(lab.space.known), threading.Condition()
    begun, ended, asked, answered = (list[int]() for _ in range(4))

    def wait_for(events: list[int], count: int) -> None:
        with moved:
            assert moved.wait_for(lambda: len(events) >= count, 30)

    def now(events: list[int]) -> int:
        with moved:
            events.append(1)
            moved.notify_all()
            return len(events)

    def asks(*question: Any) -> Any:
        number = known - 1 + now(asked)  # the training meanwhile, counted from 1
        wait_for(ended if slower == "sampler" else begun, number)
        answer = propose(*question)
        now(answered)
        return answer

    def trains(training: Training, _: Path, until: int | None) -> TrainingResult:
        number = now(begun)
        if known <= number < 10:
            next_one = number - known + 1
            wait_for(asked if slower == "sampler" else answered, next_one)
        now(ended)
        return trained(training, until)

    monkeypatch.setattr("studies.search.agenda.propose", asks)
    with closing(Threads(1)) as workers, closing(Threads(1)) as thinker:
        record = lab.record(replace(SEARCH, trials=10))
        planner = lab.planner(record, workers, work=trains)
        rule = NoPruning(EPOCHS)
        found = SearchAgenda(planner, record, REF, lab.space, rule, thinker=thinker)
        planner.follow(found)
    assert brief(found) == brief(alone)
    assert len(asked) == len(answered) == 10 - known


@pytest.mark.parametrize("deaths", [ATTEMPTS - 1, ATTEMPTS])
def test_a_process_that_dies_while_the_sampler_is_asked_is_replaced_and_asked_again(
    lab: Lab, deaths: int
) -> None:
    left = [deaths]

    class Dying(Immediate):
        def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Any:
            def dies() -> None:
                raise WorkerLostError

            left[0] -= 1
            return super().submit(dies if left[0] >= 0 else work, *args if left[0] < 0 else ())

    trials = len(lab.space.known) + 1
    if deaths == ATTEMPTS:
        with pytest.raises(UserError, match=r"died 3 times.*goes on from here"):
            lab.search(trials=trials, thinker=Dying())
        left[0] = 0
    assert len(lab.search(trials=trials, thinker=Dying()).attempts) == trials


def test_while_the_sampler_is_asked_another_worker_goes_on_with_what_is_promoted(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    known, promoted = len(lab.space.known), threading.Event()

    def asks(*question: Any) -> Any:
        assert promoted.wait(30)
        return propose(*question)

    def trains(training: Training, _: Path, until: int | None) -> TrainingResult:
        if until is None or until > 1:
            promoted.set()
        return trained(training, until)

    monkeypatch.setattr("studies.search.agenda.propose", asks)
    with closing(Threads(2)) as workers, closing(Threads(1)) as thinker:
        record = lab.record(replace(SEARCH, trials=known + 2))
        planner = lab.planner(record, workers, work=trains, slots=2)
        found = SearchAgenda(planner, record, REF, lab.space, BELIEVED, thinker=thinker)
        planner.follow(found)
    assert len(found.attempts) == known + 2


def test_what_was_trained_is_recorded_before_a_sampler_that_fails_ends_the_search(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*question: Any) -> None:
        raise UserError("no answer")

    monkeypatch.setattr("studies.search.agenda.propose", fails)
    known = len(lab.space.known)
    with pytest.raises(UserError, match="no answer"):
        lab.search(trials=known + 2, rule=NoPruning(EPOCHS))
    assert [a.state for a in read_attempts(lab.engine, lab.record())] == ["ended"] * known
    assert len(lab.work) == known


def test_a_space_with_nothing_more_to_try_is_not_searched_again_at_every_step(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studies.search.agenda.REJECTIONS_AT_MOST", 5)
    asked: list[FSMDConfig] = []

    def allowed(config: FSMDConfig) -> bool:
        asked.append(config)
        return len(asked) <= len(lab.space.known)

    found = lab.search(trials=50, allowed=allowed, sampler="random")
    assert found.exhausted
    assert len(lab.work) > len(found.attempts) == len(lab.space.known) == len(asked) - 5


def test_what_ends_after_the_sampler_was_asked_changes_no_answer(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the thread that asks begins late."""
    late, told = list[Callable[[], None]](), list[list[Tried]]()

    class Late(threading.Thread):
        def start(self) -> None:
            late.append(self.run)

    def spy(chosen: Space, tried: list[Tried], *given: Any) -> Any:
        told.append(tried)
        return propose(chosen, tried, *given)

    monkeypatch.setattr("studies.search.agenda.Thread", Late)
    monkeypatch.setattr("studies.search.agenda.propose", spy)
    record = lab.record(replace(SEARCH, trials=9))
    planner = lab.planner(record, Immediate(), slots=9)
    agenda = SearchAgenda(planner, record, REF, lab.space, NoPruning(EPOCHS))
    first = agenda.next()
    assert first
    for _ in range(len(lab.space.known) - 1):
        late.pop()()
        assert agenda.next()
    agenda.ended(first.cells[0], trained(first.cells[0].training, None))
    late.pop()()
    assert [[each.values for each in tried] for tried in told] == [[None] * len(lab.space.known)]


def test_what_is_stored_and_was_not_begun_is_not_tried_and_comes_next(lab: Lab) -> None:
    """Time ran out between the answer of the sampler and the training of it."""

    def trains(training: Training, _: Path, until: int | None) -> TrainingResult:
        if len(lab.work) == 3:
            planner.deadline = 0.0
        return trained(training, until)

    record, rule = lab.record(), NoPruning(EPOCHS)
    planner = lab.planner(record, Immediate(), work=trains)
    agenda = SearchAgenda(planner, record, REF, lab.space, rule)
    planner.follow(agenda)
    *tried, ahead = read_attempts(lab.engine, record)
    assert (len(tried), ahead.is_new) == (3, True)
    assert tried_attempts(lab.engine, record) == tuple(tried) == tuple(agenda.attempts)
    assert read_search(lab.engine, record).attempts == tuple(tried)
    assert [cell.arm for cell in agenda.waiting] == [ahead.name]
    assert ids(lab.search(trials=5, rule=rule))[3] == ahead.training_id


def test_limits_that_nothing_keeps_end_the_search(lab: Lab) -> None:
    found = lab.search(trials=5, allowed=lambda _: False)
    assert found.attempts == []
    limited = replace(found.record, definition=replace(found.record.search, max_params=1))
    with pytest.raises(UserError, match=r"keeps --max-params 1; raise the limit"):
        tell_exhausted(replace(found, record=limited), Console())


def test_a_space_with_too_little_that_keeps_the_limits_is_told(lab: Lab) -> None:
    def few(config: FSMDConfig) -> bool:
        return (config.expert_count, config.gate_depth) == (4, 1)

    found = lab.search(trials=50, allowed=few, rule=NoPruning(EPOCHS), sampler="grid")
    console = Console(record=True, width=200)
    tell_exhausted(found, console)
    assert f"tried {len(found.attempts)} of 50 configurations" in console.export_text()
    assert 0 < len(found.attempts) < 50


# ------------------------------------------------------------------------------------------
# Any number of objectives
# ------------------------------------------------------------------------------------------


def few_experts(config: FSMDConfig) -> dict[str, float]:
    """Stands for a meter."""
    return {"params": float(config.expert_count), "latency": 1.0 / config.gate_depth}


def test_a_cost_is_minimised_and_counts_for_the_front(lab: Lab) -> None:
    rule = SuccessiveHalving(EPOCHS, slack=(0.001, 0.001, 0.0), evidence=None)
    found = lab.search(
        trials=12,
        rule=rule,
        objectives=("tasks", "params"),
        costs=lambda c: {"params": float(c.expert_count)},
    )
    study = lab.study()
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MAXIMIZE", "MINIMIZE"]
    for trial in study.get_trials(states=[TrialState.COMPLETE]):
        assert trial.values[2] == trial.params["expert_count"]
    smallest = min(found.attempts, key=lambda a: a.costs["params"])
    assert smallest.values[2] == smallest.costs["params"] == -smallest.gains[2]
    assert smallest.state == AttemptState.ENDED  # nothing dominates the cheapest


@pytest.mark.parametrize(
    ("tasks", "objectives", "signs"),
    [
        ((Task("click"),), ("tasks",), (1,)),
        (THREE, ("tasks",), (1, 1, 1)),
        (LOSSES, ("tasks",), (-1, -1)),
        (TASKS, ("tasks", "params", "latency", "seconds"), (1, 1, -1, -1, -1)),
        (TASKS, ("params",), (-1,)),
    ],
)
def test_any_number_of_objectives_is_searched_and_goes_on_the_same(
    tmp_path: Path, tasks: tuple[Task, ...], objectives: tuple[str, ...], signs: tuple[int, ...]
) -> None:
    rule = SuccessiveHalving(EPOCHS, slack=(0.001,) * len(signs), evidence=None)
    way: dict[str, Any] = {
        "rule": rule,
        "objectives": objectives,
        "costs": lambda c: {
            key: value for key, value in few_experts(c).items() if key in objectives
        },
    }
    whole, cut = (lab_in(tmp_path / name, tasks) for name in ("whole", "cut"))
    expected = whole.search(trials=10, **way)
    with pytest.raises(Killed):
        cut.search(trials=10, die_at=12, **way)
    found = cut.search(trials=10, **way)
    assert brief(found) == brief(expected)
    directions = ["MAXIMIZE" if sign > 0 else "MINIMIZE" for sign in signs]
    assert [d.name for d in cut.study().directions] == directions
    for attempt in found.attempts:
        assert attempt.gains == tuple(s * v for s, v in zip(signs, attempt.values, strict=True))
    trials = {t.user_attrs["arm"]: t for t in cut.study().trials}
    for attempt in ended(found):
        assert attempt.values == pytest.approx(tuple(trials[attempt.name].values))
        for k, task in enumerate(tasks):
            figures = [point[k] for point in attempt.curve]
            assert attempt.stands[k] == METRICS[task.metric].sign * max(
                METRICS[task.metric].sign * figure for figure in figures
            )
    assert ended(found)
    assert to_confirm(found.attempts)[0] in {a.name for a in ended(found)}


def test_of_one_objective_the_best_is_confirmed_first(tmp_path: Path) -> None:
    lab = lab_in(tmp_path, LOSSES)
    rule = SuccessiveHalving(EPOCHS, slack=(0.001,), evidence=None)
    found = lab.search(trials=20, objectives=("click",), rule=rule)
    best = min(ended(found), key=lambda a: a.stands[0])
    assert to_confirm(found.attempts)[0] == best.name


def test_seconds_are_what_the_training_took_as_far_as_it_came(lab: Lab) -> None:
    rule = SuccessiveHalving(EPOCHS, slack=(0.001, 0.001, 0.0), evidence=None)
    found = lab.search(trials=10, objectives=("tasks", "seconds"), rule=rule)
    assert {a.state for a in found.attempts} == {AttemptState.ENDED, AttemptState.STOPPED}
    for attempt in found.attempts:
        assert attempt.values[2] == attempt.seconds
        spent = [-point[2] for point in attempt.for_pruner.points]
        each = attempt.costs["seconds"] / attempt.epochs
        assert spent == pytest.approx([each * n for n in range(1, attempt.epochs + 1)])


def test_importance_is_of_the_front_or_of_one_of_any_number_of_objectives() -> None:
    whole = small_space()
    params = list(whole.combinations())
    depth = np.array([float(p["gate_depth"]) for p in params])
    for values_NM in (depth[:, None], np.column_stack([depth, -depth, depth])):
        of_front, of_first = ped_anova(whole, params, values_NM, [None, depth])
        for shares in (of_front, of_first):
            assert sum(shares.values()) == pytest.approx(1)
            if values_NM.shape[1] == 1 or shares is of_first:
                assert shares["gate_depth"] > 0.95


# ------------------------------------------------------------------------------------------
# The reader
# ------------------------------------------------------------------------------------------


def test_the_report_reads_what_the_search_knew_and_changes_nothing(lab: Lab) -> None:
    """One reader: what it reads back is what the agenda held when it ended."""
    failing = iter(range(1000))

    def work(training: Training, checkpoint: Path, until: int | None) -> TrainingResult:
        if next(failing) == 5:
            raise ArithmeticError("not finite")
        return trained(training, until)

    way: dict[str, Any] = {
        "objectives": ("tasks", "params", "seconds"),
        "rule": SuccessiveHalving(EPOCHS, slack=(0.001, 0.001, 0.0, 0.0), evidence=None),
        "costs": lambda config: {"params": float(config.expert_count)},
    }
    found = lab.search(trials=14, work=work, sampler="nsga2", **way)
    states = {a.state for a in found.attempts}
    assert states == {AttemptState.ENDED, AttemptState.STOPPED, AttemptState.FAILED}
    file = lab.folder / "studies.db"
    lab.engine.dispose()
    before = file.read_bytes()
    assert read_attempts(lab.engine, found.record) == tuple(found.attempts)
    assert resumed(lab.engine, found.record, REF) == found.attempts
    lab.engine.dispose()
    assert file.read_bytes() == before


def test_a_search_without_any_trial_was_not_begun(lab: Lab) -> None:
    assert read_attempts(lab.engine, lab.record()) == ()


def test_a_search_whose_trials_mean_other_trainings_now_is_not_gone_on_with(lab: Lab) -> None:
    found = lab.search(trials=2)
    plan = replace(found.record.plan, seed=1)
    with pytest.raises(UserError, match="means another training now; keep this search apart"):
        resumed(lab.engine, replace(found.record, plan=plan), REF)


def test_after_the_deadline_nothing_is_started_or_gone_on_with(lab: Lab) -> None:
    assert lab.search(deadline=0.0).attempts == []
    assert not lab.work


def test_what_no_worker_began_in_time_is_gone_on_with_by_the_next_run(lab: Lab) -> None:
    class Late(Immediate):
        left = 2

        def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Any:
            self.left -= 1
            if self.left >= 0:
                return super().submit(work, *args, **kwargs)
            planner.deadline = 0.0
            return Future[Any]()

        def withdraw(self, future: Future[Any]) -> bool:
            return future.cancel()

    record, rule = lab.record(), NoPruning(EPOCHS)
    planner = lab.planner(record, Late())
    agenda = SearchAgenda(planner, record, REF, lab.space, rule, thinker=Immediate())
    planner.follow(agenda)
    late = agenda.attempts[-1]
    assert (len(ended(agenda)), len(planner.attempts), late.state) == (2, 2, AttemptState.PAUSED)
    assert late.name in [cell.arm for cell in agenda.waiting]
    planner.run((), agenda.waiting)
    assert [t.state.name for t in lab.study().trials] == ["COMPLETE", "COMPLETE", "WAITING"]
    found = lab.search(trials=5, rule=rule)
    assert ids(found)[2] == late.training_id
    assert len(ended(found)) == 5


def test_a_search_that_ran_out_of_time_keeps_what_is_paused(lab: Lab) -> None:
    whole = lab.search(trials=8, stop=False)
    whole.deadline = 0.0
    whole.stop_the_rest()
    assert not stopped(whole)
    assert not [t for t in lab.study().trials if t.state == TrialState.PRUNED]


def test_running_a_finished_search_again_tells_nothing_twice(lab: Lab) -> None:
    lab.search(trials=10)
    before = lab.study().trials
    assert any(t.state == TrialState.PRUNED for t in before)
    lab.search(trials=10)
    assert lab.study().trials == before


def attempt_of(
    lab: Lab,
    name: str,
    *points: tuple[float, ...],
    state: AttemptState = AttemptState.ENDED,
    sharing: str = "bottom",
) -> Attempt:
    record = lab.record()
    config = replace(lab.space.base, sharing=sharing, fm="none", chain=False)
    return Attempt(
        name=name,
        params={},
        config=config,
        state=state,
        training_id=name,
        selection=selection_of(record, config),
        objectives=objectives_of(record),
        curve=points,
    )


def test_networks_that_share_nothing_stand_at_each_tasks_own_best(lab: Lab) -> None:
    """As `train` chooses: an epoch for each task."""
    points = ((0.70, 0.60), (0.60, 0.695), (0.5, 0.5))
    for sharing, expected in (("none", (0.70, 0.695)), ("bottom", (0.70, 0.60))):
        assert attempt_of(lab, "#1", *points, sharing=sharing).gains == expected


def test_what_a_task_shows_after_its_own_end_counts_nothing(lab: Lab) -> None:
    """The other task keeps the training going; alone this one had ended after its patience, 3."""
    first = (0.70, 0.6, 0.6, 0.71, 0.6, 0.6, 0.6, 0.75)
    points = tuple((value, 0.5 + n / 64) for n, value in enumerate(first))
    early = attempt_of(lab, "#1", *points[:4], sharing="none")
    assert early.gains == (0.71, 0.5 + 3 / 64)
    assert attempt_of(lab, "#1", *points, sharing="none").gains == (0.71, 0.5 + 7 / 64)


def test_a_small_space_is_tried_to_its_last_combination(lab: Lab) -> None:
    shape, *others = lab.space.choices
    one = CategoricalDistribution(("diamond", "constant"))
    lab.space = replace(
        lab.space,
        choices=(replace(shape, domain=one), *(replace(c, domain=FEW) for c in others)),
    )
    kept = lab.search(trials=50, sampler="grid", rule=TopK(EPOCHS), name="kept")
    assert len(ended(kept)) == len(kept.attempts) // 4
    for sampler in ("grid", "tpe"):
        found = lab.search(trials=50, sampler=sampler, rule=NoPruning(EPOCHS), name=sampler)
        assert len(found.attempts) == 2 * 2 * 2
        assert len({str(a.params) for a in found.attempts}) == 8


def test_a_training_that_fails_is_told_and_the_search_goes_on(lab: Lab) -> None:
    calls = iter(range(100))

    def failing(training: Training, checkpoint: Path, until: int | None) -> TrainingResult:
        if next(calls) == 3:
            raise ArithmeticError("not finite")
        return trained(training, until)

    search = lab.search(trials=10, work=failing, stop=False)
    assert sum(a.failed for a in search.attempts) == 1
    assert len(search.attempts) == 10
    again = resumed(lab.engine, search.record, REF)
    assert [a.failed for a in again] == [a.failed for a in search.attempts]
    retried = resumed(lab.engine, search.record, REF, retry_failed=True)
    assert not any(a.failed for a in retried)


def test_a_training_that_failed_holds_no_place_among_the_promoted(lab: Lab) -> None:
    found = lab.search(trials=3, sampler="random", stop=False)
    bad, good, *_ = found.attempts
    found.attempts = [
        replace(bad, state=AttemptState.RUNNING, curve=((0.7, 0.7),)),
        replace(good, state=AttemptState.PAUSED, curve=((0.65, 0.65),)),
    ]
    found.record = replace(found.record, definition=replace(found.record.search, trials=2))
    assert found.next() is None
    for comes_next in (bad, good):  # once more, then no more
        found.ended(cell_of(bad, found.record, REF), None)
        step = found.next()
        assert step is not None
        assert step.cells == (cell_of(comes_next, found.record, REF),)


# ------------------------------------------------------------------------------------------
# Confirmation
# ------------------------------------------------------------------------------------------


def test_the_front_its_neighbours_and_the_references_are_confirmed(lab: Lab) -> None:
    def attempt(name: str, point: tuple[float, float], **more: Any) -> Attempt:
        return attempt_of(lab, name, point, **more)

    front = [attempt("#1", (0.70, 0.60)), attempt("#2", (0.60, 0.70))]
    near = attempt("#3", (0.6998, 0.5998))
    far = [attempt(f"far {n}", (0.65 - n / 100, 0.55 - n / 100)) for n in range(6)]
    paused = attempt("#5", (0.90, 0.90), state=AttemptState.PAUSED)
    reference = attempt("mmoe", (0.5, 0.5), state=AttemptState.STOPPED)
    found = to_confirm([*far, *front, near, paused, reference])
    assert set(found) == {"#1", "#2", "#3", "far 0", "far 1", "far 2", "mmoe"}
    assert found[-1] == "mmoe"
    many = [attempt(f"#{n}", (0.6 + n / 100, 0.8 - n / 100)) for n in range(CONFIRM_AT_MOST)]
    assert set(to_confirm(many)) == {a.name for a in many}
    vast = [attempt(f"#{n}", (0.6 + n / 999, 0.8 - n / 999)) for n in range(30)]
    assert len(to_confirm(vast)) == CONFIRM_AT_MOST
    assert {"#0", "#29"} <= set(to_confirm(vast))  # the best of each task
    close = [attempt(f"#{n}", (0.6 - n / 1e5, 0.6 - n / 1e5)) for n in range(20)]
    assert to_confirm(close) == tuple(a.name for a in close[:CONFIRM_WITH_NEAR])
    assert set(to_confirm(close, begun={"#19"})) == {*to_confirm(close), "#19"}
    assert to_confirm([]) == to_confirm([reference]) == ()


def test_what_has_fresh_seeds_gets_as_many_as_the_others_when_the_search_goes_on(
    lab: Lab,
) -> None:
    before = lab.search(trials=5, rule=NoPruning(EPOCHS))
    assert begun(lab.engine, before.record) == frozenset()
    left = before.attempts[-1].name
    before.planner.run(confirmation(before.record, REF, before.attempts, [left], 2))
    assert begun(lab.engine, before.record) == {left}
    after = lab.search(trials=12, rule=NoPruning(EPOCHS))
    names = to_confirm(after.attempts, begun(lab.engine, after.record))
    assert left in names
    cells = confirmation(after.record, REF, after.attempts, names, 4)
    assert {cell.replicate for cell in cells if cell.arm == left} == {1, 2, 3, 4}


def test_confirmation_trains_fresh_seeds_the_same_for_all(lab: Lab) -> None:
    found = lab.search(trials=8, rule=NoPruning(EPOCHS))
    names = to_confirm(found.attempts)
    cells = confirmation(found.record, REF, found.attempts, names, 3)
    assert len(cells) == 3 * len(names)
    seeds = {r: {c.training.seed for c in cells if c.replicate == r} for r in (1, 2, 3)}
    assert all(len(each) == 1 for each in seeds.values())
    searched = {cell_of(a, found.record, REF).training.seed for a in found.attempts}
    assert len(searched) == 1
    assert not searched & {c.training.seed for c in cells}
    by_name = {a.name: a.config for a in found.attempts}
    assert all(cell.training.config == by_name[cell.arm] for cell in cells)


def test_where_fsmd_is_fs_that_is_the_reference() -> None:
    for tasks, named in ((TASKS, {"fsmd"}), ((Task("a"), Task("b")), {"fs"})):
        known = space("architecture", tasks, SETTINGS).known
        assert set(references(known)) == named | {"mmoe", "paper's best", "deep fsmd"}


# ------------------------------------------------------------------------------------------
# Costs before training
# ------------------------------------------------------------------------------------------


class Sizes(Immediate):
    """Stands for a process that measures; counts what it was asked."""

    def __init__(self, value: Callable[[FSMDConfig], float]) -> None:
        self.value = value
        self.asked: list[FSMDConfig] = []

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.asked.append(args[0])
        return super().submit(self.value, args[0])


def meter(
    lab: Lab, workers: Sizes, limits: dict[str, float], keys: tuple[str, ...], told: list[str]
) -> Meter:
    costs = Costs(lab.engine, "a machine", told.append, workers)
    return Meter(limits, keys, REF, costs)


def test_what_a_model_costs_is_measured_once_and_judged_the_same_ever_after(lab: Lab) -> None:
    workers = Sizes(lambda config: 10.0 * config.expert_count)
    small, large = FSMDConfig(expert_count=2), FSMDConfig(expert_count=4)
    for _ in range(2):  # in a second run too
        strict = meter(lab, workers, {"params": 20.0}, ("latency",), [])
        assert (strict.allowed(small), strict.allowed(large)) == (True, False)
        assert strict.costs(small) == {"latency": 20.0}
    assert workers.asked == [small, small, large]  # what breaks a limit is measured no further


def test_a_model_that_cannot_be_measured_is_left_out_and_a_killed_process_is_asked_again(
    lab: Lab,
) -> None:
    def measure(config: FSMDConfig) -> float:
        if config.expert_count == 4:
            raise MemoryError
        if len(workers.asked) == 1:
            raise WorkerLostError
        return 7.0

    workers, told = Sizes(measure), list[str]()
    found = meter(lab, workers, {"params": 9.0}, (), told)
    assert found.allowed(FSMDConfig(expert_count=2))
    assert not found.allowed(FSMDConfig(expert_count=4))
    assert not found.allowed(FSMDConfig(expert_count=4))
    assert found.allowed(FSMDConfig(expert_count=6))
    assert [config.expert_count for config in workers.asked] == [2, 2, 4, 6]
    assert told == ["a model was left out, as it cannot be measured: MemoryError: "]


def test_where_no_model_can_be_measured_the_search_ends_with_one_line(lab: Lab) -> None:
    def measure(config: FSMDConfig) -> float:
        raise FileNotFoundError("no data")

    told: list[str] = []
    found = meter(lab, Sizes(measure), {}, ("params",), told)
    assert not any(found.allowed(FSMDConfig(expert_count=experts)) for experts in (2, 4))
    with pytest.raises(UserError, match=r"what 3 models cost .* FileNotFoundError: no data"):
        found.allowed(FSMDConfig(expert_count=6))
    assert len(told) == 2


def test_whoever_asks_for_a_cost_after_the_end_starts_no_process_and_tells_nothing(
    lab: Lab,
) -> None:
    told: list[str] = []
    costs = Costs(lab.engine, "a machine", told.append)
    costs.close()
    for _ in range(ATTEMPTS):
        with pytest.raises(RuntimeError, match="told to end"):
            costs.of("params", FSMDConfig(), REF)
    assert not told


def test_without_limits_and_costs_nothing_is_measured(lab: Lab) -> None:
    workers = Sizes(lambda config: 1.0)
    free = meter(lab, workers, dict(limits_of(SEARCH)), (), [])
    assert free.allowed(FSMDConfig())
    assert free.costs(FSMDConfig()) == {}
    assert not workers.asked


# ------------------------------------------------------------------------------------------
# Proposals
# ------------------------------------------------------------------------------------------


def history(space: Space, n: int, sampler: str) -> list[Tried]:
    tried: list[Tried] = []
    for i in range(n):
        found = propose(space, tried, sampler, seed=1, objectives=2)
        assert found
        depth = float(found.params.get("gate_depth", 1))
        tried.append(Tried(found.params, (0.6 + depth / 100, 0.7 - i / 1000), notes=found.notes))
    return tried


@pytest.mark.parametrize(
    ("sampler", "name"),
    [*((s, "full") for s in ("tpe", "nsga2", "nsga3", "random")), ("gp", "architecture")],
)
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_every_sampler_proposes_what_is_new_and_the_same_again(sampler: str, name: str) -> None:
    space = small_space(name)
    tried = history(space, 7 if sampler == "gp" else 11, sampler)
    keys = [str(sorted(t.params.items())) for t in tried]
    assert len(set(keys)) == len(keys)
    for known in (tried, tried[:5]):
        assert propose(space, known, sampler, 1, 2) == propose(space, known, sampler, 1, 2)


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
    assert propose(space, tried, "gp", 0, 2)


def test_of_a_small_space_a_gaussian_process_first_tries_what_differs_most() -> None:
    space = small_space()
    first = [t.params for t in history(space, 8, "gp")]
    assert len({params["tower_shape"] for params in first[:4]}) == 4
    assert {params["gate_depth"] for params in first} == {1, 3, 5}
    assert {params["expert_count"] for params in first} == {2, 8, 14}


def test_a_gaussian_process_takes_the_one_that_is_left_of_a_small_space() -> None:
    space = small_space()
    *most, last = space.combinations()
    tried = [Tried(params, (i % 7, i % 5)) for i, params in enumerate(most)]
    found = propose(space, tried, "gp", 0, 2)
    assert found
    assert found.params == last


@pytest.mark.parametrize("objectives", [1, 4])
@pytest.mark.parametrize("sampler", ["gp", "tpe", "nsga2", "nsga3", "random", "grid"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_every_sampler_takes_any_number_of_objectives(sampler: str, objectives: int) -> None:
    space = small_space()
    tried = [
        replace(t, values=tuple(float(i % (m + 2)) for m in range(objectives)))
        for i, t in enumerate(history(space, 12, "random"))
    ]
    assert propose(space, tried, sampler, 0, objectives)


def test_a_running_or_failed_configuration_is_not_proposed_again() -> None:
    space = small_space()
    all_of = list(space.combinations())
    tried: Sequence[Tried] = [
        *(Tried(params, None) for params in all_of[:70]),
        *(Tried(params, None, failed=True) for params in all_of[70:-1]),
    ]
    found = propose(space, tried, "tpe", 0, 2)
    assert found
    assert found.params == all_of[-1]
    assert propose(space, [*tried, Tried(all_of[-1], None)], "tpe", 0, 2) is None


def test_genetic_samplers_keep_their_generations_over_a_resumption() -> None:
    tried = history(small_space("full"), 45, "nsga2")
    generations = [
        max((v for k, v in t.notes.items() if "generation" in k), default=None) for t in tried
    ]
    assert generations == sorted(generations, key=int)  # type: ignore[arg-type]
    assert generations[-1] == 2


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_papers_models_are_of_the_first_generation(sampler: str) -> None:
    """Else they would never be parents."""
    space = small_space()
    tried = [replace(t, notes={}) for t in history(space, 20, "random")]
    found = propose(space, tried, sampler, 0, 2)
    assert found
    (generation,) = (v for k, v in found.notes.items() if k.endswith(":generation"))
    assert generation == 1


def test_a_grid_of_a_vast_space_is_refused() -> None:
    with pytest.raises(UserError, match=r"more than 100,000 combinations; use another sampler"):
        propose(small_space("architecture"), [], "grid", 0, 2)


# ------------------------------------------------------------------------------------------
# What is asked for
# ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"space": "huge"}, "--space must be one of paper architecture full; got 'huge'"),
        ({"sampler": "cmaes"}, "--sampler must be one of gp tpe"),
        ({"pruner": "median"}, "--pruner must be one of halving topk none"),
        ({"objectives": ("auc",)}, "no objective 'auc'; there are tasks, click, long_view, mean"),
        ({"objectives": ()}, "a search must have an objective"),
        ({"trials": 0}, "--trials must be at least 1; got 0"),
        ({"timeout": float("nan")}, "--timeout must be at least 1; got nan"),
        ({"max_latency": -1.0}, "--max-latency must be at least 0"),
        ({"confirm": -1}, "--confirm must be at least 0"),
        ({"pruner": "topk", "timeout": 60.0}, "--pruner topk goes on with the best once all"),
        ({"space": "architecture", "sampler": "grid"}, "has more than 100,000 combinations"),
        ({"space": "full", "sampler": "grid"}, "learning_rate is continuous"),
    ],
)
def test_a_wrong_option_is_refused_with_the_alternatives(
    lab: Lab, change: dict[str, Any], said: str
) -> None:
    plan = lab.record().plan
    check_search(SEARCH, plan)
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        check_search(replace(SEARCH, **change), plan)


def asked(lab: Lab, search: Search) -> StudyRecord:
    method = {name: getattr(search, name) for name in Search.METHOD}
    return replace(lab.record(), definition=search, methods=(method,))


def test_a_search_that_goes_on_another_way_keeps_each_way_once_the_last_one_last(
    lab: Lab,
) -> None:
    """How it proposes and stops is no part of what is trained, so it is no difference."""
    first = asked(lab, SEARCH)
    other = asked(lab, replace(SEARCH, sampler="random", timeout=9))
    assert not differences(first, other)
    back = going_on(going_on(going_on(first, other), other), first)
    ways = [(method["sampler"], method["timeout"]) for method in back.methods]
    assert ways == [("random", 9), ("tpe", None)]


def test_what_is_sought_is_fixed_and_names_the_search(lab: Lab) -> None:
    (told,) = differences(asked(lab, SEARCH), asked(lab, replace(SEARCH, max_params=9)))
    assert told == "max-params: None there, 9 now"
    default = catalog.get("pareto")
    assert isinstance(default, Search)
    assert study_name(default, "planted", default) == "pareto"
    wider = replace(default, space="full", objectives=("tasks", "params"))
    assert study_name(wider, "census", default) == "pareto-full-params-census"


def test_a_search_is_run_whole_by_one_call(lab: Lab) -> None:
    """Search, stop, confirm; run again, nothing is trained."""
    record = lab.record(replace(SEARCH, trials=12, confirm=2))
    console = Console(record=True, width=200)
    for trained_then in (True, False):
        planner = lab.planner(record, Immediate())
        outcome = run.run_search(record, small_data(), planner, console)
        assert (outcome.trained > 0) == trained_then
        assert outcome.failed == 0
        assert outcome.confirmed == to_confirm(outcome.attempts)
        assert read_attempts(lab.engine, record) == outcome.attempts
        assert all(a.config == space_of(record).config(a.params) for a in outcome.attempts)
    assert begun(lab.engine, record) == set(outcome.confirmed)
    assert f"confirming {len(outcome.confirmed)} configurations" in console.export_text()


def test_what_was_lost_is_not_what_the_time_did_not_suffice_for(lab: Lab) -> None:
    def work(*_: object) -> list[TrainingResult]:
        raise MemoryError

    record = lab.record(replace(SEARCH, trials=3))
    planner = replace(lab.planner(record, Immediate()), work=work)
    outcome = run.run_search(record, small_data(), planner, Console(file=io.StringIO()))
    assert (outcome.lost, outcome.unfinished) == (3, (0, 0))


def test_where_a_training_stands_is_the_one_rule_of_training(lab: Lab) -> None:
    found = lab.search(trials=6)
    for attempt in found.attempts:
        result = known_result(lab.engine, attempt.training_id)
        rule = Selection.of(TASKS, attempt.config.separate, PATIENCE)
        assert attempt.selection == rule
        assert rule.standing(attempt.curve).epochs == tuple(result.chosen_epochs.values())
