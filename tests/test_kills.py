"""A planner that is ended at any moment loses nothing: run again, it comes to the same.

What survives a kill is what was committed, and files. So a run is watched at every SQL statement
and commit of every engine, ours and Optuna's, and around each step of writing and removing a
checkpoint: wherever a kill there leaves something else than the one before did, that is kept. From
each of these the study is run again, to its end.
"""

import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from fsmd.stats.looks import level
from fsmd.training import Measurement, Training, TrainingResult
from fsmd.writing import replacing
from studies import catalog
from studies.definition import Definition, Search, Study
from studies.planner import planner
from studies.planner.planner import Tally, checkpoint_folder
from studies.request import Request
from studies.search import confirmation
from studies.search import run as search_run
from studies.search.pruning import PRUNERS, SuccessiveHalving
from studies.session import run
from studies.store.database import now, open_engine
from studies.store.looks import StoredLook, read_looks
from studies.store.records import StudyRecord
from studies.store.runs import Provenance, known_cells, record_run
from tests.lab import TASKS, Immediate, Lab, result_of, small_data

TAKES_LONG = True
EPOCHS = 2
SEARCH = Search("look", "Look", "Best?", "paper", sampler="random", trials=4, confirm=1)
GP = replace(SEARCH, name="gp", sampler="gp", trials=6)


def pair() -> Study:
    study = catalog.get("tower_shape")
    assert isinstance(study, Study)
    return replace(study, arms=study.arms[:2], reference=study.arms[0].name, claims=())


def four() -> Study:
    study = catalog.get("tower_shape")
    assert isinstance(study, Study)
    return replace(study, name="auto", claims=(), looks=(2, 3, 5))


AUTO = four()


class Moments:
    """Calls `listen` wherever a kill may strike."""

    listen: Callable[[], None] = staticmethod(lambda: None)


def moment(*_: Any) -> None:
    Moments.listen()


# ------------------------------------------------------------------------------------------
# Work like the real one, without training
# ------------------------------------------------------------------------------------------


def train_all(
    trainings: Sequence[Training], checkpoints: Sequence[Path], until: int | None
) -> list[TrainingResult]:
    return [train(t, path, until) for t, path in zip(trainings, checkpoints, strict=True)]


def train(training: Training, checkpoint: Path, until: int | None) -> TrainingResult:
    """Figures that depend on the training alone; the checkpoint says how far it came."""
    draw = np.random.default_rng(int(training.id[:8], 16))
    curve_EK = draw.uniform(0.6, 0.7, (EPOCHS, len(TASKS)))
    last = min(training.epochs, until or training.epochs)
    whose, before = checkpoint.read_text().split() if checkpoint.exists() else (training.id, 0)
    assert whose == training.id
    for epoch in range(int(before) + 1, last + 1):
        moment()
        with replacing(checkpoint) as fresh:
            fresh.write_text("half")
            moment()
            fresh.write_text(f"{training.id} {epoch}")
        moment()
    best = int(curve_EK[:last].mean(axis=1).argmax()) + 1
    figures = [
        Measurement(epoch, "valid", task.name, task.metric, float(curve_EK[epoch - 1, k]))
        for epoch in range(1, last + 1)
        for k, task in enumerate(TASKS)
    ]
    finished, scores = last == training.epochs, dict[str, bytes]()
    if finished:
        figures += [Measurement(best, "test", task.name, task.metric, 0.5) for task in TASKS]
        scores = {task.name: bytes([best, k]) for k, task in enumerate(TASKS)}
    chosen = {task.name: best for task in TASKS}
    return TrainingResult(tuple(figures), chosen, last, finished, 1.0 * last, 10, scores)


# ------------------------------------------------------------------------------------------
# A place to run in, and to kill
# ------------------------------------------------------------------------------------------


