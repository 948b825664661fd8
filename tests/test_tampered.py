"""Whatever stands in the database: a report is as before, or one line says which row cannot be.

Every column of every table of ours is tampered with in many ways, in a database that has a study,
a search and another study, which must never change.
"""

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, replace
from itertools import count, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from fsmd.errors import UserError
from fsmd.packing import pack, unpack
from reports import build as building
from reports.build import build_all, look_at, main, outline_of
from reports.page import model
from reports.page.figure_kind import FigureKind, view_of, views_of
from reports.page.model import FigureView, Outline
from reports.results import load_results, stored_record
from studies.reading import StoredError, read_row, read_together
from studies.search.attempt import read_attempts, search_arms
from studies.session import open_record
from studies.store.costs import CostKey, known_cost
from studies.store.database import open_engine
from studies.store.looks import insert_look, read_looks
from studies.store.records import StudyRecord
from studies.store.runs import known_result, known_runs
from studies.store.studies import find_study, study_names
from studies.store.tables import METADATA, OF_RUNS, STUDIES, TEST_ROWS
from studies.store.trainings import read_trainings
from tests import made_up
from tests.pages import words_of

STUDY, SEARCH, OTHER = "towers", "search", "other"
COST = CostKey("latency", "a model", "some rows", "code", "a machine")
TABLES = {table.name: table for table in METADATA.sorted_tables if table not in OF_RUNS}
FREE = {
    ("fsmd_studies", "created_at"),
    ("fsmd_studies", "planner"),
    ("fsmd_runs", "data"),
    ("fsmd_runs", "libraries"),
    ("fsmd_runs", "machine"),
    ("fsmd_runs", "finished_at"),
    ("fsmd_runs", "seconds"),
    ("fsmd_runs", "parameters"),
    ("fsmd_runs", "attempts"),
    ("fsmd_runs", "error"),
    ("fsmd_runs", "traceback"),
    ("fsmd_cells", "study"),  # the training is then still to come
    ("fsmd_cells", "arm"),  # one that the plan no longer has
    ("fsmd_cells", "replicate"),
    ("fsmd_measurements", "curve"),
    ("fsmd_measurements", "run_id"),  # of a figure that is only shown
    ("fsmd_predictions", "run_id"),  # predictions need not be kept
    ("fsmd_predictions", "task"),
    ("fsmd_predictions", "scores"),
    ("fsmd_test_rows", "data_hash"),
    ("fsmd_test_rows", "column"),
    ("fsmd_test_rows", "packed"),
    *(("fsmd_valid_predictions", name) for name in ("run_id", "task", "scores")),
    *(("fsmd_valid_rows", name) for name in ("data_hash", "column", "packed")),
    ("fsmd_attempts", "stopped"),
    ("fsmd_attempts", "costs"),
    ("fsmd_attempts", "notes"),
    *(("fsmd_looks", name) for name in ("study", "seeds", "alpha", "made_at")),
    *(("fsmd_looks", name) for name in ("comparisons", "claims", "pairs", "asked", "limited")),
}
"""Columns that may hold another value of their kind: reports show it as it stands."""
SAMPLED = {"fsmd_predictions", "fsmd_test_rows"}
"""Tables of which the test set's part in the intervals is made."""
MAY_BE_GONE = {
    *("fsmd_cells", "fsmd_looks", "fsmd_measurements", "fsmd_predictions", "fsmd_test_rows"),
    *("fsmd_valid_predictions", "fsmd_valid_rows"),
}
"""Tables that may lack a row: a training or a look to come, a figure that is only shown, no
predictions."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_whole(tmp_path_factory.mktemp("whole"))


def make_whole(folder: Path) -> Path:
    """Its columns may hold nothing, so that the database hinders little of what follows."""
    engine = made_up.fresh_engine(folder)
    four = made_up.towers()
    two = replace(four, arms=(four.arms[0], four.arms[-1]))
    for name in (STUDY, OTHER):
        record = made_up.store_study(
            engine, two, name=name, replicates=2, rows=60, users=9, weighted=True
        )
        insert_look(engine, name, look_at(engine, record, 2))
    points = made_up.paper_points(4)
    first, *_, failed, last = points
    made_up.store_search(
        engine,
        points,
        objectives=("tasks", "params"),
        stopped=(last,),
        failed=(failed,),
        confirmed=(first,),
        seeds=2,
        rows=60,
    )
    engine.dispose()
    path = folder / "studies.db"
    with closing(sqlite3.connect(path)) as raw, raw:
        costly = (COST.id, *astuple(COST), 1.0)
        raw.execute("INSERT INTO fsmd_costs VALUES (?, ?, ?, ?, ?, ?, ?)", costly)
        raw.execute("PRAGMA writable_schema=ON")
        raw.execute(
            "UPDATE sqlite_master SET sql = replace(sql, ' NOT NULL', '') "
            "WHERE type = 'table' AND name LIKE 'fsmd_%'"
        )
    with closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA journal_mode=DELETE")
    return path


@pytest.fixture
def database(
    whole: Path, before: Mapping[tuple[str, bool], object], tmp_path: Path
) -> Iterator["Database"]:
    """A copy to tamper with."""
    path = tmp_path / "studies.db"
    shutil.copyfile(whole, path)
    engine = open_engine(f"sqlite:///{path}")
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        yield Database(engine, raw, before)
    engine.dispose()


class Database(NamedTuple):
    """As our readers have it, and open for any SQL."""

    engine: sa.Engine
    raw: sqlite3.Connection
    before: Mapping[tuple[str, bool], object]
    """(study, sampled) -> what was read of it when it was whole."""

    def __repr__(self) -> str:
        return "a database"  # hypothesis shows it at each example

    @contextmanager
    def changed(self, table: str, rowid: int, column: str, value: str) -> Iterator[bool]:
        """One cell holds the value of an SQL expression for a while; False if it cannot."""
        cell = f'UPDATE {table} SET "{column}" = {{}} WHERE rowid = {rowid}'
        before = self.raw.execute(f'SELECT "{column}" FROM {table} WHERE rowid = {rowid}')
        (old,) = before.fetchone()
        try:
            self.raw.execute(cell.format(value))
        except sqlite3.IntegrityError:  # another row has this key
            yield False
            return
        try:
            yield True
        finally:
            self.raw.execute(cell.format("?"), (old,))

    @contextmanager
    def without(self, table: str, rowid: int) -> Iterator[None]:
        """A row is not there for a while."""
        row = self.raw.execute(f"SELECT * FROM {table} WHERE rowid = {rowid}").fetchone()
        self.raw.execute(f"DELETE FROM {table} WHERE rowid = {rowid}")
        yield
        self.raw.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)

    def rows(self, table: str) -> list[int]:
        """A row of the study and one of the search."""
        found = self.raw.execute(f"SELECT rowid FROM {table} WHERE {ROWS[table]} ORDER BY rowid")
        ids = [rowid for (rowid,) in found]
        return [ids[0], ids[-1]]


def as_read(engine: sa.Engine, name: str, sampled: bool = False) -> object:
    """All that a report is made of; sampled: what comes of the test rows, too."""
    record = stored_record(engine, name)
    attempts = read_attempts(engine, record) if record.is_search else ()
    arms = search_arms(record, attempts) if record.is_search else record.plan.arms
    trainings = list(read_trainings(engine, record, arms))
    parts = []
    if sampled:
        of_test = load_results(engine, record, arms).test.samplings
        parts = [(s.covariance_AKAK.tobytes(), s.units) for s in of_test]
    looks = read_looks(engine, name)
    return record, attempts, sorted(trainings, key=lambda t: (t.arm, t.replicate)), parts, looks


def outcome(
    database: Database, names: Sequence[str], where: tuple[Any, ...], free: bool, whole: bool
) -> str:
    """What came of it: same, other, or line; anything else is an error.

    free: whether something else may be read. whole: the report is then made, but for drawings.
    """
    found, sampled = set(), where[0] in SAMPLED
    for name in names:
        try:
            same = as_read(database.engine, name, sampled) == database.before[name, sampled]
            if not same and whole:
                outline_of(database.engine, stored_record(database.engine, name))
        except UserError as error:
            line = str(error)
            assert "\n" not in line, where
            assert repr(name) in line, (where, line)
            found.add("line")
        else:
            assert same or free, (where, "is shown as if it had been measured")
            found.add("same" if same else "other")
    return min(found, key=("line", "other", "same").index)


@pytest.fixture(scope="module")
def before(whole: Path) -> dict[tuple[str, bool], object]:
    engine = open_engine(f"sqlite:///{whole}")
    keys = product((STUDY, SEARCH, OTHER), (False, True))
    read = {(name, sampled): as_read(engine, name, sampled) for name, sampled in keys}
    engine.dispose()
    return read


ROWS = {
    "fsmd_studies": "name != 'other'",
    "fsmd_runs": "id IN (SELECT run_id FROM fsmd_cells WHERE study != 'other')",
    "fsmd_cells": "study != 'other'",
    "fsmd_attempts": "study != 'other'",
    "fsmd_looks": "study != 'other'",
    "fsmd_measurements": "run_id IN (SELECT run_id FROM fsmd_cells WHERE study != 'other')",
    "fsmd_predictions": "run_id IN (SELECT run_id FROM fsmd_cells WHERE study != 'other')",
    "fsmd_test_rows": "data_hash IN (SELECT data_hash FROM fsmd_runs JOIN fsmd_cells "
    "ON id = run_id WHERE study != 'other')",
    "fsmd_valid_predictions": "run_id IN (SELECT run_id FROM fsmd_cells WHERE study != 'other')",
    "fsmd_valid_rows": "data_hash IN (SELECT data_hash FROM fsmd_runs JOIN fsmd_cells "
    "ON id = run_id WHERE study != 'other')",
    "fsmd_costs": "1",
}
"""Which rows are of the study and of the search."""
WAYS = {
    "nothing": "NULL",
    "text": "'text'",
    "negative": "-1",
    "huge": "4611686018427387904",
    "infinite": "9e999",
    "text of no number": "'nan'",
    "bytes": "x'ff00fe'",
    "an object": """'{{"a": 1}}'""",
    "a list": "'[1]'",
    "nothing in JSON": "'null'",
    "no number in JSON": """'{{"click": NaN, "long_view": NaN}}'""",
    "cut": "substr({column}, 1, length({column}) / 2)",
    "tag": "'<script>alert(1)</script>'",
    "swapped": "(SELECT {column} FROM {table} WHERE rowid != {rowid} AND {column} != "
    "(SELECT {column} FROM {table} WHERE rowid = {rowid}) AND {rows} LIMIT 1)",
}


@pytest.mark.parametrize("share", [13, pytest.param(1, marks=pytest.mark.slow)])
def test_any_change_of_any_cell_is_told_in_a_line_or_changes_nothing(
    database: Database, share: int
) -> None:
    """Reports show text, times and numbers of the right kind as they stand; see `FREE`.

    Every column of every table in every way; quickly, in every thirteenth.
    """
    outcomes, turn = Counter[str](), count()
    for name, table in TABLES.items():
        for column in table.c:
            free, seen = (name, column.name) in FREE, False
            for i, (way, value) in enumerate(WAYS.items()):
                if next(turn) % share:
                    continue
                rowid = database.rows(name)[i % 2]
                words = {"table": name, "rowid": rowid, "rows": ROWS[name]}
                new = value.format(column=f'"{column.name}"', **words)
                with database.changed(name, rowid, column.name, new) as can:
                    if can:
                        where = name, column.name, way, rowid
                        names = (STUDY, SEARCH) if way == "swapped" else ((STUDY, SEARCH)[i % 2],)
                        found = outcome(database, names, where, free, whole=not seen)
                        seen |= found == "other"
                        outcomes[found] += 1
            assert as_read(database.engine, OTHER) == database.before[OTHER, False], column
    print(dict(outcomes))
    assert outcomes.total() > 600 / share
    assert outcomes["line"] > 400 / share


def test_a_row_that_is_gone_is_told_in_a_line_or_was_never_there(
    database: Database,
) -> None:
    told = set()
    for name in TABLES:
        for rowid in dict.fromkeys(database.rows(name)):
            with database.without(name, rowid):
                if name == STUDIES.name:
                    gone = {n for n in (STUDY, SEARCH) if n not in study_names(database.engine)}
                    assert len(gone) == 1
                    continue
                both = STUDY, SEARCH
                found = outcome(database, both, (name, rowid), name in MAY_BE_GONE, whole=True)
                if found == "line":
                    told.add(name)
            assert as_read(database.engine, OTHER) == database.before[OTHER, False], name
    assert {"fsmd_runs", "fsmd_attempts", "fsmd_measurements"} <= told


# What JSON holds


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each part of a JSON value, the whole first."""
    yield path
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            yield from leaves(part, (*path, key))


