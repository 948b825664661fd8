"""The planner hands out what is missing, once, and records what comes back."""

import heapq
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.study import StudyDirection
from optuna.trial import TrialState

from fsmd.baselines import BASELINES
from fsmd.config import MODELS, FSMDConfig
from fsmd.errors import UserError
from fsmd.runtime import Runtime
from fsmd.tasks import Task
from fsmd.training import DivergedError, Training, TrainingProgress, TrainingResult
from reports.ran import run_command
from search_spaces.axes import contains
from studies import catalog, store
from studies.changes import changed
from studies.definition import (
    Above,
    Arm,
    Best,
    Claim,
    Factor,
    NotEverywhere,
    Rule,
    Search,
    Study,
    baselines,
    named,
    one_factor,
)
from studies.failure import Failure, may_pass
from studies.machine import gpus, machine, multiplies_bfloat16
from studies.objectives import named as objectives_named
from studies.planner.agenda import LongestFirst, Step
from studies.planner.design import (
    Cell,
    cells,
    check,
    differences,
    going_on,
    plan,
    replicate_seed,
    study_name,
)
from studies.planner.lengths import (
    NOTHING,
    Stored,
    config_hash,
    expected,
    read_stored,
    work,
)
from studies.planner.locking import only_planner
from studies.planner.planner import ATTEMPTS, Tally
from studies.planner.provenance import provenance
from studies.precision import may_round
from studies.session import (
    MOST_OF_ITSELF,
    largest_stack,
    open_record,
    runtime_for,
    stored_cells,
)
from studies.store import runs
from studies.store.database import open_engine
from studies.store.mirror import (
    Mirror,
    open_mirror,
    study_axes,
)
from studies.store.records import StudyRecord
from studies.store.runs import Provenance, known_result, known_runs, record_rows, record_run
from studies.store.studies import find_study, update_study
from studies.store.tables import CELLS, MEASUREMENTS, RUNS, TEST_ROWS
from studies.workers.local import WorkerLostError
from studies.workers.protocol import Message
from tests.lab import (
    NOW,
    SETTINGS,
    TASKS,
    UNRELATED,
    Immediate,
    Lab,
    record_of,
    result_of,
    small_data,
)
from tests.made_up.definitions import of_network


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    engine = open_engine(f"sqlite:///{tmp_path}/studies.db", create=True)
    definition = catalog.get("tower_shape")
    assert isinstance(definition, Study)
    return Lab(engine, result_of, definition, tmp_path)


def test_every_cell_is_a_trial_with_its_seed_and_its_validation_aucs(lab: Lab) -> None:
    lab.run(3)
    trials = lab.mirror().study.trials
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 12
    by_id = {cell.training.id: cell for cell in lab.cells(3)}
    for trial in trials:
        cell = by_id[trial.user_attrs["run"]]
        assert trial.params == {"tower_shape": cell.arm}
        assert trial.user_attrs["seed"] == cell.training.seed
        result = result_of(cell.training)
        assert trial.values == [result.value("valid", task.name, "auc") for task in TASKS]
    study = lab.mirror().study
    assert study.directions == [StudyDirection.MAXIMIZE] * 2
    assert study.metric_names == ["validation AUC, click", "validation AUC, long_view"]


def test_replicates_are_paired_the_same_seeds_at_every_arm(lab: Lab) -> None:
    seeds: dict[Any, list[int]] = {}
    for cell in lab.cells(4):
        seeds.setdefault(cell.arm, []).append(cell.training.seed)
    assert len({tuple(s) for s in seeds.values()}) == 1
    assert len(set(seeds["diamond"])) == 4
    assert seeds["diamond"] == [replicate_seed(0, r) for r in range(4)]
    assert replicate_seed(1, 0) != replicate_seed(0, 0)


def test_running_again_trains_nothing_and_more_replicates_add_what_is_missing(lab: Lab) -> None:
    lab.run(2)
    assert len(lab.done) == 8
    lab.run(2)
    assert len(lab.done) == 8
    lab.run(3)
    assert len(lab.done) == len(set(lab.done)) == 12
    assert lab.count(CELLS) == lab.count(RUNS) == 12
    lab.run(1)
    assert len(lab.done) == 12


def test_a_new_arm_adds_only_its_own_cells(lab: Lab) -> None:
    full = lab.definition
    lab.definition = replace(full, arms=(full.arms[0], full.arms[3]))
    lab.run(2)
    lab.definition = full
    lab.run(2)
    assert len(lab.done) == len(set(lab.done)) == 8


def test_a_run_of_another_study_is_taken_over_not_trained_again(lab: Lab) -> None:
    cell = lab.cells(1)[0]
    record_run(lab.engine, cell.training, result_of(cell.training), 1, Provenance({}, ""))
    lab.run(1)
    assert cell.training.id not in lab.done
    assert lab.states() == [TrialState.COMPLETE] * 4


