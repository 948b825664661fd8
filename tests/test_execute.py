"""The planner hands out what is missing, once, and records what comes back."""

import json
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import sqlalchemy as sa
from lightning.pytorch.utilities.exceptions import SIGTERMException
from optuna.trial import TrialState

from fsmd.config import MODELS
from fsmd.data.schema import Dataset, Field, Schema, Split
from fsmd.errors import UserError
from fsmd.task import Measurement, TrainingResult, TrainingTask
from fsmd.training import DivergedError
from search_spaces.axes import axis
from studies import catalog, storage
from studies.definition import Best, Claim, Study, named
from studies.execute import ATTEMPTS, Planner, Tally, may_pass, open_study
from studies.job import Job, _device, open_record
from studies.locking import only_planner
from studies.planning import (
    Cell,
    cells,
    data_facts,
    design,
    differences,
    fixed_settings,
    replicate_seed,
    stated,
    study_name,
)
from studies.provenance import machine, provenance
from studies.settings import SETTINGS
from studies.storage import MEASUREMENTS, RUNS, Failure, Provenance, StudyRecord

TASKS = ("click", "long_view")


def small_data(funnel: bool = True) -> Dataset:
    split = Split(
        np.zeros((4, 1), np.int32), np.zeros((4, 0), np.float32), np.zeros((4, 2), np.float32)
    )
    schema = Schema("planted", (Field("user", 3),), (), TASKS, funnel)
    return Dataset(schema, split, split, split, np.ones(4, bool), "hash", Path("here"), None)


def result_of(task: TrainingTask) -> TrainingResult:
    """Figures that depend on the task alone."""
    value = 0.5 + (int(task.id[:6], 16) % 1000) / 4000
    measurements = [
        Measurement(epoch, split, name, "auc", value + i / 10 + epoch / 1000)
        for i, name in enumerate(TASKS)
        for epoch, split in ((1, "valid"), (2, "valid"), (2, "test"))
    ]
    return TrainingResult(tuple(measurements), dict.fromkeys(TASKS, 2), 2, True, 0.1, 10)


@dataclass
class Lab:
    """A database, a planner, and work that counts."""

    engine: sa.Engine
    work: Callable[[TrainingTask, Path], TrainingResult]
    definition: Study
    folder: Path
    done: list[str] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)

    def cells(self, replicates: int) -> tuple[Cell, ...]:
        sets = {"planted": small_data()}
        settings = fixed_settings(self.definition, SETTINGS["planted"], sets, 0, "cpu")
        if storage.find_study(self.engine, "tower_shape") is None:
            record = StudyRecord(
                "tower_shape", "tower_shape", "planted", settings, data_facts(sets), storage.now()
            )
            storage.insert_study(self.engine, record)
        return cells(self.definition, sets, settings, replicates)

    def study(self) -> optuna.Study:
        return open_study(self.engine, "tower_shape", TASKS)

    def run(
        self,
        replicates: int,
        executor: Executor | None = None,
        slots: int = 2,
        retry_failed: bool = False,
    ) -> Tally:
        def work(task: TrainingTask, checkpoint: Path, _: int | None) -> TrainingResult:
            self.done.append(task.id)
            return self.work(task, checkpoint)

        with executor or ThreadPoolExecutor(2) as running:
            return Planner(
                engine=self.engine,
                study=self.study(),
                tasks=TASKS,
                executor=running,
                work=work,
                checkpoints=self.folder,
                provenance=Provenance({"torch": "1"}, "a machine"),
                slots=slots,
                retry_failed=retry_failed,
                listen=lambda e: self.events.append((e.kind, e.detail)),
            ).run(self.cells(replicates))

    def count(self, table: sa.Table) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0

    def states(self) -> list[TrialState]:
        return [trial.state for trial in self.study().trials]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    engine = storage.open_engine(f"sqlite:///{tmp_path}/studies.db", create=True)
    definition = catalog.get("tower_shape")
    return Lab(engine, lambda task, _: result_of(task), definition, tmp_path)