def with_leaf(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = with_leaf(value[path[0]], path[1:], new)
    return copy


ODD: tuple[object, ...] = (
    None,
    True,
    0,
    -1,
    1.5,
    2**70,
    1e308,
    float("nan"),
    "",
    "odd",
    [],
    [1],
    {},
    {"a": 1},
    [[]],
)
COLUMNS_OF_JSON = [
    *(("fsmd_studies", c) for c in ("definition", "stated", "plan", "methods", "looks")),
    *(("fsmd_looks", column) for column in ("comparisons", "claims", "pairs", "arms", "asked")),
    *(("fsmd_runs", column) for column in ("config", "runtime", "libraries", "chosen_epochs")),
    *(("fsmd_attempts", column) for column in ("params", "costs", "notes")),
]


@settings(
    max_examples=25,
    suppress_health_check=list(HealthCheck),
    deadline=None,
)
@given(
    of=st.sampled_from(COLUMNS_OF_JSON),
    which=st.integers(0, 1),
    part=st.floats(0, 1, exclude_max=True),
    odd=st.sampled_from(ODD),
)
def test_any_part_of_any_json_may_be_anything(
    database: Database, of: tuple[str, str], which: int, part: float, odd: object
) -> None:
    (table, column), rowid = of, database.rows(of[0])[which]
    query = f"SELECT {column} FROM {table} WHERE rowid = {rowid}"
    value = json.loads(database.raw.execute(query).fetchone()[0] or "null")
    paths = list(leaves(value))
    path = paths[int(part * len(paths))]
    text = json.dumps(with_leaf(value, path, odd)).replace("'", "''")
    with database.changed(table, rowid, column, f"'{text}'"):
        where = table, column, path, odd
        outcome(database, (STUDY, SEARCH), where, free=True, whole=len(path) % 2 == 0)


@pytest.mark.parametrize(
    ("column", "path", "value", "said"),
    [
        ("plan", ("settings", "epochs"), -3, "epochs"),
        ("plan", ("settings", "batch_size"), "many", "settings.batch_size must be a whole number"),
        ("plan", ("sets", 0, "rows"), {"train": 5}, "train, valid and test"),
        ("plan", ("sets", 0, "tasks", 0, "metric"), "accuracy", "must be one of auc"),
        ("plan", ("sets", 0, "reachable"), {"click": 5.0, "long_view": 0.5}, "AUC must lie"),
        ("plan", ("arms", 0, "config", "sharing"), "everything", "sharing"),
        ("plan", ("arms", 0, "config", "tower_depth"), 2**40, "tower_depth"),
        ("definition", ("claims", 0, "rules", 0, "rule"), "Perhaps", "must be one of Above, Best"),
        ("definition", ("reference",), "nobody", "must be one of its arms"),
        ("definition", ("written_by_version",), 7, "is no field of Study"),
        ("definition", ("arms", 0, "changes"), [["tower_width", 4]], "that is planned"),
    ],
)
def test_a_definition_or_a_plan_that_cannot_be_is_told(
    database: Database, column: str, path: tuple[Any, ...], value: Any, said: str
) -> None:
    query = f"SELECT {column} FROM fsmd_studies WHERE name = ?"
    stored = json.loads(database.raw.execute(query, (STUDY,)).fetchone()[0])
    where = stored
    for key in path[:-1]:
        where = where[key]
    where[path[-1]] = value
    database.raw.execute(
        f"UPDATE fsmd_studies SET {column} = ? WHERE name = ?", (json.dumps(stored), STUDY)
    )
    with pytest.raises(StoredError) as told:
        find_study(database.engine, STUDY)
    assert told.value.study == STUDY
    assert column in told.value.place
    assert said in told.value.fault
    assert find_study(database.engine, OTHER) is not None


# Trainings and what they measured

OF_STUDY = "(SELECT run_id FROM fsmd_cells WHERE study = 'towers' AND arm = 'diamond')"


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        *(
            (f"UPDATE fsmd_measurements SET curve = {curve} WHERE metric = 'auc'", "in its range")
            for curve in (
                *("'[5.0]'", "'much'", "'5'", "'[]'", "'[0.5, 0.6'", "'[true]'", "'[[0.5]]'"),
                *("'[NaN]'", "'[1e999]'", "'[null]'", "'{\"0.5\": 0.5}'", "CAST('[0.5]' AS BLOB)"),
                f"'[1{'0' * 400}]'",
                f"'{'[' * 100_000}'",
            )
        ),
        (
            f"UPDATE fsmd_measurements SET curve = '[1{'0' * 400}]' WHERE metric = 'loss'",
            "in its range",  # which has no end
        ),
        ("UPDATE fsmd_measurements SET curve = NULL WHERE split = 'test'", "in its range"),
        (
            "UPDATE fsmd_measurements SET curve = replace(curve, ']', ', 0.5, 0.5]')"
            " WHERE split = 'valid'",
            "is measured, but column epochs is",
        ),
        (
            "INSERT INTO fsmd_measurements SELECT run_id, split, task, metric, 3, '[0.5]'"
            " FROM fsmd_measurements WHERE split = 'valid' AND metric = 'auc'",
            "is there twice",
        ),
        ("UPDATE fsmd_measurements SET metric = 'acc' WHERE metric = 'auc'", "a known metric"),
        ("UPDATE fsmd_measurements SET task = 'buy' WHERE task = 'click'", "unknown task"),
        (
            "UPDATE fsmd_measurements SET task = 'long_view|buy' WHERE task = 'long_view|click'",
            "unknown task",
        ),
        (
            "UPDATE fsmd_measurements SET epoch = 2 WHERE task = 'long_view|click'",
            "test must be measured at the chosen epoch",
        ),
        ("UPDATE fsmd_measurements SET epoch = -epoch WHERE epoch = 1", "an epoch from 1"),
        ("UPDATE fsmd_measurements SET epoch = 70 WHERE epoch = 1", "column epochs is"),
        (
            "UPDATE fsmd_measurements SET curve = '[0.5]' WHERE split = 'valid'",
            "the validation auc of epoch 2 of task",
        ),
        ("DELETE FROM fsmd_measurements WHERE split = 'test'", "the test auc of task"),
        ("UPDATE fsmd_runs SET epochs = 50", "must have the validation auc of epoch"),
        ('UPDATE fsmd_runs SET chosen_epochs = \'{"click": 5, "long_view": 99}\'', "from 1 to"),
        ("UPDATE fsmd_runs SET chosen_epochs = '{\"click\": 5}'", "must have the tasks"),
        ("UPDATE fsmd_runs SET libraries = '[\"torch\"]'", "column libraries must be a mapping"),
        ("UPDATE fsmd_runs SET status = 'paused'", "test must be measured"),
        ("UPDATE fsmd_runs SET status = 'failed'", "has an error, and no epochs"),
        ("UPDATE fsmd_runs SET seed = seed + 1", "must be the digest"),
        ("UPDATE fsmd_runs SET code = 'other'", "must be the digest"),
        ("UPDATE fsmd_runs SET data_hash = 'other'", "must be the digest"),
        ("UPDATE fsmd_runs SET finished_at = 'yesterday'", "must be a time"),
    ],
)
def test_a_training_that_cannot_be_is_told_with_its_arm_and_replicate(
    database: Database, sql: str, said: str
) -> None:
    change, _, where = sql.partition(" WHERE ")
    key = "id" if "fsmd_runs" in sql else "run_id"
    database.raw.execute(f"{change} WHERE {key} IN {OF_STUDY} AND ({where or 1})")
    record = stored_record(database.engine, STUDY)
    with pytest.raises(StoredError) as told:
        list(read_trainings(database.engine, record, record.plan.arms))
    assert told.value.study == STUDY
    assert "arm 'diamond', replicate" in told.value.place
    assert said in str(told.value)