@pytest.mark.parametrize("cut_at", ["record_run", "link_cell", "end_trial"])
def test_a_planner_that_dies_between_two_writes_is_taken_up_without_loss(
    lab: Lab, cut_at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PlannerDied(BaseException):
        pass

    calls = 0

    def dying(original: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == 3:
                raise PlannerDied
            return original(*args, **kwargs)

        return wrapped

    target: Any = store.mirror if cut_at == "end_trial" else runs
    with monkeypatch.context() as patch:
        patch.setattr(target, cut_at, dying(getattr(target, cut_at)))
        with pytest.raises(PlannerDied):
            lab.run(2)
    lab.run(2)
    assert sorted(s.name for s in lab.states()) == ["COMPLETE"] * 8
    assert lab.count(CELLS) == lab.count(RUNS) == 8
    assert lab.count(MEASUREMENTS) == 8 * 4
    if cut_at != "record_run":  # what was recorded is never trained again
        twice = [training for training in set(lab.done) if lab.done.count(training) > 1]
        assert set(lab.column(RUNS.c.attempts)) == {1}
        assert len(twice) <= 2  # those in flight when it died


def test_a_deterministic_failure_is_recorded_with_its_traceback_and_not_repeated(
    lab: Lab,
) -> None:
    def work(training: Training) -> TrainingResult:
        if of_network(training.config).tower_shape == "increasing":
            raise DivergedError("the loss is not finite in epoch 2")
        return result_of(training)

    lab.work = work
    lab.run(2)
    assert len(lab.done) == 8
    assert sorted(s.name for s in lab.states()) == ["COMPLETE"] * 6 + ["FAIL"] * 2
    with lab.engine.connect() as connection:
        failed = connection.execute(sa.select(RUNS).filter_by(status="failed")).all()
    assert [run.error for run in failed] == [
        "DivergedError: the loss is not finite in epoch 2"
    ] * 2
    assert "raise DivergedError" in failed[0].traceback
    lab.run(2)
    assert len(lab.done) == 8
    assert len(lab.states()) == 8


def test_a_failure_is_tried_again_when_asked_to(lab: Lab) -> None:
    def diverging(training: Training) -> TrainingResult:
        raise DivergedError("the loss is not finite in epoch 2")

    lab.work = diverging
    assert lab.run(1) == Tally(known=0, trained=4, failed=4, lost=0)
    lab.work = result_of
    assert lab.run(1) == Tally(known=4, trained=0, failed=4, lost=0)
    assert lab.run(1, retry_failed=True) == Tally(known=0, trained=4, failed=0, lost=0)
    assert [s.name for s in lab.states()] == ["COMPLETE"] * 4


class Preempted(Immediate):
    """A machine that is taken away, each time when the training is so far."""

    def __init__(self, *reached: float) -> None:
        self.ahead, self.told, self.given = list(reached), list[Message](), 0

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.given += 1
        if not self.ahead:
            return super().submit(work, *args, **kwargs)
        ((training,), *_) = args
        self.told.append((training.id, TrainingProgress({}, self.ahead.pop(0))))
        future: Future[Any] = Future()
        future.set_exception(WorkerLostError("it is gone"))
        return future

    def messages(self) -> Iterator[Message]:
        told, self.told = self.told, []
        return iter(told)


@pytest.mark.parametrize(
    ("reached", "given", "attempts"),
    [
        ([1.0, 2.0, 3.5, 4.0, 5.9, 6.0], 7, 1),  # it gets on each time
        ([0.9, 1.2, 1.9, 2.0], 5, 3),  # twice it does not
    ],
)
def test_a_lost_worker_counts_as_an_attempt_only_where_the_training_did_not_get_on(
    lab: Lab, reached: list[float], given: int, attempts: int
) -> None:
    workers = Preempted(*reached)
    assert lab.planner(workers).run(lab.cells(1)[:1]) == Tally(0, 1, 0, 0)
    assert workers.given == given
    assert lab.column(RUNS.c.attempts) == [attempts]
    retried = [detail for kind, detail in lab.events if kind == "retried"]
    assert retried == ["it is gone"] * (given - 1)


@pytest.mark.parametrize(
    ("reached", "given"), [([0.0] * 3, 3), ([3.0, *[3.9] * 3], 4), ([2.0, 1.0, 2.0, 1.0], 4)]
)
def test_a_training_that_gets_no_further_is_given_up_after_three_attempts(
    lab: Lab, reached: list[float], given: int
) -> None:
    workers = Preempted(*reached)
    assert lab.planner(workers).run(lab.cells(1)[:1]) == Tally(0, 1, 0, 1)
    assert workers.given == given
    assert lab.column(RUNS.c.attempts) == [ATTEMPTS]


def test_what_time_ran_out_for_is_neither_known_nor_trained(lab: Lab) -> None:
    lab.run(1, Immediate())
    planner = lab.planner(Immediate(), slots=1)

    def paused(trainings: Sequence[Training], *_: Any) -> list[TrainingResult]:
        planner.deadline = 0.0
        whole = [result_of(training) for training in trainings]
        return [replace(each, finished=False, predictions={}) for each in whole]

    planner.work, planner.deadline = paused, time.monotonic() + 60
    assert planner.run(lab.cells(2)) == Tally(known=4, trained=0, failed=0, lost=0, cut=4)


def test_what_another_study_records_meanwhile_is_taken_over(lab: Lab) -> None:
    """Two studies may share a training, and only a study has a lock."""
    first, second = lab.cells(1)[:2]

    def work(training: Training) -> TrainingResult:
        for cell in (first, second):  # another planner is faster, with this one and the next
            record_run(
                lab.engine, cell.training, result_of(cell.training), 7, Provenance({}, "other")
            )
        return result_of(training)

    lab.work = work
    lab.run(1, Immediate(), slots=1)
    assert second.training.id not in lab.done
    assert lab.states() == [TrialState.COMPLETE] * 4
    assert lab.count(RUNS) == lab.count(CELLS) == 4
    with lab.engine.connect() as connection:
        assert connection.scalar(sa.select(RUNS.c.attempts).filter_by(id=first.training.id)) == 7


def test_what_failed_here_and_was_done_by_another_study_meanwhile_is_done(lab: Lab) -> None:
    def work(training: Training) -> Failure:
        record_run(lab.engine, training, result_of(training), 1, Provenance({}, "other"))
        return Failure("diverged", "")

    lab.work = work
    assert lab.run(1, Immediate()) == Tally(known=0, trained=4, failed=0, lost=0)
    assert [kind for kind, _ in lab.events if kind in ("done", "failed")] == ["done"] * 4
    assert lab.states() == [TrialState.COMPLETE] * 4


def test_a_run_that_finds_all_done_asks_no_more_of_the_database_the_more_it_finds(
    lab: Lab,
) -> None:
    asked = list[str]()
    sa.event.listen(lab.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    counts = []
    for replicates in (1, 4):
        lab.run(replicates, Immediate())
        asked.clear()
        assert lab.run(replicates, Immediate()).trained == 0
        counts.append(len(asked))
    assert counts[0] == counts[1]


def test_a_stored_replicate_without_bounds_takes_no_memory(lab: Lab) -> None:
    lab.run(1, Immediate())
    with lab.engine.begin() as connection:
        connection.execute(sa.update(CELLS).values(replicate=10**9))
    assert stored_cells(lab.engine, lab.record(), {"planted": small_data().ref}) == []


def test_neither_a_shorter_pause_nor_a_loss_replaces_a_longer_curve(lab: Lab) -> None:
    """Another study may have trained the same further; a training goes on from there."""
    training = lab.cells(1)[0].training
    whole = result_of(training)

    def paused(epochs: int) -> TrainingResult:
        kept = tuple(m for m in whole.measurements if m.epoch <= epochs and m.split != "test")
        chosen = dict.fromkeys(whole.chosen_epochs, epochs)
        part = replace(whole, measurements=kept, epochs=epochs, chosen_epochs=chosen)
        return replace(part, finished=False, predictions={})

    def stored(outcome: TrainingResult | Failure) -> tuple[str, int]:
        record_run(lab.engine, training, outcome, 1, Provenance({}, ""))
        status = known_runs(lab.engine, [training.id])[training.id]
        return status, known_result(lab.engine, training.id).epochs

    assert stored(paused(1)) == ("paused", 1)
    assert stored(paused(2)) == ("paused", 2)
    assert stored(paused(1)) == ("paused", 2)
    assert stored(Failure("killed", "where", passing=True)) == ("paused", 2)
    with lab.engine.connect() as connection:  # it is told all the same
        kept = connection.execute(sa.select(RUNS.c.error, RUNS.c.traceback)).one()
    assert tuple(kept) == ("killed", "where")
    assert stored(Failure("diverged", ""))[0] == "failed"
    assert stored(whole) == ("done", 2)


def test_a_passing_failure_is_tried_again_and_the_result_counts(lab: Lab) -> None:
    tries: dict[str, int] = {}

    def work(training: Training) -> TrainingResult:
        tries[training.id] = tries.get(training.id, 0) + 1
        if tries[training.id] < ATTEMPTS:
            raise MemoryError("no memory")
        return result_of(training)

    lab.work = work
    lab.run(1)
    assert set(tries.values()) == {ATTEMPTS}
    assert lab.states() == [TrialState.COMPLETE] * 4
    assert ("retried", "MemoryError: no memory") in lab.events


def test_a_failure_that_never_passes_ends_and_the_next_start_tries_again(lab: Lab) -> None:
    def killed(training: Training) -> TrainingResult:
        raise WorkerLostError

    lab.work = killed
    lab.run(1)
    assert len(lab.done) == 4 * ATTEMPTS
    assert set(lab.column(RUNS.c.status)) == {"lost"}
    assert set(lab.column(RUNS.c.error)) == {"the worker process was killed"}
    lab.work = result_of
    lab.run(1)
    assert set(lab.column(RUNS.c.status)) == {"done"}
    assert [s.name for s in lab.states()] == ["COMPLETE"] * 4
    assert lab.count(CELLS) == 4


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (SystemExit(), True),  # Lightning's answer to SIGTERM is one
        (MemoryError(), True),
        (OSError(28, "No space left on device"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (DivergedError("nan"), False),
        (UserError("bad value"), False),
    ],
)
def test_only_causes_outside_the_training_may_pass(error: BaseException, passes: bool) -> None:
    assert may_pass(error) is passes


def test_any_workers_give_the_same_figures(lab: Lab, tmp_path: Path) -> None:
    lab.run(2)
    engine = open_engine(f"sqlite:///{tmp_path}/other.db", create=True)
    other = Lab(engine, lab.work, lab.definition, tmp_path)
    other.run(2, Immediate())

    def figures(one: Lab) -> set[Any]:
        with one.engine.connect() as connection:
            return {tuple(row) for row in connection.execute(sa.select(MEASUREMENTS))}

    assert figures(lab) == figures(other)


def test_a_second_planner_is_refused_by_name_until_the_first_ends(lab: Lab) -> None:
    update_study(lab.engine, replace(lab.record(), planner="process 77 on host"))
    with (
        only_planner(lab.engine, "tower_shape"),
        pytest.raises(UserError, match="'tower_shape' is being run by process 77 on host"),
        only_planner(lab.engine, "tower_shape"),
    ):
        pass
    with only_planner(lab.engine, "tower_shape"), only_planner(lab.engine, "gate_depth"):
        pass


def test_a_link_to_the_database_has_the_same_lock(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "studies.db")
    other = open_engine(f"sqlite:///{tmp_path}/link.db", create=True)
    with (
        only_planner(lab.engine, "tower_shape"),
        pytest.raises(UserError, match="is being run by"),
        only_planner(other, "tower_shape"),
    ):
        pass


def test_every_setting_that_differs_is_named() -> None:
    study = catalog.get("tower_shape")
    assert isinstance(study, Study)
    before = record_of(study)
    assert differences(StudyRecord.from_row(before.to_row()), before) == ()
    data = small_data()
    longer = replace(SETTINGS, epochs=7, dropout=0.25)
    after = record_of(study, replace(data, settings=longer), longer)
    assert differences(before, after) == (
        "dropout: 0.0 there, 0.25 now",  # of the data set and at four arms, told once
        "epochs: 30 there, 7 now",
    )
    elsewhere = record_of(study, replace(data, content_hash="other"))
    assert differences(before, elsewhere) == (
        "content of planted: 'hash of planted' there, 'other' now",
    )


THEN = "2025-01-02T03:04:05+00:00"


def test_claims_and_how_a_search_is_run_may_change_and_what_it_seeks_may_not() -> None:
    planned = record_of(one_factor_study()).plan
    search = catalog.get("pareto")
    assert isinstance(search, Search)
    one = StudyRecord("pareto", search, search, planned, THEN, methods=({"trials": 10},))
    other = replace(search, trials=99, sampler="random")
    two = StudyRecord("pareto", other, other, planned, NOW, methods=({"trials": 99},))
    assert differences(one, two) == ()
    assert going_on(one, two).methods == ({"trials": 10}, {"trials": 99})
    assert going_on(going_on(one, two), one).methods == ({"trials": 99}, {"trials": 10})
    assert going_on(one, two).created_at == THEN
    sought = replace(two, definition=replace(other, max_params=10))
    assert differences(one, sought) == ("max-params: None there, 10 now",)


def one_factor_study(
    values: tuple[float, ...] = (0.01, 0.02), name: str = "learning_rate"
) -> Study:
    return Study(
        name="mine",
        title="Mine",
        question="?",
        factor=name,
        base=MODELS["fsmd"],
        arms=one_factor(Factor(name, values)),
        reference=str(values[0]),
    )


def test_what_an_arm_or_the_base_sets_stays_and_what_they_leave_open_comes_from_the_data() -> None:
    study = one_factor_study()
    study = replace(study, base=replace(study.base, dropout=0.4))
    for arm, rate in zip(record_of(study).plan.arms, (0.01, 0.02), strict=True):
        assert arm.config.learning_rate == rate
        assert of_network(arm.config).dropout == 0.4
        assert of_network(arm.config).batch_size == SETTINGS.batch_size
        assert arm.config.left_open == ()


def test_an_arm_is_trained_by_the_settings_of_the_data_it_brings() -> None:
    study = one_factor_study()
    first, second = study.arms
    study = replace(study, arms=(first, replace(second, data="other")))
    small = replace(SETTINGS, batch_size=64)
    sets = {"planted": small_data(), "other": replace(small_data(name="other"), settings=small)}
    planned = plan(study, sets, SETTINGS, 0, record_of(one_factor_study()).plan.runtime)
    assert [of_network(arm.config).batch_size for arm in planned.arms] == [512, 64]
    assert [facts.name for facts in planned.sets] == ["planted", "other"]


def test_data_sets_of_different_tasks_are_no_study() -> None:
    study = one_factor_study()
    losses = tuple(replace(task, metric="log_loss") for task in TASKS)
    for tasks in ((Task("buy"),), losses):
        sets = {"planted": small_data(), "other": small_data(tasks, name="other")}
        with pytest.raises(UserError, match=r"same tasks; got planted: click \(auc\), long_view"):
            plan(study, sets, SETTINGS, 0, record_of(study).plan.runtime)


def test_claims_of_a_users_own_study_are_of_tasks_of_the_data() -> None:
    """Only in the catalog's do tasks stand in for others."""
    sets, arms = {"planted": small_data(TASKS, name="shop")}, ("0.01", "0.02")
    buy, gain, click = Above("buy", *arms), NotEverywhere(*arms), Above("click", *arms)
    rules: tuple[Rule, ...] = (buy, gain, click, Above("mean", *arms))
    for rule, file in product(rules, ("", "mine.py")):
        study = replace(one_factor_study(), tasks=("click", "buy"), file=file)
        study = replace(study, claims=(Claim("a", "It is.", "me", (rule,)),))
        told = r"must be of shop \(click, long_view\); got buy: say tasks="
        refused = file and rule in (buy, gain, click)  # as click would stand for another
        with pytest.raises(UserError, match=told) if refused else nullcontext():
            check(study)
            plan(study, sets, SETTINGS, 0, Runtime())


def test_a_model_that_the_data_cannot_carry_is_refused_before_anything_is_stored() -> None:
    study = one_factor_study()
    study = replace(study, base=replace(study.base, task_weights=(1.0, 1.0, 2.0)))
    with pytest.raises(UserError, match="`task_weights` must hold one weight for each"):
        record_of(study)


def test_without_a_funnel_the_chain_falls_away_and_the_plan_says_so(lab: Lab) -> None:
    planned = record_of(lab.definition, small_data(UNRELATED)).plan
    assert planned.chain_dropped is True
    assert not any(of_network(arm.config).chain for arm in planned.arms)
    assert record_of(lab.definition).plan.chain_dropped is False


def test_a_study_may_grow_but_its_arms_may_not_change(lab: Lab) -> None:
    full = lab.definition
    small = replace(full, arms=full.arms[:2], reference="constant", claims=())
    assert differences(record_of(small), record_of(full)) == ()
    deeper = replace(full.arms[0], changes=(*full.arms[0].changes, ("gate_depth", 4)))
    other = replace(full, arms=(deeper, *full.arms[1:]))
    assert differences(record_of(full), record_of(other)) == ("gate_depth: 2 there, 4 now",)
    with pytest.raises(UserError, match=r"gate_depth: 2 there, 3 now.*--name"):
        stored_after(lab.engine, full, changed(full, None, ["gate_depth=3"]))


def stored_after(engine: sa.Engine, *studies: Study) -> StudyRecord:
    """A study that was planned, and went on with other definitions of it."""
    for study in studies:
        open_record(engine, record_of(study))
    record = find_study(engine, studies[0].name)
    assert record is not None
    return record


def test_what_was_stated_at_planning_stays_and_a_study_with_other_claims_goes_on(
    lab: Lab,
) -> None:
    study = lab.definition
    late = Claim("late", "Constant is best.", "", (Best("mean", "constant"),))
    first = replace(study, arms=study.arms[:3], claims=(late,), reference="constant")
    second = replace(study, claims=(*study.claims, late), margins=(("auc", 0.01),))
    record = stored_after(lab.engine, first, second)
    assert [arm.name for arm in record.plan.arms] == [arm.name for arm in study.arms]  # it grew
    assert record.study == second
    assert record.stated == first


def test_a_claim_with_another_rule_or_text_is_another_claim(lab: Lab) -> None:
    claim = lab.definition.claims[0]
    told = [
        replace(lab.definition, claims=(other,)).to_dict()["claims"]
        for other in (claim, replace(claim, text="Else."), replace(claim, rules=claim.rules[:1]))
    ]
    assert told[0] not in told[1:]
    assert told[0][0]["rules"][0] == {
        "rule": "Best",
        "target": "long_view",
        "arm": "diamond",
        "among": (),
    }


def test_arms_that_are_one_model_without_a_funnel_are_trained_once(lab: Lab) -> None:
    base = MODELS["base"]
    models = named(((name, MODELS[name]) for name in ("ple", "fs", "fsmd")), "model", base)
    study = replace(lab.definition, arms=models, base=base)
    chained, free = (record_of(study, small_data(tasks)).plan for tasks in (TASKS, UNRELATED))
    assert [arm.name for arm in chained.arms] == ["ple", "fs", "fsmd"]
    assert [arm.name for arm in free.arms] == ["ple", "fs"]
    assert free.same == (("fsmd", "fs"),)


def test_arms_of_another_stream_get_other_seeds() -> None:
    assert replicate_seed(0, 1, stream=1) != replicate_seed(0, 1) == replicate_seed(0, 1, 0)


def test_seeds_are_what_they_were_when_the_first_results_were_stored() -> None:
    assert [replicate_seed(0, r) for r in range(3)] == [514591061, 589272268, 586211419]
    assert replicate_seed(7, 2, 3) == 964739310


def test_studies_on_other_data_are_kept_apart_by_name(lab: Lab) -> None:
    study = lab.definition
    assert study_name(study, "planted") == "tower_shape"
    assert study_name(study, "planted:conflict=0.25") == "tower_shape-planted-conflict-0.25"
    assert study_name(study, "kuairand") == "tower_shape-kuairand"


def test_a_search_that_seeks_something_else_is_kept_apart_by_name() -> None:
    search = catalog.get("pareto")
    assert isinstance(search, Search)
    assert study_name(search, search.data, search) == "pareto"
    wider = replace(search, space="full", objectives=(*search.objectives, "params"))
    assert study_name(wider, "kuairand", search) == "pareto-full-params-kuairand"
    assert study_name(replace(search, trials=7), search.data, search) == "pareto"


@pytest.mark.parametrize("name", catalog.names())
def test_every_study_of_the_catalog_can_be_planned(name: str) -> None:
    study = catalog.get(name)
    assert study.name == name
    assert type(study).from_dict(json.loads(json.dumps(study.to_dict()))) == study
    if isinstance(study, Search):
        return
    assert study.claims or name == "curves"  # material for a benchmark: it judges nothing
    assert len({claim.id for claim in study.claims}) == len(study.claims)
    tasks = (Task(study.tasks[0]), Task(study.tasks[1], after=study.tasks[0]))
    names = dict.fromkeys((study.data, *(arm.data for arm in study.arms if arm.data)))
    sets = {data: small_data(tasks, data) for data in names}
    planned = plan(study, sets, SETTINGS, 0, record_of(one_factor_study()).plan.runtime)
    record = StudyRecord(name, study, study, planned, created_at=NOW)
    assert StudyRecord.from_row(json.loads(json.dumps(record.to_row()))) == record
    trainings = cells(record, {data: sets[data].ref for data in sets}, 2)
    assert len(trainings) == 2 * len(study.arms)
    assert len({cell.training.id for cell in trainings}) == len(trainings)
    axes = study_axes(study)
    for axis, value in (pair for arm in study.arms for pair in arm.params):
        assert contains(axes[axis], value)
    assert len({arm.params for arm in study.arms}) == len(study.arms)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": "cube"}, "the reference of 'mine' must be one of its arms .0.01, 0.02."),
        (
            {"claims": (Claim("c", "", "", (Above("click", "0.01", "cube"),)),)},
            "claim 'c' of 'mine' names 'cube'",
        ),
        (
            {"claims": (Claim("c", "", "", (Best("first", "0.01"),)),)},
            r"`tasks` \(click, long_view\) or mean; got 'first': say tasks=",
        ),
        ({"arms": one_factor(Factor("dropout", (0.1, 0.1)))}, "arm '0.1' of 'mine' is there twic"),
        ({"name": "../mine"}, "the name of a study must consist of at most 100 letters"),
        (
            {"base": MODELS["ple"], "arms": one_factor(Factor("fm", ("no",)))},
            "`fm` must be one of",
        ),
    ],
)
def test_a_definition_that_contradicts_itself_is_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        check(replace(one_factor_study(), **change))


def test_an_axis_holds_whatever_the_arms_are_without_a_list_kept_by_hand() -> None:
    rates = study_axes(one_factor_study())["learning_rate"]
    assert rates == FloatDistribution(0.01, 0.02, log=True)
    switch = study_axes(one_factor_study((True, False), "batch_norm"))
    assert switch["batch_norm"] == CategoricalDistribution((True, False))
    wide = study_axes(one_factor_study((8, 999), "embedding_size"))["embedding_size"]
    assert contains(wide, 999)
    arms = tuple(Arm(name, (), (("kind", name),)) for name in ("red", "blue"))
    own = study_axes(replace(one_factor_study(), arms=arms))
    assert own["kind"] == CategoricalDistribution(("red", "blue"))


def test_a_study_may_grow_by_a_data_set() -> None:
    study = replace(one_factor_study(), data="planted")
    more = (*study.arms, replace(study.arms[0], name="elsewhere", data="other"))
    sets = {name: small_data(name=name) for name in ("planted", "other")}
    planned = plan(replace(study, arms=more), sets, SETTINGS, 0, record_of(study).plan.runtime)
    grown = replace(record_of(study), plan=planned)
    assert differences(record_of(study), grown) == ()
    assert differences(grown, record_of(study)) == ()


def test_an_axis_of_numbers_grows_from_whole_ones_to_fractions_and_back(lab: Lab) -> None:
    """Optuna refuses another kind of number."""
    base = one_factor_study()
    values: tuple[tuple[float | str, ...], ...] = ((1,), (1, 0.5), (1, 0.5, 3))
    for known in values:
        arms = tuple(
            Arm(str(v), (("gate_depth", i + 1),), (("knob", v),)) for i, v in enumerate(known)
        )
        lab.definition = replace(base, arms=arms, reference="1")
        lab.run(1)
    assert [trial.params["knob"] for trial in lab.mirror().study.trials] == [1.0, 0.5, 3.0]


def test_an_axis_of_names_grows_with_the_study(lab: Lab) -> None:
    """Optuna refuses a stored categorical axis that grows."""
    changes = (("gate_depth", 1), ("gate_depth", 2), ("gate_depth", 3))
    arms = tuple(
        Arm(name, (change,), (("kind", name),))
        for name, change in zip(("red", "blue", "green"), changes, strict=True)
    )
    small = replace(one_factor_study(), arms=arms[1:2], reference="blue")
    for study in (small, replace(small, arms=arms)):
        lab.definition = study
        lab.run(1)
    params = [trial.params["kind"] for trial in lab.mirror().study.trials]
    assert params == ["blue", "red", "green"]
    assert len(lab.done) == 3


def test_test_rows_are_kept_once_whoever_comes_first(lab: Lab) -> None:
    data = small_data()
    for _ in range(2):
        record_rows(lab.engine, data)
    assert lab.column(TEST_ROWS.c.column) == ["label:click", "label:long_view"]  # no users
    units = replace(
        data, test=replace(data.test, users=np.zeros(4, np.uint32)), content_hash="with users"
    )
    for _ in range(2):
        record_rows(lab.engine, units)
    assert lab.column(TEST_ROWS.c.column).count("user") == 1
    assert lab.count(TEST_ROWS) == 2 * len(TASKS) + 1


def test_the_gpu_that_trains_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", {"cuda:1": "NVIDIA H100"}.__getitem__)
    assert provenance("cuda:1").machine == f"{machine()}, NVIDIA H100"
    assert provenance("cpu").machine == machine()


def test_a_gpu_that_is_not_there_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", str)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert runtime_for("cuda:0", "auto", None).device == "cuda:0"
    assert runtime_for("auto", "auto", None).device == "cuda"
    assert runtime_for("auto", "auto", Runtime("cuda")).device == "cuda"
    with pytest.raises(UserError, match="cuda:1 needs a CUDA device"):
        runtime_for("cuda:1", "auto", None)
    with pytest.raises(UserError, match="this study was run on cuda:1"):
        runtime_for("auto", "auto", Runtime("cuda:1"))


def test_a_study_that_goes_on_keeps_its_precision_and_is_refused_another_by_name(
    lab: Lab,
) -> None:
    half = Runtime("cpu", "bfloat16")
    assert runtime_for("cpu", "auto", None) == Runtime("cpu", "float32")
    assert runtime_for("cpu", "auto", half) == runtime_for("cpu", "bfloat16", None) == half
    with pytest.raises(UserError, match="--precision must be auto, float32, bfloat16; got 'f16'"):
        runtime_for("cpu", "f16", None)
    record = record_of(one_factor_study())
    assert open_record(lab.engine, record, "cpu", "bfloat16").plan.runtime == half
    assert open_record(lab.engine, record, "cpu").plan.runtime == half
    with pytest.raises(UserError, match="precision: 'bfloat16' there, 'float32' now"):
        open_record(lab.engine, record, "cpu", "float32")


def test_a_study_on_a_gpu_has_a_stack_of_what_is_of_one_shape_and_keeps_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = record_of(one_factor_study())  # of two learning rates
    assert largest_stack(record, replicates=5) == 10
    assert largest_stack(record, replicates=50) == MOST_OF_ITSELF
    first, second = record.plan.arms
    assert isinstance(second.config, FSMDConfig)
    deeper = replace(second, config=replace(second.config, gate_depth=2))
    shapes = replace(record.plan, arms=(first, deeper))
    assert largest_stack(replace(record, plan=shapes), replicates=5) == 5
    assert runtime_for("cpu", "auto", None, most=5).stack == 1
    monkeypatch.setattr("studies.workers.local.multiplies_bfloat16", lambda _: False)
    monkeypatch.setattr("shutil.which", str)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert runtime_for("auto", "auto", None, most=5) == Runtime("cuda", stack=5)
    assert open_record(lab.engine, record, "cuda", replicates=3).plan.runtime.stack == 6
    assert open_record(lab.engine, record, "cuda", replicates=9).plan.runtime.stack == 6
    for runtime, told in ((Runtime("cuda"), True), (Runtime(), False), (Runtime(stack=2), True)):
        run: Any = SimpleNamespace(
            engine=lab.engine,
            record=replace(record, plan=replace(record.plan, runtime=runtime)),
            runs=(),
        )
        assert (f"--stack {runtime.stack}" in run_command(run)) == told
    with pytest.raises(UserError, match="stack: 6 there, 4 now"):
        open_record(lab.engine, record, "cuda", stack=4)
    with pytest.raises(UserError, match="a stack must be of 1 to 1024 trainings; got 0"):
        Runtime(stack=0)


FAST = {"x86": "flags\t\t: fpu avx512_bf16 sse", "newer x86": "flags : amx_bf16 amx_tile"}
SLOW = {"older x86": "flags : avx512f", "arm": "Features : asimd bf16", "none": ""}


@pytest.mark.parametrize(("facts", "fast"), [(FAST, True), (SLOW, False)], ids=["fast", "slow"])
def test_a_processor_multiplies_bfloat16_fast_where_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, facts: dict[str, str], fast: bool
) -> None:
    monkeypatch.setattr("studies.machine.FAST_BFLOAT16", frozenset({"avx512_bf16", "amx_bf16"}))
    monkeypatch.setattr("studies.machine.CPU_FACTS", tmp_path / "cpuinfo")
    assert not multiplies_bfloat16("cpu")  # a system that tells nothing
    for fact in facts.values():
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{fact}\n")
        assert multiplies_bfloat16("cpu") == fast


