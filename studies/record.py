"""python -m studies.record: learning curves of a whole grid in one file, for comparing searches.

The grid is the study `curves`, trained without early stopping; nothing but the tasks' validation
figures of each epoch is kept. `nox -s bench_search` replays search strategies on such files.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fsmd.errors import UserError
from studies.options import STOPPED, add_places, exit_code

if TYPE_CHECKING:
    import pandas as pd
    import sqlalchemy as sa

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
    p.add_argument("--data", default="planted", help="data set (default: %(default)s)")
    for name, default, text in (
        ("replicates", 3, "seeds of each cell (default: %(default)s)"),
        ("epochs", 9, "epochs of each curve (default: %(default)s)"),
        ("workers", None, "worker processes (default: one a core)"),
    ):
        p.add_argument(f"--{name}", type=int, default=default, metavar="N", help=text)
    p.add_argument(
        "--curves",
        type=Path,
        default=Path("curves"),
        metavar="FOLDER",
        help="where the file goes (default: %(default)s)",
    )
    add_places(p)
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: _run(options), STOPPED)


def _run(options: argparse.Namespace) -> int:
    from studies import catalog
    from studies.planner.design import slug
    from studies.session import Request, run
    from studies.store.database import open_engine

    finished = run(
        Request(
            definition=catalog.get(STUDY),
            data=options.data,
            replicates=options.replicates,
            epochs=options.epochs,
            patience=options.epochs,
            workers=options.workers,
            storage=options.storage,
            out=options.out,
            device=options.device,
        )
    )
    frame = curves(open_engine(options.storage), finished.name)
    path = options.curves / f"{slug(options.data)}.parquet"
    write(frame, path)
    print(f"Compare searches on it: nox -s bench_search -- --curves {options.curves.absolute()}")
    print(f"{len(frame)} rows, {path.stat().st_size / 1e6:.2f} MB: {path}")
    return 1 if finished.failed else 0


def curves(engine: "sa.Engine", name: str) -> "pd.DataFrame":
    """One row per cell, seed and epoch: axes, replicate, epoch, each task's validation figure.

    Only seeds that every arm has. Raises UserError if no study of this name is stored.
    """
    import pandas as pd
    import sqlalchemy as sa

    from studies.store.studies import find_study
    from studies.store.tables import CELLS, MEASUREMENTS, RUNS

    record = find_study(engine, name)
    if record is None:
        raise UserError(f"no study {name!r} in this database; run it first")
    params = {arm.name: dict(arm.params) for arm in record.study.arms}
    judging = [(task.name, task.metric) for task in record.plan.tasks]
    query = (
        sa.select(
            CELLS.c.arm,
            CELLS.c.replicate,
            MEASUREMENTS.c.epoch,
            MEASUREMENTS.c.task,
            MEASUREMENTS.c.value,
        )
        .join(RUNS, RUNS.c.id == CELLS.c.run_id)
        .join(MEASUREMENTS, MEASUREMENTS.c.run_id == RUNS.c.id)
        .where(
            CELLS.c.study == name,
            RUNS.c.status == "done",
            MEASUREMENTS.c.split == "valid",
            sa.tuple_(MEASUREMENTS.c.task, MEASUREMENTS.c.metric).in_(judging),
        )
    )
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    tall = pd.DataFrame(rows, columns=["arm", "replicate", "epoch", "task", "value"])
    wide = tall.pivot(index=["arm", "replicate", "epoch"], columns="task", values="value")
    wide = wide.astype("float32").reset_index().rename_axis(columns=None)
    arms = wide.groupby("replicate")["arm"].nunique()
    whole = wide[wide["replicate"].isin(arms.index[arms == len(record.plan.arms)])]
    axes = pd.DataFrame([params[arm] for arm in whole["arm"]], index=whole.index)
    table = pd.concat([axes, whole.drop(columns="arm")], axis=1)
    keys = [*axes.columns, "replicate", "epoch"]
    return table.sort_values(keys, ignore_index=True)


def write(frame: "pd.DataFrame", path: Path) -> None:
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