def test_text_that_is_none_is_a_fault_of_the_database_and_told_in_a_line(
    database: Database,
) -> None:
    """The driver raises it as the rows are fetched."""
    change = "UPDATE fsmd_measurements SET metric = CAST(x'ff41' AS text)"
    database.raw.execute(f"{change} WHERE metric = 'auc' AND run_id IN {OF_STUDY}")
    record = stored_record(database.engine, STUDY)
    with pytest.raises(UserError, match=r"cannot use the database .*: Could not decode to UTF-8"):
        list(read_trainings(database.engine, record, record.plan.arms))


def test_a_cell_must_point_at_a_training_of_its_arm(database: Database) -> None:
    record = stored_record(database.engine, STUDY)
    for run_id, said in (
        ("'nowhere'", "names a training that is not there"),
        ("(SELECT run_id FROM fsmd_cells WHERE arm = 'constant')", "the model that is planned"),
        ("(SELECT run_id FROM fsmd_cells WHERE study = 'other' AND arm = 'diamond')", "data_hash"),
        (f"{OF_STUDY[:-1]} AND replicate = 1)", "as at the other arms"),
    ):
        with (
            database.changed("fsmd_cells", rowid_of(database), "run_id", run_id),
            pytest.raises(StoredError, match=said),
        ):
            list(read_trainings(database.engine, record, record.plan.arms))
    assert len(list(read_trainings(database.engine, record, record.plan.arms))) == 4