@pytest.mark.parametrize(("capability", "fast"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_multiplies_bfloat16_fast_from_a_capability_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], fast: bool
) -> None:
    monkeypatch.setattr("torch.cuda.get_device_capability", {"cuda:1": capability}.__getitem__)
    assert multiplies_bfloat16("cuda:1") == fast


@pytest.mark.parametrize(
    ("told", "name", "fast"),
    [
        ("NVIDIA H100 80GB HBM3, 9.0\n", "NVIDIA H100 80GB HBM3", True),
        ("NVIDIA A100, 8.0\nNVIDIA A100, 8.0\n", "NVIDIA A100", True),
        ("NVIDIA A100, 8.0\nTesla T4, 7.5\n", "NVIDIA A100 and Tesla T4", False),
        ("NVIDIA H100, [N/A]\n", "", False),
        ("", "", False),
    ],
)
def test_what_gpus_there_are_is_known_without_torch(
    told: str, name: str, *, fast: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{told}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert gpus() == (name, fast)


@dataclass(frozen=True)
class Elsewhere:
    """Other machines, which have GPUs."""

    fast: bool

    def has_device(self, _: str) -> bool:
        return True

    def multiplies_bfloat16(self, _: str) -> bool:
        return self.fast


@pytest.mark.parametrize(("fast", "precision"), [(True, "bfloat16"), (False, "float32")])
def test_where_others_train_their_machines_decide_and_not_this_one(
    *, fast: bool, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studies.workers.local.multiplies_bfloat16", lambda _: not fast)
    auto = partial(runtime_for, rounding=True, most=5, hardware=Elsewhere(fast))
    assert auto("auto", "auto", None) == Runtime("cuda", precision, 5)
    assert auto("cpu", "auto", None) == Runtime("cpu", precision)


def test_auto_trains_a_new_study_in_bfloat16_where_that_is_fast_and_its_models_allow_it(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "studies.workers.local.multiplies_bfloat16", lambda device: device == "cpu"
    )
    gated, plain = one_factor_study(), replace(one_factor_study(), name="plain")
    plain = replace(plain, base=MODELS["single_task"])
    assert open_record(lab.engine, record_of(gated)).plan.runtime.precision == "bfloat16"
    assert open_record(lab.engine, record_of(plain)).plan.runtime.precision == "float32"
    # What is stored stays as it is, wherever it goes on.
    monkeypatch.setattr("studies.workers.local.multiplies_bfloat16", lambda _: False)
    assert open_record(lab.engine, record_of(gated)).plan.runtime.precision == "bfloat16"


def test_auto_takes_bfloat16_for_models_that_share_as_fsmd_does_alone() -> None:
    names = [name for name in catalog.names() if may_round(catalog.get(name))]
    kept = [name for name in catalog.names() if name not in names]
    assert {"tower_shape", "gate_depth", "expert_count", "pareto"} <= set(names)
    assert {"models_census", "models_video", "auto"} <= set(kept)
    study = one_factor_study()
    for name in ("ple", "mmoe", "single_task"):
        assert not may_round(replace(study, base=MODELS[name]))
    assert may_round(replace(study, arms=(*study.arms, *baselines(("constant",)))))
    assert not may_round(replace(study, arms=baselines(("constant", "trees"))))
    search = catalog.get("pareto")
    assert isinstance(search, Search)
    for space in ("architecture", "none such"):
        assert not may_round(replace(search, space=space))


class Absent(Immediate):
    """They do two calls; with the next one the time is up, and it waits or its worker dies."""

    def __init__(self, *, die: bool) -> None:
        self.left, self.die, self.clock = 2, die, 0.0
        self.waiting: list[Future[Any]] = []

    def submit(self, work: Any, /, *args: Any, **kwargs: Any) -> Any:
        self.left -= 1
        if self.left >= 0:
            return super().submit(work, *args, **kwargs)
        self.clock = 100.0
        self.waiting.append(Future())
        if self.die:
            self.waiting[-1].set_exception(WorkerLostError())
        return self.waiting[-1]

    def withdraw(self, future: Future[Any]) -> bool:
        return future.cancel()


@pytest.mark.parametrize("die", [False, True])
def test_what_no_worker_has_begun_by_the_deadline_is_left_for_another_run(
    lab: Lab, die: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers, count = Absent(die=die), len(lab.cells(1))
    monkeypatch.setattr(
        "studies.planner.planner.time", SimpleNamespace(monotonic=lambda: workers.clock)
    )

    def work(trainings: Sequence[Training], *_: object, **__: object) -> list[TrainingResult]:
        return list(map(result_of, trainings))

    planner = replace(lab.planner(workers), work=work, deadline=100.0)
    assert planner.run(lab.cells(1)) == Tally(0, 2, 0, 0, cut=count - 2)
    assert [future.done() for future in workers.waiting] == [True]
    # None runs, though one was begun.
    assert lab.states() == [*[TrialState.COMPLETE] * 2, TrialState.WAITING]
    assert lab.run(1) == Tally(2, count - 2, 0, 0)
    assert set(lab.states()) == {TrialState.COMPLETE}


@dataclass
class Stacked:
    """An agenda of steps that hold several trainings each."""

    steps: list[Step]
    ends: list[tuple[str, bool]] = field(default_factory=list)

    def next(self) -> Step | None:
        return self.steps.pop(0) if self.steps else None

    def settle(self) -> None:
        """Nothing is looked for."""

    def ended(self, cell: Cell, result: TrainingResult | None) -> None:
        self.ends.append((cell.arm, result is not None))

    def waits(self, cell: Cell) -> None:
        """There is time enough."""


def test_a_step_may_hold_several_trainings_and_each_ends_for_itself(lab: Lab) -> None:
    """One fails for good, one loses its memory once, and two are trained."""
    tries: list[str] = []

    def work(training: Training) -> TrainingResult | Failure:
        shape = of_network(training.config).tower_shape
        tries.append(shape)
        if shape == "increasing":
            return Failure("DivergedError: nan", "where")
        if shape == "decreasing" and tries.count(shape) == 1:
            return Failure("MemoryError: no memory", "where", passing=True)
        return result_of(training)

    lab.work = work
    agenda = Stacked([Step(lab.cells(1))])
    lab.planner(Immediate()).follow(agenda)
    assert tries == ["constant", "increasing", "decreasing", "diamond", "decreasing"]
    assert agenda.ends == [
        ("constant", True),
        ("increasing", False),
        ("diamond", True),
        ("decreasing", True),
    ]
    assert sorted(state.name for state in lab.states()) == ["COMPLETE"] * 3 + ["FAIL"]
    assert lab.count(CELLS) == lab.count(RUNS) == 4
    assert sorted(lab.column(RUNS.c.attempts)) == [1, 1, 1, 2]


def test_a_worker_that_dies_costs_the_trainings_of_its_step_one_try_each(lab: Lab) -> None:
    def dying(training: Training) -> TrainingResult:
        if lab.done.count(training.id) == 1:
            raise WorkerLostError
        return result_of(training)

    lab.work = dying
    agenda = Stacked([Step(lab.cells(1))])
    lab.planner(Immediate()).follow(agenda)
    assert [result for _, result in agenda.ends] == [True] * 4
    assert lab.column(RUNS.c.attempts) == [2] * 4
    assert lab.events.count(("retried", "the worker process was killed")) == 4


def test_a_mirror_is_told_each_objective_in_its_own_direction(lab: Lab) -> None:
    """Targets come from the tasks' own metrics; costs from the cell, or from the result."""
    tasks = (Task("click"), Task("long_view", metric="log_loss", after="click"))
    objectives = objectives_named(("tasks", "params", "seconds"), tasks)
    ends: dict[str, Callable[[TrainingResult], float]] = {"seconds": lambda r: r.seconds}
    mirror: Mirror = open_mirror(lab.engine, "costly", tasks, objectives, end_costs=ends)
    assert [direction.name for direction in mirror.study.directions] == [
        "MAXIMIZE",
        "MINIMIZE",
        "MINIMIZE",
        "MINIMIZE",
    ]
    cell = replace(lab.cells(1)[0], costs={"params": 1234.0})
    result = result_of(cell.training, tasks)
    mirror.open(cell)
    mirror.tell(cell, result)
    mirror.tell(cell, result)
    (trial,) = mirror.study.trials
    click, loss = (result.value("valid", task.name, task.metric) for task in tasks)
    assert trial.values == [click, loss, 1234.0, result.seconds]
    own = {"arm": cell.arm, "replicate": 0, "run": cell.training.id, "costs": {"params": 1234.0}}
    assert trial.user_attrs == {**own, "seed": cell.training.seed}


@pytest.mark.parametrize(
    ("model", "assignments", "field_name", "value"),
    [
        (None, ["gate_width=128"], "gate_width", 128),
        (None, ["layers=64,32"], "layers", (64, 32)),
        (None, ["bottom="], "bottom", ()),
        (None, ["dropout=0.1"], "dropout", 0.1),
        (None, ["dropout=0.1", "dropout=open"], "dropout", None),
        (None, ["own_experts=None"], "own_experts", None),
        (None, ["batch_norm=False"], "batch_norm", False),
        (None, ["fm=none"], "fm", "none"),
        (None, ["task_weights=1,0.5"], "task_weights", (1.0, 0.5)),
        ("mmoe", [], "sharing", "experts"),
        ("mmoe", [], "gate_depth", 2),  # what tells no model from another stays as the study's
    ],
)
def test_a_base_is_changed_by_field_and_each_value_read_by_the_fields_type(
    lab: Lab, model: str | None, assignments: Sequence[str], field_name: str, value: object
) -> None:
    base = changed(lab.definition, model, assignments).base
    assert getattr(base, field_name) == value
    assert type(getattr(base, field_name)) is type(value)


@pytest.mark.parametrize(
    ("model", "assignment", "message"),
    [
        ("cube", None, "--base must be one of single_task, deepfm, .*; got 'cube'"),
        (
            None,
            "colour=red",
            "--set must be field=value with one of the fields fm, .*'colour=red'",
        ),
        (None, "dropout", "--set must be field=value"),
        (None, "dropout=much", "--set dropout must be a number; got 'much'"),
        (None, "gate_depth=1.5", "--set gate_depth must be a whole number; got '1.5'"),
        (None, "batch_norm=maybe", "--set batch_norm must be True or False; got 'maybe'"),
        (None, "fm=cube", "`fm` must be one of none"),
        (None, "tower_shape=constant", "every arm of 'tower_shape' sets `tower_shape` itself"),
    ],
)
def test_a_base_that_there_is_not_is_refused(
    lab: Lab, model: str | None, assignment: str | None, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        changed(lab.definition, model, [assignment] if assignment else [])


def test_another_base_that_would_change_no_arm_is_refused(lab: Lab) -> None:
    models = catalog.get("models_census")
    assert isinstance(models, Study)
    with pytest.raises(UserError, match=r"every arm of 'models_census' sets .*sharing itself"):
        changed(models, "mmoe", [])
    assert changed(models, "base", []).base == models.base  # which changes nothing anyway


def test_another_base_and_its_fields_are_judged_together(lab: Lab) -> None:
    """Own experts go with extraction alone."""
    study = replace(lab.definition, base=replace(lab.definition.base, own_experts=2))
    with pytest.raises(UserError, match="`own_experts` needs sharing='extraction'"):
        changed(study, "mmoe", [])
    assert changed(study, "mmoe", ["own_experts=None"]).base.sharing == "experts"


def test_arms_on_two_names_of_one_data_set_are_trained_once() -> None:
    """Else two workers would write one checkpoint."""
    study = one_factor_study()
    twin = replace(study.arms[0], name="twin", data="other")
    sets = {"planted": small_data(), "other": replace(small_data(), name="other")}
    study = replace(study, arms=(*study.arms, twin))
    planned = plan(study, sets, SETTINGS, 0, record_of(one_factor_study()).plan.runtime)
    assert planned.same == (("twin", study.arms[0].name),)


# Longest first


def until_all_end(seconds: Iterable[float], workers: int) -> float:
    """Each begins when a worker has nothing to do."""
    free = [0.0] * workers
    for each in seconds:
        heapq.heapreplace(free, free[0] + each)
    return max(free)


@pytest.mark.parametrize("workers", [1, 2, 3, 4])
@pytest.mark.parametrize("of_arm", [(1, 1, 1, 9), (1, 2, 3, 4), (5, 4, 9, 2), (1, 1, 1, 1)])
def test_all_end_as_soon_as_if_the_longest_of_all_had_come_first(
    lab: Lab, of_arm: tuple[int, ...], workers: int
) -> None:
    cells = lab.cells(6)
    arms = list(dict.fromkeys(cell.arm for cell in cells))
    seconds = {c.training.id: float(of_arm[arms.index(c.arm)]) for c in cells}
    agenda = LongestFirst(cells, seconds, workers)
    order = [seconds[step.cells[0].training.id] for _ in cells if (step := agenda.next())]
    assert len(order) == len(cells)
    best = until_all_end(sorted(seconds.values(), reverse=True), workers)
    assert until_all_end(order, workers) <= 1.06 * best


def test_whole_replicates_come_one_after_the_other_each_with_its_longest_training_first(
    lab: Lab,
) -> None:
    cells = lab.cells(6)
    seconds = {cell.training.id: float(len(cell.arm)) for cell in cells}
    agenda = LongestFirst(cells, seconds, 2)
    steps = [agenda.next() for _ in cells]
    order = [step.cells[0] for step in steps if step]
    assert agenda.next() is None
    assert sorted(map(cells.index, order)) == list(range(len(cells)))
    first = order[:12]  # of 24; the last ones fill up what is left
    assert [cell.replicate for cell in first] == sorted(cell.replicate for cell in first)
    assert [len(cell.arm) for cell in order[:4]] == [10, 10, 8, 7]


def test_what_no_worker_can_do_is_held_back_until_one_can_or_nothing_else_is_left(
    lab: Lab,
) -> None:
    cells = lab.cells(2)
    first, second, *others = dict.fromkeys(cell.arm for cell in cells)
    able, seconds = {*others}, {cell.training.id: float(cell.arm == first) for cell in cells}
    agenda = LongestFirst(cells, seconds, 2, lambda some, _: able >= {cell.arm for cell in some})

    def arm() -> str:
        step = agenda.next()
        assert step
        return step.cells[0].arm

    assert [arm(), arm()] == others
    able.add(second)
    assert [arm(), arm()] == [second, second]  # the one that is next, and the one that was held
    assert [arm() for _ in range(4)] == [*others, first, first]
    assert agenda.next() is None


def test_what_was_held_back_comes_before_another_replicate_but_one_if_room_can_be_kept(
    lab: Lab,
) -> None:
    """So that what is stopped halfway has whole replicates, though small ones always have room."""
    cells = lab.cells(6)
    large, seconds = cells[0].arm, {cell.training.id: 1.0 for cell in cells}

    def has_room(some: Sequence[Cell], overdue: bool) -> bool:
        return overdue or large not in {cell.arm for cell in some}

    agenda = LongestFirst(cells, seconds, 2, has_room)
    order = [step.cells[0] for _ in cells if (step := agenda.next())]
    assert len(order) == len(cells)
    for place, cell in enumerate(order):
        assert all(cell.replicate <= later.replicate + 1 for later in order[place:])


def test_the_planner_asks_its_workers_what_they_have_room_for(lab: Lab) -> None:
    """Else what they cannot would take their places, and what they can would wait."""
    cells = lab.cells(2)
    large = {cell.training.id for cell in cells if cell.arm in (cells[0].arm, cells[2].arm)}

    class Small(Immediate):
        def has_room(self, trainings: Sequence[Training], *, overdue: bool = False) -> bool:
            return large.isdisjoint(training.id for training in trainings)

    lab.run(2, Small())
    assert len(lab.done) == len(cells) > len(large)
    assert {*lab.done[-len(large) :]} == large


def test_how_long_a_training_takes_is_known_from_others_or_from_the_size_of_its_model(
    lab: Lab,
) -> None:
    small, large, largest = (
        replace(lab.cells(1)[0].training, config=SETTINGS.applied(FSMDConfig(layers=layers)))
        for layers in ((32, 16), (64, 32), (256, 128))
    )
    baseline = replace(small, config=BASELINES["constant"])
    guessed = expected(NOTHING, [small, largest, large, baseline])
    assert sorted(guessed, key=guessed.__getitem__) == [
        t.id for t in (baseline, small, large, largest)
    ]
    key = config_hash(small)
    known = expected(Stored({}, {key: 2.0}), [small, large])
    assert known[small.id] == 2.0 * small.epochs
    ratio = guessed[large.id] / guessed[small.id]
    assert known[large.id] == pytest.approx(ratio * known[small.id])
    assert expected(Stored({key: 5.0}, {key: 2.0}), [small]) == {small.id: 5.0}
    record_run(lab.engine, small, result_of(small), 1, Provenance({}, ""))
    stored = read_stored(lab.engine, {small.data.content_hash}, [small, large])
    assert expected(stored, [small])[small.id] == pytest.approx(0.1)
    models = [work(config) for config in (MODELS["shared_bottom"], MODELS["mmoe"], MODELS["ple"])]
    assert models == sorted(models)