@dataclass
class Watch:
    """Keeps a copy of all that would survive a kill, wherever that changes."""

    folder: Path
    copies: Path
    moments: int = 0
    kept: list[Path] = field(default_factory=list)
    _before: Any = None
    _reader: sqlite3.Connection | None = None

    def __call__(self) -> None:
        self.moments += 1
        database = self.folder / "studies.db"
        if self._reader is None and database.exists():
            self._reader = sqlite3.connect(database)
        # Sees what others have committed, and changes whenever they commit.
        version = self._reader and self._reader.execute("PRAGMA data_version").fetchone()
        files = {path: path.read_bytes() for path in files_in(self.folder / "cache")}
        if (version, files) == self._before:
            return
        self._before = version, files
        copy = self.copies / str(len(self.kept))
        shutil.copytree(self.folder / "cache", copy / "cache")
        if self._reader:
            with closing(sqlite3.connect(copy / "studies.db")) as there:
                self._reader.backup(there)
        self.kept.append(copy)

    def close(self) -> None:
        if self._reader:
            self._reader.close()


@dataclass
class Bench:
    """One place, in which everything is run, so that every path is the same in every run."""

    folder: Path
    copies: Path
    engines: dict[str, sa.Engine] = field(default_factory=dict)

    @property
    def now(self) -> Path:
        return self.folder / "now"

    def start(self, state: Path | None = None) -> None:
        """From nothing, or from what a kill left."""
        for engine in self.engines.values():
            engine.dispose()
        shutil.rmtree(self.now, ignore_errors=True)
        if state:
            shutil.copytree(state, self.now)
        (self.now / "cache").mkdir(parents=True, exist_ok=True)

    def run(self, asked: Definition, replicates: int | None = None) -> dict[str, Any]:
        """Run on from what is there; what it comes to. By default with two replicates, or look by
        look where it is called so."""
        seeds: Any = replicates or ("auto" if asked.name == "auto" else 2)
        storage = f"sqlite:///{self.now}/studies.db"
        way: dict[str, Any] = {"epochs": EPOCHS, "workers": 1, "out": self.now / "out"}
        assert run(Request(asked, replicates=seeds, storage=storage, **way)).failed == 0
        return stored(self.now)

    def watched(self, asked: Definition, state: Path | None = None) -> Watch:
        """All that kills may leave of a run."""
        self.start(state)
        watch = Watch(self.now, self.copies / f"{len(list(self.copies.iterdir()))}")
        Moments.listen = watch
        try:
            self.run(asked)
            watch()
        finally:
            Moments.listen = staticmethod(lambda: None)
            watch.close()
        return watch

    def killed(self, asked: Definition, at: int) -> None:
        """Run in a process of its own, which a signal ends at the `at`-th moment."""
        left = at

        def die() -> None:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

        child = os.fork()
        if child == 0:
            try:
                Moments.listen = die
                self.run(asked)
            finally:
                os._exit(0)  # it has not come to the moment
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


COMES_TO = {
    "cells": "SELECT study, arm, replicate, run_id FROM fsmd_cells",
    "attempts": "SELECT * FROM fsmd_attempts",
    "runs": "SELECT id, status, epochs, chosen_epochs, seconds, error FROM fsmd_runs",
    "looks": "SELECT study, seeds, alpha, asked FROM fsmd_looks",
    "measurements": "SELECT * FROM fsmd_measurements",
    "predictions": "SELECT * FROM fsmd_predictions",
    "test rows": "SELECT * FROM fsmd_test_rows",
    "predictions of validation": "SELECT * FROM fsmd_valid_predictions",
    "validation rows": "SELECT * FROM fsmd_valid_rows",
    "studies": "SELECT name, definition, stated, plan FROM fsmd_studies",
    "Optuna's studies": "SELECT study_name, key, value_json FROM studies NATURAL LEFT JOIN "
    "study_system_attributes",
}


def stored(folder: Path) -> dict[str, Any]:
    """All that a run comes to, but for when it ran, and how often it was tried."""
    with closing(sqlite3.connect(folder / "studies.db")) as connection:
        found: dict[str, Any] = {
            what: sorted(map(str, connection.execute(query))) for what, query in COMES_TO.items()
        }
        trials = []
        for trial_id, name, number, state in connection.execute(
            "SELECT trial_id, study_name, number, state FROM trials NATURAL JOIN studies"
        ).fetchall():
            own = [
                sorted(
                    connection.execute(
                        f"SELECT {columns} FROM {table} WHERE trial_id = ?", [trial_id]
                    )
                )
                for table, columns in (
                    ("trial_user_attributes", "key, value_json"),
                    ("trial_params", "param_name, param_value, distribution_json"),
                    ("trial_values", "objective, value, value_type"),
                )
            ]
            trials.append((name, own, state, number if name in ("look", "gp") else None))
        query = "SELECT name, params FROM fsmd_attempts ORDER BY number"
        found["proposals"] = connection.execute(query).fetchall()
    found["trials"] = sorted(trials, key=str)
    left = (folder / "cache" / "checkpoints").rglob("*")
    found["files"] = [path.name for path in left if path.suffix or not path.is_dir()]
    return found