def rowid_of(database: Database) -> int:
    where = "study = 'towers' AND arm = 'diamond' AND replicate = 0"
    found = database.raw.execute(f"SELECT rowid FROM fsmd_cells WHERE {where}").fetchone()
    return int(found[0])


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("label:click", lambda values_N: values_N[:-8], "all columns must have one length"),
        ("user", lambda values_N: values_N[:-1], "all columns must have one length"),
        ("label:click", lambda values_N: values_N + np.int8(5), "must lie between -1 and 1"),
        ("label:click", lambda values_N: values_N.astype(np.float32), "numbers of type"),
        ("weight", lambda values_N: -values_N, "must lie between 0"),
        ("weight", lambda values_N: values_N * np.float32("nan"), "must be finite"),
    ],
)
def test_test_rows_that_cannot_be_are_told(
    database: Database, column: str, change: Callable[[Any], Any], said: str
) -> None:
    engine = database.engine
    data_hash = stored_record(engine, STUDY).plan.data.content_hash
    where = sa.and_(TEST_ROWS.c.data_hash == data_hash, TEST_ROWS.c.column == column)
    with engine.begin() as connection:
        packed = connection.scalar(sa.select(TEST_ROWS.c.packed).where(where))
        assert packed is not None
        changed = pack(change(unpack(packed)))
        connection.execute(sa.update(TEST_ROWS).where(where).values(packed=changed))
    with pytest.raises(StoredError, match=said) as told:
        outline_of(engine, stored_record(engine, STUDY))
    assert told.value.study == STUDY


