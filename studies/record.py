"""python -m studies.record: learning curves of a whole grid in one file, for comparing searches.

The grid is the study `curves`, trained without early stopping; nothing but the tasks' validation
figures of each epoch is kept. `nox -s bench_search` replays search strategies on such files.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from fsmd.errors import UserError
from studies import catalog
from studies.options import STOPPED, add_places, check_folder, exit_code
from studies.planner.design import slug
from studies.store.database import open_engine
from studies.store.studies import find_study
from studies.store.tables import CELLS, MEASUREMENTS, RUNS

STUDY = "curves"

_EPILOG = """
examples:
  python -m studies.record                      curves/planted.parquet; about two hours on a core
  python -m studies.record --data kuairand --workers 8
  python -m studies.record --data census:rows=40000
                                                on a part of the rows to train on

Stopped in any way and started again with the same command, it goes on. With --replicates above
what is in the database, only what is missing is trained.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="python -m studies.record",
        description="Train a grid with every epoch's figures, and keep the curves as one file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_places(p)
    for name, kind, default, text in (
        ("data", str, "planted", "data set"),
        ("replicates", int, 3, "seeds of each cell"),
        ("epochs", int, 9, "epochs of each curve"),
        ("workers", int, None, "worker processes; None is one a core"),
        ("curves", Path, Path("curves"), "folder of the file"),
        ("device", str, "auto", "auto, cpu, cuda or cuda:N"),
    ):
        p.add_argument(
            f"--{name}", type=kind, default=default, help=f"{text} (default: %(default)s)"
        )
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: _run(options), STOPPED)


def _run(options: argparse.Namespace) -> int:
    from studies.session import Request, run  # loads Optuna

    check_folder("--curves", options.curves)
    names = ("data", "replicates", "epochs", "workers", "storage", "out", "device")
    asked = {name: getattr(options, name) for name in names}
    finished = run(Request(catalog.get(STUDY), patience=options.epochs, **asked))
    frame = curves(open_engine(options.storage), finished.name)
    path = options.curves / f"{slug(options.data)}.parquet"
    write(frame, path)
    print(f"Compare searches on it: nox -s bench_search -- --curves {options.curves.absolute()}")
    print(f"{len(frame)} rows, {path.stat().st_size / 1e6:.2f} MB: {path}")
    return 1 if finished.failed else 0


def curves(engine: sa.Engine, name: str) -> pd.DataFrame:
    """One row per cell, seed and epoch: axes, replicate, epoch, each task's validation figure.

    Only seeds that every arm has. Raises UserError if no study of this name is stored.
    """
    record = find_study(engine, name)
    if record is None:
        raise UserError(f"no study {name!r} in this database; run it first")
    judging = [(task.name, task.metric) for task in record.plan.tasks]
    key, figure = ["arm", "replicate", "epoch"], MEASUREMENTS.c
    query = (
        sa.select(CELLS.c.arm, CELLS.c.replicate, figure.epoch, figure.task, figure.value)
        .join(RUNS, RUNS.c.id == CELLS.c.run_id)
        .join(MEASUREMENTS, figure.run_id == RUNS.c.id)
        .where(
            CELLS.c.study == name,
            RUNS.c.status == "done",
            figure.split == "valid",
            sa.tuple_(figure.task, figure.metric).in_(judging),
        )
    )
    with engine.connect() as connection:
        tall = pd.DataFrame(connection.execute(query).all(), columns=[*key, "task", "value"])
    wide = tall.pivot(index=key, columns="task", values="value").astype("float32")
    wide = wide.reset_index().rename_axis(columns=None)
    arms = wide.groupby("replicate")["arm"].nunique()
    whole = wide[wide["replicate"].isin(arms.index[arms == len(record.plan.arms)])]
    params = [dict(record.study.arm(arm).params) for arm in whole["arm"]]
    axes = pd.DataFrame(params, index=whole.index)
    table = pd.concat([axes, whole.drop(columns="arm")], axis=1)
    return table.sort_values([*axes.columns, "replicate", "epoch"], ignore_index=True)


def write(frame: pd.DataFrame, path: Path) -> None:
    """One compressed file, replaced as a whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        frame.to_parquet(temporary, compression="zstd", index=False)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main())