def check(found: dict[str, Any]) -> None:
    """Whatever was asked for: nothing runs, nothing is there twice, no file is left over."""
    assert not [trial for trial in found["trials"] if trial[2] in ("RUNNING", "WAITING")]
    trials = [(name, own[0]) for name, own, *_ in found["trials"]]
    assert not [trial for trial in trials if trials.count(trial) > 1]
    assert not found["files"]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The whole of a run but for data, trainings and the report."""

    def removed(path: Path) -> None:
        moment()
        remove(path)
        moment()

    here = Bench(tmp_path_factory.mktemp("runs"), tmp_path_factory.mktemp("copies"))
    page = SimpleNamespace(page=here.folder / "report.html", lines=(), figures=(), means=())
    remove, halving = planner._remove, dict(PRUNERS)
    # As it is from the ninth training on: of the first ones it stops none.
    halving["halving"] = lambda epochs, _: SuccessiveHalving(epochs, slack=None, evidence=None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planner, "_remove", removed)
        patch.setattr(search_run, "PRUNERS", halving)
        for name, value in (("AT_LEAST", 1), ("WITH_NEAR", 1), ("AT_MOST", 2)):
            patch.setattr(confirmation, f"CONFIRM_{name}", value)
        patch.setattr(confirmation, "REFERENCES", ())
        patch.setattr("studies.session.cache_root", lambda: here.now / "cache")
        patch.setattr("studies.session.load", lambda *_: small_data())
        patch.setattr("studies.session.LocalWorkers", Immediate)
        patch.setattr("studies.session.train_all", train_all)
        patch.setattr("studies.session.publish_report", lambda *_, **__: None)
        patch.setattr("reports.build.build", lambda *_: page)
        patch.setattr("reports.build.look_at", look_at)
        share(here.engines, patch)
        patch.setattr("os.fsync", lambda _: None)  # which is for power cuts
        for name in ("before_cursor_execute", "commit"):
            sa.event.listen(sa.Engine, name, moment)
        yield here
        for name in ("before_cursor_execute", "commit"):
            sa.event.remove(sa.Engine, name, moment)


def look_at(engine: sa.Engine, record: StudyRecord, seeds: int) -> StoredLook:
    """As figures of the trainings that are stored have it: each look gives up one arm more."""
    made, arms = read_looks(engine, record.name), tuple(arm.name for arm in record.plan.arms)
    known = known_cells(engine, record.name)
    last = max(known[arm, seeds - 1][0] for arm in (made[-1].asked if made else arms))
    given_up = {arm for (arm, _), (run_id, _) in known.items() if run_id == last}
    asked = tuple(arm for arm in (made[-1].asked if made else arms) if arm not in given_up)
    alpha = level(seeds, made[-1].seeds if made else 0, record.looks)
    return StoredLook(seeds, alpha, now(), (), (), (), arms, asked, ())


def share(engines: dict[str, sa.Engine], patch: pytest.MonkeyPatch) -> None:
    """Let all runs have what does not change: most of their time is for making it anew."""
    make = sa.create_engine

    def engine(url: Any, **options: Any) -> sa.Engine:
        key = f"{url} {options}"
        if key not in engines:
            engines[key] = make(url, **options)
        return engines[key]

    patch.setattr("sqlalchemy.create_engine", engine)
    patch.setattr("sqlalchemy.engine.create_engine", engine)


ASKED: dict[str, Definition] = {"study": pair(), "search": SEARCH, "gp": GP, "auto": AUTO}
Whole = Callable[[str], tuple[dict[str, Any], Watch]]


@pytest.fixture(scope="module")
def whole(bench: Bench) -> Whole:
    """What a run comes to that nobody kills, and what kills would have left of it.

    Searches run where a study is done already, which they must leave as it is.
    """

    @cache
    def of(asked: str) -> tuple[dict[str, Any], Watch]:
        before = None if asked in ("study", "auto") else of("study")[1].kept[-1]
        watch = bench.watched(ASKED[asked], before)
        return stored(bench.now), watch

    return of


def some(of: Sequence[Any], count: int, seed: int = 0) -> list[Any]:
    chosen = np.random.default_rng(seed).choice(len(of), count, replace=False)
    return [of[i] for i in sorted(chosen)]


def test_the_search_stops_and_confirms_and_nothing_is_left(whole: Whole) -> None:
    for asked in ("study", "search"):
        check(whole(asked)[0])
    states = {state for name, _, state, _ in whole("search")[0]["trials"] if name == SEARCH.name}
    assert states == {"COMPLETE", "PRUNED"}
    assert any("'look', 'fsmd" in cell or ", 1, '" in cell for cell in whole("search")[0]["cells"])


@pytest.mark.parametrize("asked", ["study", "search", "auto"])
@pytest.mark.parametrize("share", [15, pytest.param(1, marks=pytest.mark.slow)])
def test_wherever_a_planner_is_ended_the_next_run_comes_to_the_same(
    bench: Bench, whole: Whole, asked: str, share: int
) -> None:
    """From each state that a kill may leave; quickly, from every fifteenth."""
    undisturbed, watch = whole(asked)
    assert watch.moments > 150
    assert len(watch.kept) > 40
    for state in watch.kept[:: share * (6 if asked == "auto" else 1)]:
        bench.start(state)
        assert bench.run(ASKED[asked]) == undisturbed, state.name


@pytest.mark.parametrize("asked", ["study", "search"])
def test_a_repair_that_is_ended_too_loses_nothing(bench: Bench, whole: Whole, asked: str) -> None:
    undisturbed, watch = whole(asked)
    for seed, state in enumerate(some(watch.kept, 2)):
        for again in some(bench.watched(ASKED[asked], state).kept, 2, seed):
            bench.start(again)
            assert bench.run(ASKED[asked]) == undisturbed, (state.name, again.name)


@pytest.mark.parametrize("asked", ["study", "search"])
def test_a_planner_that_a_signal_ends_leaves_what_was_committed(
    bench: Bench, whole: Whole, asked: str
) -> None:
    """At some statements; `tests.faults` kills at each."""
    undisturbed, watch = whole(asked)
    for at in some(range(watch.moments), 4):
        bench.start(None if asked == "study" else whole("study")[1].kept[-1])
        bench.killed(ASKED[asked], at)
        assert bench.run(ASKED[asked]) == undisturbed, at


def test_a_search_that_proposes_by_what_was_measured_goes_on_as_it_would_have(
    bench: Bench, whole: Whole
) -> None:
    undisturbed, watch = whole("gp")
    for state in some(watch.kept[len(watch.kept) // 2 :], 2):
        bench.start(state)
        assert bench.run(GP) == undisturbed, state.name


def test_a_study_that_is_asked_otherwise_after_a_kill_leaves_nothing_running(
    bench: Bench, whole: Whole
) -> None:
    undisturbed, watch = whole("study")
    for state in some(watch.kept, 2):
        bench.start(state)
        check(bench.run(pair(), replicates=1))
        assert bench.run(pair(), replicates=2) == undisturbed, state.name
    bench.start()
    more = bench.run(pair(), replicates=3)
    for state in some(watch.kept, 2, seed=1):
        bench.start(state)
        assert bench.run(pair(), replicates=3) == more, state.name


@pytest.mark.parametrize("change", [{"trials": 2}, {"confirm": 0}, {"trials": 6}], ids=str)
def test_a_search_that_is_asked_otherwise_after_a_kill_leaves_nothing_running(
    bench: Bench, whole: Whole, change: dict[str, Any]
) -> None:
    undisturbed, watch = whole("search")
    for state in some(watch.kept, 2, seed=2):
        bench.start(state)
        check(bench.run(replace(SEARCH, **change)))
        after = bench.run(SEARCH)
        check(after)
        same = zip(after["proposals"], undisturbed["proposals"], strict=False)
        assert all(one == other for one, other in same), state.name


# ------------------------------------------------------------------------------------------
# Checkpoints
# ------------------------------------------------------------------------------------------


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    engine = open_engine(f"sqlite:///{tmp_path}/studies.db", create=True)
    return Lab(engine, result_of, pair(), tmp_path / "checkpoints")


def leave(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("left by a planner that died")
    return folder / name


def test_checkpoints_of_what_has_ended_are_removed_and_those_that_others_need_are_not(
    lab: Lab,
) -> None:
    own, others = lab.folder / lab.definition.name, lab.folder / "other"
    now, later = lab.cells(1), lab.cells(2)[-1]
    for cell in now:
        record_run(lab.engine, cell.training, result_of(cell.training), 1, Provenance({}, ""))
        leave(own, f"{cell.training.id}.ckpt")
    done = leave(others, f"{now[0].training.id}.ckpt")
    needed = [leave(others, f"{name}.ckpt") for name in (later.training.id, "unknown")]
    other_database = leave(lab.folder.parent / "elsewhere", f"{now[0].training.id}.ckpt")
    left = [leave(own, name) for name in (f"{later.training.id}.ckpt", ".fsmd-dead.lock")]
    left += [leave(own / ".fsmd-dead.tmp", "new")]
    (own / "folder.ckpt").mkdir()
    lab.run(1)
    assert not own.exists()
    assert not any(path.exists() for path in (done, *left))
    assert all(path.exists() for path in (*needed, other_database))


def test_what_a_living_planner_is_writing_stays(lab: Lab) -> None:
    own = lab.folder / lab.definition.name
    with replacing(own / "unknown.ckpt") as fresh:
        fresh.write_text("half")
        lab.run(1)
        assert fresh.read_text() == "half"


def test_what_cannot_be_removed_costs_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    cell = lab.cells(1)[0]
    left = leave(lab.folder / lab.definition.name, f"{cell.training.id}.ckpt")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refused)
        assert lab.run(1) == Tally(known=0, trained=2, failed=0, lost=0)
    assert left.exists()
    lab.run(1)
    assert not left.exists()


def test_databases_have_checkpoints_of_their_own_however_their_path_is_spelt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    urls = (f"sqlite:///{tmp_path}/one.db", "sqlite:///one.db", "sqlite:///two.db")
    folders = [checkpoint_folder(tmp_path, open_engine(url, create=True)) for url in urls]
    assert folders[0] == folders[1] != folders[2]


@pytest.mark.parametrize("asked", [pair(), SEARCH], ids=["study", "search"])
def test_what_was_lost_is_tried_again_by_the_same_command_and_that_is_what_is_said(
    bench: Bench, asked: Definition, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose(*_: Any) -> list[TrainingResult]:
        raise MemoryError

    bench.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studies.session.train_all", lose)
        with pytest.raises(AssertionError):
            bench.run(asked)
    told = capsys.readouterr().err
    assert "trainings lost" in told
    assert "the same command tries again" in told
    assert "--retry-failed" not in told
    check(bench.run(asked))


def test_what_failed_by_itself_is_tried_again_by_an_option_and_that_is_what_is_said(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> list[TrainingResult]:
        raise ArithmeticError("not finite")

    bench.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studies.session.train_all", fail)
        with pytest.raises(AssertionError):
            bench.run(pair())
    told = capsys.readouterr().err
    assert "4 trainings failed" in told
    assert "the same command with --retry-failed tries again" in told
    assert "lost" not in told


def test_look_by_look_an_arm_that_is_given_up_gets_no_more_seeds(whole: Whole) -> None:
    """So that the test above is of a design that what was measured decides.

    Which arm that is hangs on the trainings' ids, and so on the code; the reference goes on.
    """
    cells = [cell.split("'")[3] for cell in whole("auto")[0]["cells"]]
    assert len(whole("auto")[0]["looks"]) == 3
    seeds = sorted(map(cells.count, set(cells)))
    assert seeds[0] in (2, 3)
    assert seeds[-1] == 5