def test_predictions_must_be_as_many_as_test_rows_and_numbers(database: Database) -> None:
    engine = database.engine
    short, odd = pack(np.zeros(59, np.float32)), pack(np.full(60, np.inf, np.float32))
    for packed, said in ((short, "must be 60 scores"), (odd, "finite"), (b"x", "not a packed")):
        sql = f"UPDATE fsmd_predictions SET scores = ? WHERE run_id IN {OF_STUDY}"
        database.raw.execute(sql, (packed,))
        with pytest.raises(StoredError, match=said) as told:
            outline_of(engine, stored_record(engine, STUDY))
        assert told.value.study == STUDY


def test_the_planner_refuses_what_was_tampered_with_by_the_same_line(database: Database) -> None:
    for name in (STUDY, SEARCH):
        record = stored_record(database.engine, name)
        assert open_record(database.engine, record) == record
        of_study = f"IN (SELECT run_id FROM fsmd_cells WHERE study = '{name}')"
        sql = "UPDATE fsmd_measurements SET curve = '[5]' WHERE metric = 'auc' AND run_id"
        database.raw.execute(f"{sql} {of_study}")
        with pytest.raises(StoredError) as by_report:
            as_read(database.engine, name)
        with pytest.raises(StoredError) as by_planner:
            open_record(database.engine, record)
        assert str(by_planner.value) == str(by_report.value)
        database.raw.execute(f"UPDATE fsmd_studies SET plan = '[]' WHERE name = '{name}'")
        with pytest.raises(StoredError, match="column plan must be the fields of Plan"):
            open_record(database.engine, record)