def test_every_cell_is_a_trial_with_its_seed_and_its_validation_aucs(lab: Lab) -> None:
    lab.run(3)
    trials = lab.study().trials
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 12
    by_id = {cell.task.id: cell for cell in lab.cells(3)}
    for trial in trials:
        cell = by_id[trial.user_attrs["run"]]
        assert trial.params == {"tower_shape": cell.level}
        assert trial.user_attrs["seed"] == cell.task.seed
        result = result_of(cell.task)
        assert trial.values == [result.value("valid", task, "auc") for task in TASKS]
    assert lab.study().directions == [optuna.study.StudyDirection.MAXIMIZE] * 2
    assert lab.study().metric_names == [f"{task}: validation AUC" for task in TASKS]


def test_replicates_are_paired_the_same_seeds_at_every_level(lab: Lab) -> None:
    seeds: dict[Any, list[int]] = {}
    for cell in lab.cells(4):
        seeds.setdefault(cell.level, []).append(cell.task.seed)
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
    assert lab.count(storage.CELLS) == lab.count(RUNS) == 12
    lab.run(1)
    assert len(lab.done) == 12


def test_a_new_level_adds_only_its_own_cells(lab: Lab) -> None:
    full = lab.definition
    lab.definition = replace(full, arms=(full.arms[0], full.arms[3]))
    lab.run(2)
    lab.definition = full
    lab.run(2)
    assert len(lab.done) == len(set(lab.done)) == 8


def test_a_run_of_another_study_is_taken_over_not_trained_again(lab: Lab) -> None:
    cell = lab.cells(1)[0]
    storage.record_run(lab.engine, cell.task, result_of(cell.task), 1, Provenance({}, ""))
    lab.run(1)
    assert cell.task.id not in lab.done
    assert lab.states() == [TrialState.COMPLETE] * 4


@pytest.mark.parametrize("cut_at", ["record_run", "link_cell", "tell"])
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

    target: Any = optuna.Study if cut_at == "tell" else storage
    with monkeypatch.context() as patch:
        patch.setattr(target, cut_at, dying(getattr(target, cut_at)))
        with pytest.raises(PlannerDied):
            lab.run(2)
    lab.run(2)
    assert sorted(s.name for s in lab.states()) == ["COMPLETE"] * 8
    assert lab.count(storage.CELLS) == lab.count(RUNS) == 8
    assert lab.count(MEASUREMENTS) == 8 * 6
    if cut_at != "record_run":  # what was recorded is never trained again
        twice = [task for task in set(lab.done) if lab.done.count(task) > 1]
        with lab.engine.connect() as connection:
            attempts = connection.scalars(sa.select(RUNS.c.attempts)).all()
        assert set(attempts) == {1}
        assert len(twice) <= 2  # those in flight when it died


def test_a_deterministic_failure_is_recorded_with_its_traceback_and_not_repeated(
    lab: Lab,
) -> None:
    def work(task: TrainingTask, _: Path) -> TrainingResult:
        if task.config.tower_shape == "increasing":
            raise DivergedError("the loss is not finite in epoch 2")
        return result_of(task)

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
    def diverging(task: TrainingTask, _: Path) -> TrainingResult:
        raise DivergedError("the loss is not finite in epoch 2")

    lab.work = diverging
    assert lab.run(1) == Tally(known=0, trained=4, failed=4)
    lab.work = lambda task, _: result_of(task)
    assert lab.run(1) == Tally(known=4, trained=0, failed=4)
    assert lab.run(1, retry_failed=True) == Tally(known=0, trained=4, failed=0)
    assert [s.name for s in lab.states()] == ["FAIL"] * 4 + ["COMPLETE"] * 4


def test_what_another_study_records_meanwhile_is_taken_over(lab: Lab) -> None:
    """Two studies may share a training, and only a study has a lock."""
    first, second = lab.cells(1)[:2]

    def work(task: TrainingTask, _: Path) -> TrainingResult:
        for cell in (first, second):  # another planner is faster, with this one and the next
            storage.record_run(
                lab.engine, cell.task, result_of(cell.task), 7, Provenance({}, "other")
            )
        return result_of(task)

    lab.work = work
    lab.run(1, Immediate(), slots=1)
    assert second.task.id not in lab.done
    assert lab.states() == [TrialState.COMPLETE] * 4
    assert lab.count(RUNS) == lab.count(storage.CELLS) == 4
    with lab.engine.connect() as connection:
        assert connection.scalar(sa.select(RUNS.c.attempts).filter_by(id=first.task.id)) == 7


