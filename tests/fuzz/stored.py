"""A database of which any cell may be changed: read, reported, gone on with, exported."""

import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import pytest
import sqlalchemy as sa
from hypothesis import strategies as st

from fsmd.errors import UserError
from reports import build
from reports.build import outline_of
from reports.results import stored_record
from studies import run
from studies.export import command as export
from studies.store.database import open_engine
from tests import test_tampered
from tests.conftest import leave_figures_blank
from tests.fuzz.changes import EDITS, LEAF_EDITS, Edit, altered, edited
from tests.fuzz.rule import asked, commanded
from tests.fuzz.target import DATA, Check, Target
from tests.lab import without_training

SOUGHT = (
    *("pareto", "--name", "sought", "--data", DATA, "--sampler", "random", "--epochs", "2"),
    *("--confirm", "1"),
)
BUILD = build.build


Cell = tuple[int, int, str, Any, list[Edit], list[Any]]


class _Stored:
    """A database of which any cell is changed for a while."""

    def __init__(self, path: Path, *names: str) -> None:
        """names: of the studies whose rows are changed."""
        self.engine = open_engine(f"sqlite:///{path}")
        self.raw = sqlite3.connect(path, isolation_level=None)
        self.cells = [
            (name, table, column.name, ids)
            for name in names
            for table, of in test_tampered.TABLES.items()
            if (ids := self._rows(table, name))
            for column in of.c
        ]

    def _rows(self, table: str, name: str) -> list[int]:
        """Those of a study; none of costs, which no report reads again."""
        where = test_tampered.ROWS[table].replace("!= 'other'", "= ?")
        return [
            rowid
            for (rowid,) in self.raw.execute(
                f"SELECT rowid FROM {table} WHERE {where}", [name] * where.count("?")
            )
            if table != "fsmd_costs"
        ]

    def check(self, case: list[Cell], read: Callable[[sa.Engine, str, bool], object]) -> str:
        """What comes of reading the studies that are changed; `read` is told whether of test
        rows, too.
        """
        places = [self.cells[cell % len(self.cells)] for cell, *_ in case]
        sampled = any(table in test_tampered.SAMPLED for _, table, *_ in places)
        self.raw.execute("BEGIN")
        undo = [self.change(*each) for each in case]
        self.raw.execute("COMMIT")
        before = self.raw.execute("PRAGMA data_version").fetchone()
        try:
            told = {
                asked(lambda name=name: read(self.engine, name, sampled))  # type: ignore[misc]
                for name in dict.fromkeys(name for name, *_ in places)
            }
            assert self.raw.execute("PRAGMA data_version").fetchone() == before, "reading wrote"
        finally:
            for statement, values in reversed([each for each in undo if each]):
                self.raw.execute(statement, values)
        return "refused" if "refused" in told else "done"

    def change(
        self, cell: int, row: int, how: str, new: Any, edits: list[Edit], leaves: list[Any]
    ) -> tuple[str, tuple[Any, ...]] | None:
        _, table, column, ids = self.cells[cell % len(self.cells)]
        rowid = ids[row % len(ids)]
        where = f'UPDATE OR IGNORE {table} SET "{column}" = ? WHERE rowid = {rowid}'
        query = f'SELECT "{column}" FROM {table} WHERE rowid = {rowid}'
        (old,) = self.raw.execute(query).fetchone()
        value = new
        if how == "edit" and isinstance(old, str | bytes):
            content = edited(old.encode() if isinstance(old, str) else old, edits)
            value = content.decode("utf-8", "replace") if isinstance(old, str) else content
        elif how == "leaf" and isinstance(old, str) and old[:1] in "{[":
            with suppress(ValueError):  # changed already, and no JSON any more
                value = json.dumps(altered(json.loads(old), leaves))
        try:
            self.raw.execute(where, (value,))
        except (sqlite3.Error, OverflowError, UnicodeEncodeError):
            return None  # which no database holds
        return where, (old,)


CELL = st.tuples(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from(("new", "edit", "leaf", "leaf")),
    st.one_of(
        st.none(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.text(max_size=20),
        st.binary(max_size=9),
    ),
    EDITS,
    LEAF_EDITS,
)


@contextmanager
def _read(place: Path, read: Callable[[sa.Engine, str, bool], object]) -> Iterator[Check]:
    path = test_tampered.make_whole(place)
    stored = _Stored(path, test_tampered.STUDY, test_tampered.SEARCH)
    with closing(stored.raw):
        yield lambda case: stored.check(case, read)
    stored.engine.dispose()


def _outlined(engine: sa.Engine, name: str, _: bool) -> object:
    """As far as the report's words."""
    return outline_of(engine, stored_record(engine, name))


CELLS = st.lists(CELL, min_size=1, max_size=2)
COMMANDS: tuple[tuple[Any, tuple[str, ...]], ...] = (
    (run, ("null", "--name", "mine", "--data", DATA, "--epochs", "2", "--replicates", "2")),
    (run, ("null", "--name", "mine", "--data", DATA, "--epochs", "2", "--retry-failed")),
    (run, (*SOUGHT, "--trials", "5")),
    (run, (*SOUGHT, "--trials", "4", "--dry-run")),
    (build, ("mine",)),
    (build, ("sought",)),
    (export, ("mine", "--out", "home")),
    (export, ("sought", "--pick", "knee", "--out", "home")),
)


OF_REPORTS = {
    *("fsmd_test_rows", "fsmd_predictions", "fsmd_valid_rows", "fsmd_valid_predictions"),
}
"""Tables that a report is the first to read: what was trained by then is kept."""


@contextmanager
def _used(place: Path) -> Iterator[Check]:
    """Gone on with, reported and exported by the commands; the trainings' figures are made up."""

    def not_trained(*_: Any) -> NoReturn:
        raise UserError("all is known before this training")

    with pytest.MonkeyPatch.context() as patch:
        work, nowhere, whole = place / "work", place / "nowhere", place / "whole.db"
        work.mkdir()
        nowhere.mkdir()
        without_training(patch, DATA, work)
        patch.setattr("studies.export.again.trained", not_trained)
        leave_figures_blank(patch)
        for words in (COMMANDS[0][1], (*SOUGHT, "--trials", "4")):
            assert run.main(words) == 0
        patch.setattr("reports.build.build", BUILD)
        shutil.copyfile(work / "studies.db", whole)
        shutil.rmtree(work / "out")

        def check(case: tuple[int, list[Any]]) -> str:
            which, cells = case
            shutil.copyfile(whole, work / "studies.db")
            stored = _Stored(work / "studies.db", "mine", "sought")
            for cell in cells:
                stored.change(*cell)
            stored.raw.close()
            stored.engine.dispose()
            module, words = COMMANDS[which]
            tables = {stored.cells[cell % len(stored.cells)][1] for cell, *_ in cells}
            is_late = module is run and tables & OF_REPORTS
            told = commanded(module.main, words, nowhere if is_late else work, codes=(0, 1))
            for path in work.iterdir():
                if path.is_dir():
                    shutil.rmtree(path)
            return told

        yield check


TARGETS: Mapping[str, Target] = {
    "stored rows": Target(CELLS, partial(_read, read=test_tampered.as_read), 12, 10_000),
    "reports": Target(CELLS, partial(_read, read=_outlined), 0, 500),
    "commands on rows": Target(st.tuples(st.integers(0, len(COMMANDS) - 1), CELLS), _used, 0, 300),
}
