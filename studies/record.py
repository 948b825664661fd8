"""python -m studies.record: learning curves of a whole grid in one file, for comparing searches.

The grid is the study `curves`, trained without early stopping; the tasks' validation figures of
each epoch and how long one took are kept. `nox -s bench_search` replays search strategies on such
files.
"""

import studies.start  # noqa: F401  # isort: skip  (first: nothing may shadow what follows)
import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from fsmd.command_line import CommandLine, check_folders, exit_code, place
from fsmd.errors import UserError
from fsmd.writing import replacing
from studies import catalog
from studies.options import STOPPED, add_places
from studies.planner.design import slug
from studies.store.database import opened
from studies.store.studies import find_study
from studies.store.trainings import read_trainings

STUDY = "curves"

COMMAND = "python -m studies.record"
_EPILOG = """
examples:
  %(prog)s                      curves/planted.parquet; about two hours on a core
  %(prog)s --data kuairand --workers 8
  %(prog)s --data census:rows=40000
                                                on a part of the rows to train on

Stopped in any way and started again with the same command, it goes on. With --replicates above
what is in the database, only what is missing is trained.
"""


def parser(prog: str = COMMAND) -> argparse.ArgumentParser:
    """The command line."""
    about = "Train a grid with every epoch's figures, and keep the curves as one file."
    p = CommandLine(prog, about, _EPILOG)
    add_places(p)
    for name, kind, default, text in (
        ("data", str, "planted", "data set"),
        ("replicates", int, 3, "seeds of each cell"),
        ("epochs", int, 9, "epochs of each curve"),
        ("workers", int, None, "worker processes; None is one a core"),
        ("curves", place, Path("curves"), "folder of the file"),
        ("device", str, "auto", "auto, cpu, cuda or cuda:N"),
        ("precision", str, "auto", "auto, float32 or bfloat16"),
    ):
        p.add_argument(
            f"--{name}", type=kind, default=default, help=f"{text} (default: %(default)s)"
        )
    return p


def main(arguments: Sequence[str] | None = None, prog: str = COMMAND) -> int:
    """Run the command line, which is told as `prog`; the exit code."""
    return exit_code(lambda: _run(parser(prog).parse_args(arguments)), STOPPED)


def _run(options: argparse.Namespace) -> int:
    from studies.request import Request
    from studies.session import run  # loads Optuna

    path = options.curves / f"{slug(options.data)}.parquet"
    check_folders("--curves", options.curves)
    if path.is_dir():
        raise UserError(f"--curves must be a folder that has no folder {path.name}")
    names = ("data", "replicates", "epochs", "workers", "storage", "out", "device", "precision")
    asked = {name: getattr(options, name) for name in names}
    finished = run(Request(catalog.get(STUDY), patience=options.epochs, **asked))
    with opened(options.storage) as engine:
        frame = curves(engine, finished.name)
    write(frame, path)
    print(f"Compare searches on it: nox -s bench_search -- --curves {options.curves.absolute()}")
    print(f"{len(frame)} rows, {path.stat().st_size / 1e6:.2f} MB: {path}")
    return 1 if finished.failed else 0


def curves(engine: sa.Engine, name: str) -> pd.DataFrame:
    """One row per cell, seed and epoch: axes, replicate, epoch, each task's validation figure.

    And `seconds`: what an epoch of the training took, on the average of its epochs.

    Only seeds that every arm has. Raises UserError if no study of this name is stored.
    """
    record = find_study(engine, name)
    if record is None:
        raise UserError(f"no study {name!r} in this database; run it first")
    judging = [(task.name, task.metric) for task in record.plan.tasks]
    key = ["arm", "replicate", "epoch", "seconds"]
    rows = [
        (arm, replicate, epoch, (run.seconds or 0.0) / (run.epochs or 1), task, value)
        for arm, replicate, run, figures in read_trainings(engine, record, record.plan.arms)
        if run.status == "done"
        for epoch, split, task, metric, value in figures.rows
        if split == "valid" and (task, metric) in judging
    ]
    tall = pd.DataFrame(rows, columns=[*key, "task", "value"])
    if tall.empty:
        raise UserError(f"no training of study {name!r} has ended; look at its report")
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
    # Absolute, else pandas takes a folder `http:` for an address.
    with replacing(path.absolute()) as fresh:
        frame.to_parquet(fresh, compression="zstd", index=False)


if __name__ == "__main__":
    sys.exit(main())