def test_neither_a_shorter_pause_nor_a_loss_replaces_a_longer_curve(lab: Lab) -> None:
    """Another study may have trained the same task further; a training goes on from there."""
    task = lab.cells(1)[0].task
    whole = result_of(task)

    def paused(epochs: int) -> TrainingResult:
        kept = tuple(m for m in whole.measurements if m.epoch <= epochs and m.split != "test")
        return replace(whole, measurements=kept, epochs=epochs, finished=False, predictions={})

    def stored(outcome: TrainingResult | Failure) -> tuple[str, int]:
        storage.record_run(lab.engine, task, outcome, 1, Provenance({}, ""))
        status = storage.known_runs(lab.engine, [task.id])[task.id]
        return status, storage.known_result(lab.engine, task.id).epochs

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

    def work(task: TrainingTask, _: Path) -> TrainingResult:
        tries[task.id] = tries.get(task.id, 0) + 1
        if tries[task.id] < ATTEMPTS:
            raise MemoryError("no memory")
        return result_of(task)

    lab.work = work
    lab.run(1)
    assert set(tries.values()) == {ATTEMPTS}
    assert lab.states() == [TrialState.COMPLETE] * 4
    assert ("retried", "MemoryError: no memory") in lab.events


def test_a_failure_that_never_passes_ends_and_the_next_start_tries_again(lab: Lab) -> None:
    def killed(task: TrainingTask, _: Path) -> TrainingResult:
        raise BrokenProcessPool("killed")

    lab.work = killed
    lab.run(1)
    assert len(lab.done) == 4 * ATTEMPTS
    with lab.engine.connect() as connection:
        assert set(connection.scalars(sa.select(RUNS.c.status))) == {"lost"}
    lab.work = lambda task, _: result_of(task)
    lab.run(1)
    with lab.engine.connect() as connection:
        assert set(connection.scalars(sa.select(RUNS.c.status))) == {"done"}
    assert [s.name for s in lab.states()] == ["FAIL"] * 4 + ["COMPLETE"] * 4
    assert lab.count(storage.CELLS) == 4


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (BrokenProcessPool("x"), True),
        (SIGTERMException(), True),
        (MemoryError(), True),
        (OSError(28, "No space left on device"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (DivergedError("nan"), False),
        (UserError("bad value"), False),
    ],
)
def test_only_causes_outside_the_task_may_pass(error: BaseException, passes: bool) -> None:
    assert may_pass(error) is passes


