"""python -m studies.record: learning curves of a whole grid in one file, for comparing searches.

The grid is the study `curves`, trained without early stopping; nothing but validation AUCs of
each epoch is kept. `nox -s bench_search` replays search strategies on such files.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from studies.options import add_places, exit_code

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
        description="Train a grid with every epoch's AUCs, and keep the curves as one file.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--data", default="planted", help="data set (default: %(default)s)")
    p.add_argument("--replicates", type=int, default=3, metavar="N",
                   help="seeds of each cell (default: %(default)s)")  # fmt: skip
    p.add_argument("--epochs", type=int, default=9, metavar="N",
                   help="epochs of each curve (default: %(default)s)")  # fmt: skip
    p.add_argument("--workers", type=int, metavar="N",
                   help="worker processes (default: one a core)")  # fmt: skip
    p.add_argument("--curves", type=Path, default=Path("curves"), metavar="FOLDER",
                   help="where the file goes (default: %(default)s)")  # fmt: skip
    add_places(p)
    p.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    options = parser().parse_args(arguments)
    stopped = "Stopped; nothing is lost. The same command goes on from here."
    return exit_code(lambda: _run(options), stopped)


def _run(options: argparse.Namespace) -> int:
    from studies import catalog, storage
    from studies.job import Job, run
    from studies.planning import slug, study_name

    code = run(Job(
        study=STUDY, data=options.data, replicates=options.replicates, epochs=options.epochs,
        patience=options.epochs, workers=options.workers, storage=options.storage,
        out=options.out, device=options.device, seed=0, name=None, retry_failed=False,
    ))  # fmt: skip
    engine = storage.open_engine(options.storage)
    frame = curves(engine, study_name(catalog.get(STUDY), options.data))
    path = options.curves / f"{slug(options.data)}.parquet"
    write(frame, path)
    print(f"Compare searches on it: nox -s bench_search -- --curves {options.curves.absolute()}")
    print(f"{len(frame)} rows, {path.stat().st_size / 1e6:.2f} MB: {path}")
    return code


def curves(engine: "sa.Engine", study: str) -> "pd.DataFrame":
    """One row per cell, seed and epoch: the axes, replicate, epoch, each task's validation AUC.

    Only seeds that every cell has.
    """
    import pandas as pd
    import sqlalchemy as sa

    from studies import catalog
    from studies.storage import CELLS, MEASUREMENTS, RUNS

    arms = {arm.name: dict(arm.params) for arm in catalog.get(STUDY).arms}
    query = (
        sa.select(CELLS.c.level, CELLS.c.replicate, MEASUREMENTS.c.epoch, MEASUREMENTS.c.task,
                  MEASUREMENTS.c.value)
        .join(RUNS, RUNS.c.id == CELLS.c.run_id)
        .join(MEASUREMENTS, MEASUREMENTS.c.run_id == RUNS.c.id)
        .where(CELLS.c.study == study, RUNS.c.status == "done", MEASUREMENTS.c.split == "valid",
               MEASUREMENTS.c.metric == "auc")
    )  # fmt: skip
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(query)]
    tall = pd.DataFrame(rows, columns=["level", "replicate", "epoch", "task", "value"])
    wide = tall.pivot(index=["level", "replicate", "epoch"], columns="task", values="value")
    wide = wide.astype("float32").reset_index().rename_axis(columns=None)
    cells = wide.groupby("replicate")["level"].nunique()
    whole = wide[wide["replicate"].isin(cells.index[cells == len(arms)])]
    axes = pd.DataFrame([arms[level] for level in whole["level"]], index=whole.index)
    table = pd.concat([axes, whole.drop(columns="level")], axis=1)
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
