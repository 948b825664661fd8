"""Our tables. A training is a row of `runs` under its identity, whichever study asked for it."""

from typing import Any

import sqlalchemy as sa

METADATA = sa.MetaData()

STUDIES = sa.Table(
    "fsmd_studies",
    METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("kind", sa.String(10), nullable=False),  # study or search
    sa.Column("definition", sa.JSON, nullable=False),  # as it was run last
    sa.Column("stated", sa.JSON, nullable=False),  # the definition as it was planned first
    sa.Column("plan", sa.JSON, nullable=False),  # what all its trainings share, and its arms
    sa.Column("methods", sa.JSON, nullable=False),  # of a search: each way it was run
    sa.Column("created_at", sa.String(40), nullable=False),
    sa.Column("planner", sa.String(200)),  # who runs or ran it last
    sa.Column("looks", sa.JSON, nullable=False),  # the stated numbers of seeds to judge it at
)

LOOKS = sa.Table(
    "fsmd_looks",
    METADATA,
    sa.Column("study", sa.ForeignKey("fsmd_studies.name"), primary_key=True),
    sa.Column("seeds", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("alpha", sa.Double, nullable=False),  # the error that it spends
    sa.Column("made_at", sa.String(40), nullable=False),
    # what was said: of two arms on a target, of each claim, of two arms on all tasks
    sa.Column("comparisons", sa.JSON, nullable=False),
    sa.Column("claims", sa.JSON, nullable=False),
    sa.Column("pairs", sa.JSON, nullable=False),
    sa.Column("arms", sa.JSON, nullable=False),  # those that were judged
    sa.Column("asked", sa.JSON, nullable=False),  # those whose verdict is open, and may be decided
    sa.Column("limited", sa.JSON, nullable=False),  # those that no number of seeds would decide
)

RUNS = sa.Table(
    "fsmd_runs",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),  # Training.id
    # done; paused: a curve so far; failed: it would again; lost: it might not
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("data", sa.String(200), nullable=False),
    sa.Column("data_hash", sa.String(64), nullable=False),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("config_hash", sa.String(64), nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("runtime", sa.JSON, nullable=False),
    sa.Column("libraries", sa.JSON, nullable=False),
    sa.Column("machine", sa.String(400), nullable=False),
    sa.Column("chosen_epochs", sa.JSON),
    sa.Column("epochs", sa.Integer),
    sa.Column("seconds", sa.Double),
    sa.Column("parameters", sa.BigInteger),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("traceback", sa.Text),
    sa.Column("finished_at", sa.String(40), nullable=False),
)

CELLS = sa.Table(
    "fsmd_cells",
    METADATA,
    sa.Column("study", sa.ForeignKey("fsmd_studies.name"), primary_key=True),
    sa.Column("arm", sa.String(200), primary_key=True),
    sa.Column("replicate", sa.Integer, primary_key=True),  # counts from 0
    sa.Column("run_id", sa.ForeignKey("fsmd_runs.id"), nullable=False, index=True),
)

ATTEMPTS = sa.Table(
    "fsmd_attempts",
    METADATA,
    sa.Column("study", sa.ForeignKey("fsmd_studies.name"), primary_key=True),
    # counts from 0, in the order of the proposals; the number of its trial in Optuna's study
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("name", sa.String(200), nullable=False),
    sa.Column("params", sa.JSON, nullable=False),
    sa.Column("run_id", sa.String(64), nullable=False),  # Training.id; it may not have begun
    sa.Column("costs", sa.JSON, nullable=False),  # those that are known before the training
    sa.Column("notes", sa.JSON, nullable=False),  # what the sampler remembers with it
    sa.Column("stopped", sa.Boolean, nullable=False),  # the pruner gave it up
)

MEASUREMENTS = sa.Table(
    "fsmd_measurements",
    METADATA,
    sa.Column("run_id", sa.ForeignKey("fsmd_runs.id"), primary_key=True),
    sa.Column("split", sa.String(20), primary_key=True),
    sa.Column("task", sa.String(210), primary_key=True),  # two names at most, and what is between
    sa.Column("metric", sa.String(40), primary_key=True),
    sa.Column("epoch", sa.Integer, primary_key=True),
    # a list of numbers, in JSON: of this epoch and of those that follow it without a gap
    sa.Column("curve", sa.Text, nullable=False),
)


def _predictions(name: str) -> sa.Table:
    """Scores of the rows of one split."""
    return sa.Table(
        name,
        METADATA,
        sa.Column("run_id", sa.ForeignKey("fsmd_runs.id"), primary_key=True),
        sa.Column("task", sa.String(100), primary_key=True),
        sa.Column("scores", sa.LargeBinary, nullable=False),  # see fsmd.packing
    )


def _rows(name: str) -> sa.Table:
    """What figures need of the rows of one split, beside their scores."""
    return sa.Table(
        name,
        METADATA,
        sa.Column("data_hash", sa.String(64), primary_key=True),
        # label:TASK (int8: 0, 1, -1 not observed), user and request (uint32), weight (float32)
        sa.Column("column", sa.String(200), primary_key=True),
        sa.Column("packed", sa.LargeBinary, nullable=False),  # see fsmd.packing
    )


PREDICTIONS = _predictions("fsmd_predictions")
TEST_ROWS = _rows("fsmd_test_rows")
VALID_PREDICTIONS = _predictions("fsmd_valid_predictions")
VALID_ROWS = _rows("fsmd_valid_rows")

COSTS = sa.Table(
    "fsmd_costs",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),  # of cost, model, data, code and machine
    sa.Column("cost", sa.String(200), nullable=False),  # its name; see studies.objectives
    sa.Column("config_hash", sa.String(64), nullable=False),  # these two as in fsmd_runs
    sa.Column("data_hash", sa.String(64), nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("machine", sa.String(400), nullable=False),
    sa.Column("value", sa.Double, nullable=False),
)

PLANNERS = sa.Table(
    "fsmd_planners",
    METADATA,
    sa.Column("lock", sa.String(200), primary_key=True),  # the name of the study
    sa.Column("token", sa.String(32), nullable=False),  # of who may write; see studies.store.locks
)

SCHEMA = sa.Table(
    "fsmd_schema",
    METADATA,
    # of these tables; see studies.store.schema. One row.
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
)

OF_RUNS = (PLANNERS, SCHEMA)
"""What runs know of each other; no report reads them."""


def as_stored(table: sa.Table, *names: str) -> sa.Select[Any]:
    """Columns, or all, as the driver brings them; SQLAlchemy's decoding fails on what is none."""
    asked = [table.c[name] for name in names] or table.c
    columns: list[Any] = [sa.type_coerce(c, sa.types.NullType()).label(c.name) for c in asked]
    return sa.select(*columns)