class Immediate(Executor):
    """The simplest executor there is: an in-line one."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def test_any_executor_gives_the_same_figures(lab: Lab, tmp_path: Path) -> None:
    lab.run(2)
    other = Lab(
        storage.open_engine(f"sqlite:///{tmp_path}/other.db", create=True),
        lab.work, lab.definition, tmp_path,
    )  # fmt: skip
    other.run(2, Immediate())

    def figures(one: Lab) -> set[Any]:
        with one.engine.connect() as connection:
            return {tuple(row) for row in connection.execute(sa.select(MEASUREMENTS))}

    assert figures(lab) == figures(other)


def test_a_second_planner_is_refused_by_name_until_the_first_ends(lab: Lab) -> None:
    lab.cells(1)
    storage.name_planner(lab.engine, "tower_shape", "process 77 on host")
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
    other = storage.open_engine(f"sqlite:///{tmp_path}/link.db", create=True)
    with (
        only_planner(lab.engine, "tower_shape"),
        pytest.raises(UserError, match="is being run by"),
        only_planner(other, "tower_shape"),
    ):
        pass


def test_every_setting_that_differs_is_named() -> None:
    sets = {"planted": small_data()}
    definition = catalog.get("tower_shape")
    before = fixed_settings(definition, SETTINGS["planted"], sets, 0, "cpu")
    stored = json.loads(json.dumps(before))
    assert list(differences(stored, before)) == []
    settings = replace(SETTINGS["planted"], epochs=7, dropout=0.25)
    after = fixed_settings(definition, settings, sets, 0, "cpu")
    assert list(differences(stored, after)) == [
        "epochs: 30 there, 7 now",
        "dropout: 0.0 there, 0.25 now",  # at four arms, told once
    ]


def test_without_a_funnel_the_chain_falls_away_and_the_settings_say_so() -> None:
    sets = {"planted": small_data(funnel=False)}
    settings = fixed_settings(catalog.get("tower_shape"), SETTINGS["planted"], sets, 0, "cpu")
    assert settings["chain_dropped"] is True
    assert not any(arm["config"]["chain"] for arm in settings["arms"].values())


def test_a_study_may_grow_but_its_arms_may_not_change() -> None:
    sets = {"planted": small_data()}
    full = catalog.get("tower_shape")
    small = replace(full, arms=full.arms[:2])
    before, after = (
        fixed_settings(study, SETTINGS["planted"], sets, 0, "cpu") for study in (small, full)
    )
    assert list(differences(before, after)) == []
    changed = replace(full.arms[0], config=replace(full.arms[0].config, gate_depth=4))
    other = replace(full, arms=(changed, *full.arms[1:]))
    now = fixed_settings(other, SETTINGS["planted"], sets, 0, "cpu")
    assert list(differences(after, now)) == ["gate_depth: 2 there, 4 now"]


def stored_after(engine: sa.Engine, *studies: Study) -> dict[str, Any]:
    """The settings of a study that is planned, and goes on with other definitions of it."""
    job = Job(
        study="tower_shape", data=None, replicates=1, epochs=None, patience=None, workers=None,
        storage=str(engine.url), out=Path("out"), device="cpu", seed=0, name=None,
        retry_failed=False,
    )  # fmt: skip
    for study in studies:
        open_record(engine, "tower_shape", study, {"planted": small_data()}, job)
    record = storage.find_study(engine, "tower_shape")
    assert record is not None
    return dict(record.settings)


def test_what_was_stated_at_planning_stays_and_a_study_with_other_claims_goes_on(
    lab: Lab,
) -> None:
    study = catalog.get("tower_shape")
    late = Claim("late", "Constant is best.", "", (Best("mean", "constant"),))
    first = replace(study, arms=study.arms[:3], claims=study.claims[:1])
    second = replace(study, claims=(*study.claims, late), margin=0.01)
    settings = stored_after(lab.engine, first, second)
    assert list(settings["arms"]) == list(study.levels)  # the study grew
    assert settings["stated"] == stated(first) == json.loads(json.dumps(stated(first)))
    assert set(settings["stated"]["claims"]) == {study.claims[0].id}
    assert settings["stated"]["margin"] == study.margin


def test_a_study_that_was_planned_before_statements_were_kept_goes_on_without_one(
    lab: Lab,
) -> None:
    study, sets = catalog.get("tower_shape"), {"planted": small_data()}
    settings = fixed_settings(study, SETTINGS["planted"], sets, 0, "cpu")
    del settings["stated"]
    record = StudyRecord("tower_shape", "tower_shape", "planted", settings, data_facts(sets), "")
    storage.insert_study(lab.engine, record)
    assert "stated" not in stored_after(lab.engine, study)


def test_a_claim_with_another_rule_or_text_is_another_claim() -> None:
    study = catalog.get("tower_shape")
    claim = study.claims[0]
    told = [
        stated(replace(study, claims=(changed,)))["claims"][claim.id]
        for changed in (claim, replace(claim, text="Else."), replace(claim, rules=claim.rules[:1]))
    ]
    assert told[0] not in told[1:]
    assert told[0]["rules"][0] == {"rule": "Best", "target": "second", "level": "diamond",
                                   "among": []}  # fmt: skip


def test_arms_that_are_one_model_without_a_funnel_are_trained_once() -> None:
    both = named(((name, MODELS[name]) for name in ("ple", "fs", "fsmd")), "model")
    study = replace(catalog.get("tower_shape"), arms=both)
    found = {
        funnel: design(study, SETTINGS["planted"], {"planted": small_data(funnel)})
        for funnel in (True, False)
    }
    assert [arm.name for arm in found[True].arms] == ["ple", "fs", "fsmd"]
    assert [arm.name for arm in found[False].arms] == ["ple", "fs"]
    assert found[False].same == {"fsmd": "fs"}


def test_arms_of_another_stream_get_other_seeds() -> None:
    assert replicate_seed(0, 1, stream=1) != replicate_seed(0, 1) == replicate_seed(0, 1, 0)


def test_studies_on_other_data_are_kept_apart_by_name() -> None:
    definition = catalog.get("tower_shape")
    assert study_name(definition, "planted") == "tower_shape"
    assert study_name(definition, "planted:conflict=0.25") == ("tower_shape-planted-conflict-0.25")
    assert study_name(definition, "kuairand") == "tower_shape-kuairand"


@pytest.mark.parametrize("name", catalog.names())
def test_every_study_of_the_catalog_can_be_planned(name: str) -> None:
    study = catalog.get(name)
    assert study.name == name
    assert study.reference in study.levels
    assert len(set(study.levels)) == len(study.levels)
    settings = SETTINGS[study.data.partition(":")[0]]
    assert study.claims or name == "curves"  # material for a benchmark: it judges nothing
    assert len({claim.id for claim in study.claims}) == len(study.claims)
    for rule in (rule for claim in study.claims for rule in claim.rules):
        for attribute in ("level", "other"):
            assert str(getattr(rule, attribute, study.reference)) in study.levels
    names = (study.data, *(arm.data for arm in study.arms if arm.data))
    sets = {name: replace(small_data(), content_hash=name) for name in names}
    planned = cells(study, sets, fixed_settings(study, settings, sets, 0, "cpu"), 2)
    assert len(planned) == 2 * len(study.arms)
    assert len({cell.task.id for cell in planned}) == len(planned)
    for name, level in (pair for arm in study.arms for pair in arm.params):
        axis(name, (level,))
    assert len({arm.params for arm in study.arms}) == len(study.arms)


def test_levels_outside_an_axis_are_refused() -> None:
    with pytest.raises(UserError, match="expert_count=7 is outside"):
        axis("expert_count", (2, 7))
    with pytest.raises(UserError, match="no axis 'colour'; there are model, variant"):
        axis("colour", ("red",))
    with pytest.raises(UserError, match="tower_shape='cube' is outside"):
        axis("tower_shape", ("cube",))


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite:////no/such/folder/x.db", "nosuch://host/db", "sqlite:///."]
)
def test_a_bad_database_url_is_one_clear_line(url: str) -> None:
    with pytest.raises(UserError, match="cannot open the database") as refusal:
        storage.open_engine(url, create=True)
    assert "\n" not in str(refusal.value)


def test_a_missing_driver_is_named_and_no_password_is_shown() -> None:
    with pytest.raises(UserError, match="pip install psycopg2") as refusal:
        storage.open_engine("postgresql+psycopg2://bob:hunter2@db/x", create=True)
    assert "hunter2" not in str(refusal.value)


def test_first_planners_at_once_make_one_set_of_tables(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new.db"

    def start(name: str) -> str:
        engine = storage.open_engine(url, create=True)
        return open_study(engine, name, TASKS).study_name

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(start, "abcdef")) == list("abcdef")


def test_labels_and_users_are_kept_once_whoever_comes_first(lab: Lab) -> None:
    data = small_data()
    users = replace(data.schema, categorical=(Field("user_id", 3),))
    for _ in range(2):
        storage.record_test_rows(lab.engine, data)
    assert lab.count(storage.UNITS) == 0  # the data has no users
    for _ in range(2):
        storage.record_test_rows(lab.engine, replace(data, schema=users))
    assert lab.count(storage.UNITS) == 1
    assert lab.count(storage.LABELS) == len(TASKS)


def test_a_database_that_an_earlier_version_made_is_refused_with_what_to_do(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    engine = storage.open_engine(url, create=True)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE fsmd_units"))
    with pytest.raises(UserError, match="no table fsmd_units; run each of its studies again"):
        storage.open_engine(url)
    storage.open_engine(url, create=True)
    storage.open_engine(url)


def test_reading_a_database_that_is_not_there_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "none.db"
    with pytest.raises(UserError, match="cannot open the database"):
        storage.open_engine(f"sqlite:///{path}")
    assert not path.exists()


def test_the_gpu_that_trains_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", {"cuda:1": "NVIDIA H100"}.__getitem__)
    assert provenance("cuda:1").machine == f"{machine()}, NVIDIA H100"
    assert provenance("cpu").machine == machine()


def test_a_gpu_that_is_not_there_is_refused_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", str)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert _device("cuda:0", None) == "cuda:0"
    assert _device("auto", None) == _device("auto", "cuda") == "cuda"
    with pytest.raises(UserError, match="cuda:1 needs a CUDA device"):
        _device("cuda:1", None)
    with pytest.raises(UserError, match="this study was run on cuda:1"):
        _device("auto", "cuda:1")