def test_a_result_that_the_planner_takes_over_is_checked_too(database: Database) -> None:
    (run_id,) = database.raw.execute(f"{OF_STUDY[1:-1]} LIMIT 1").fetchone()
    database.raw.execute("UPDATE fsmd_runs SET epochs = 1 WHERE id = ?", (run_id,))
    with pytest.raises(StoredError, match=f"study 'towers': training {run_id[:12]}"):
        known_result(database.engine, run_id)
    database.raw.execute("UPDATE fsmd_runs SET status = 'won' WHERE id = ?", (run_id,))
    with pytest.raises(StoredError, match=f"training {run_id[:12]}, column status must be one of"):
        known_runs(database.engine, [run_id])
    database.raw.execute("UPDATE fsmd_costs SET value = 'dear'")
    with pytest.raises(StoredError, match="column value must be a finite number; got 'dear'"):
        known_cost(database.engine, COST)
    database.raw.execute("UPDATE fsmd_costs SET value = -1")
    with pytest.raises(StoredError, match="column value must be at least 0; got -1"):
        known_cost(database.engine, COST)


# One bad study harms no other


@pytest.mark.usefixtures("blank_figures")
def test_all_others_are_built_and_the_bad_one_is_listed_with_the_reason(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--storage", f"sqlite:///{tmp_path / 'studies.db'}", "--out", str(tmp_path)]
    assert main(["--all", *where]) == 0
    before = {path: path.read_bytes() for path in (tmp_path / OTHER).rglob("*") if path.is_file()}
    assert len(before) > 5
    capsys.readouterr()
    sql = (
        f"UPDATE fsmd_measurements SET curve = '[5]' WHERE metric = 'auc' AND run_id IN {OF_STUDY}"
    )
    database.raw.execute(sql)
    database.raw.execute("UPDATE fsmd_studies SET plan = '{' WHERE name = 'search'")
    for path in before:
        path.unlink()
    assert main(["--all", *where]) == 2
    assert {path: path.read_bytes() for path in before} == before
    told, *more = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert not more
    index = words_of((tmp_path / "index.html").read_text())
    for name in (STUDY, SEARCH):
        assert f"study {name!r}: " in told
        assert f"Study {name!r}: " in index
    for name in (STUDY, SEARCH):
        assert main([name, *where]) == 2
        assert capsys.readouterr().err.count("error: ") == 1


@pytest.mark.usefixtures("blank_figures")
def test_even_a_fault_of_ours_costs_the_others_nothing(
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def faulty(engine: sa.Engine, record: StudyRecord, *_: object) -> Outline:
        if record.name == STUDY:
            raise KeyError("nobody thought of this")
        return outline_of(engine, record)

    monkeypatch.setattr(building, "outline_of", faulty)
    with pytest.raises(UserError, match="'towers': KeyError"):
        build_all(database.engine, tmp_path)
    assert "Traceback" in capsys.readouterr().err  # to be reported
    assert (tmp_path / OTHER / "report.html").exists()
    assert not (tmp_path / STUDY).exists()


def test_a_figure_that_cannot_be_drawn_leaves_a_sentence_in_its_place(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(*_: object) -> Any:
        raise ZeroDivisionError("no width\nat all")

    def nothing(*_: object) -> str:
        return "A caption."

    whole = FigureKind("broken", "some", 1, nothing, faulty, nothing, nothing)
    summing, telling = replace(whole, summarize=faulty), replace(whole, alt=faulty)
    for kind in (whole, summing, telling, replace(whole, fits=faulty)):
        (view,) = views_of([kind], "some", None)
        assert "could not be drawn" in view.svg
        assert "could not be drawn" in view.svg_narrow
        assert view.pdf.startswith(b"%PDF")
        assert set(caplog.messages) == {
            "the figure 'broken' cannot be drawn: ZeroDivisionError: no width\\nat all"
        }
    view = FigureView("broken", "A caption.", "", "", lambda _: Figure())
    monkeypatch.setattr(
        model, "figure_pdf", lambda svg: svg.encode() if "could" in svg else faulty()
    )
    assert b"could not be drawn" in view.pdf


def test_what_is_stored_wrongly_is_no_fault_of_the_figure_that_reads_it() -> None:
    def tampered(_: object) -> None:
        raise StoredError("a row", "is wrong")

    with pytest.raises(StoredError):
        view_of(FigureKind("key", "some", 1, tampered, tampered, str, str), None)  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Row:
    name: str
    count: int | None
    kept: bool
    parts: tuple[int, ...]


def test_rows_that_are_read_together_are_those_that_are_read_one_by_one() -> None:
    names = ("kept", "name", "count", "parts")
    rows = [(1, "a", 1, "[1, 2]"), (0, "b", None, "[]"), (True, "a", 2**62, "[1, 2]")]
    every = [read_row(_Row, dict(zip(names, row, strict=True))) for row in rows]
    assert read_together(_Row, names, rows) == every
    assert read_together(_Row, names, []) == []
    assert every[1] == _Row("b", None, kept=False, parts=())
    wrongs: tuple[tuple[str, Any], ...] = (
        ("count", 1.0),
        ("name", None),
        ("kept", 2),
        ("parts", '["x"]'),
        ("name", {}),
    )
    for name, value in wrongs:
        wrong = dict(zip(names, rows[1], strict=True)) | {name: value}
        told = read_together(_Row, names, [rows[0], [*wrong.values()], rows[2]])
        assert told == [every[0], wrong, every[2]]
