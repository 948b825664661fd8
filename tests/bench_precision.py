"""Whether training in bfloat16 leaves the test figures as they are: a paired study of both.

`nox -s bench_precision` trains the same models from the same seeds in each precision, as two
stored studies a data set, and judges bfloat16 minus float32 as a report judges two arms: paired by
seed, over the chance of seeds and of test rows, after Holm over a data set's comparisons. Stopped
in any way and started again with the same options, it goes on; with more --seeds or --models it
trains what is missing. The last line is JSON: data -> model -> target -> figures.

Ten seeds in each precision of three models with the default sizes take hours on a core. Smaller
networks take a tenth: --epochs 2 --set layers=64,32 --set expert_count=4 --set tower_width=32.
What has hardly learnt yet scatters most: a training must be long enough for its seeds to agree.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from fsmd.config import MODELS
from fsmd.errors import UserError
from fsmd.runtime import PRECISIONS
from reports.pairs import Comparison, compared
from reports.results import Scores, StudyResults, read
from reports.study.comparisons import needed_in_words
from studies.changes import changed
from studies.definition import Study, models
from studies.planner.design import name_on
from studies.request import Request
from studies.session import run
from studies.store.database import open_engine

DATA = ("planted:rows=240000", "census", "kuairand")
"""Planted data of more rows than by default, on which seeds scatter too much to show anything."""
NAMES = ("fsmd", "ple", "mmoe")
MARGIN = 0.0005
BEFORE, AFTER = PRECISIONS


def study_of(names: Sequence[str], fields: Sequence[str]) -> Study:
    """The models as arms. fields: `field=value` each, as `--set` of a study has them."""
    study = Study(
        name="precision",
        title="Precision of training",
        question="Do models that train in bfloat16 reach what they reach in float32?",
        factor="model",
        base=MODELS["fsmd"],
        arms=models(names, MODELS["fsmd"]),
        reference=names[0],
    )
    return changed(study, None, fields)


def stored_name(data: str, precision: str) -> str:
    """Of the study of a data set in a precision."""
    return f"{name_on('precision', data, '')}-{precision}"


def train(options: argparse.Namespace, data: str) -> None:
    """Train whatever is missing on a data set, in each precision."""
    for precision in PRECISIONS:
        request = Request(
            study_of(options.models, options.set),
            data=data,
            replicates=options.seeds,
            epochs=options.epochs,
            workers=options.workers,
            storage=_storage(options.folder),
            out=options.folder,
            device="cpu",
            precision=precision,
            name=stored_name(data, precision),
        )
        with redirect_stdout(sys.stderr):  # its report is none of ours
            finished = run(request)
        if finished.failed:
            raise UserError(f"{finished.failed} trainings of {finished.name!r} had no result")


def _storage(folder: Path) -> str:
    return f"sqlite:///{folder.absolute() / 'precision.db'}"


def in_both(engine: sa.Engine, data: str) -> Scores:
    """Test figures of the studies of both precisions, as of one study of twice as many arms."""
    each = [_named(read(engine, stored_name(data, p)), p) for p in PRECISIONS]
    together = StudyResults(
        each[0].record,
        tuple(arm for one in each for arm in one.planned),
        pd.concat([one.measurements for one in each], ignore_index=True),
        pd.concat([one.runs for one in each], ignore_index=True),
        engine,
    )
    return together.test


def _named(results: StudyResults, precision: str) -> StudyResults:
    """With the precision in the arms' names."""
    return replace(
        results,
        planned=tuple(replace(a, name=arm_in(a.name, precision)) for a in results.planned),
        measurements=_renamed(results.measurements, precision),
        runs=_renamed(results.runs, precision),
    )


def _renamed(frame: pd.DataFrame, precision: str) -> pd.DataFrame:
    return frame.assign(arm=[arm_in(arm, precision) for arm in frame["arm"]])


def arm_in(model: str, precision: str) -> str:
    """A model in a precision, as one arm of both studies together."""
    return f"{model} in {precision}"


def judge(scores: Scores, names: Sequence[str]) -> dict[str, list[Comparison]]:
    """Model -> bfloat16 minus float32 on each target; one family of tests."""
    pairs = [(arm_in(name, AFTER), arm_in(name, BEFORE)) for name in names]
    of = {arm: name for name, (arm, _) in zip(names, pairs, strict=True)}
    found: dict[str, list[Comparison]] = {name: [] for name in names}
    for comparison in compared(pairs, scores, lambda _: MARGIN):
        found[of[comparison.arm]].append(comparison)
    return found


def figures(c: Comparison, scores: Scores) -> dict[str, Any]:
    """What is told of a comparison."""
    key, d = c.target.key, c.difference
    before_R = scores.of(c.other, key)
    return {
        "seeds": d.n,
        "difference": d.mean,
        "low": d.low,
        "high": d.high,
        "word": c.word,
        "p_equivalent": c.equal.p,
        "p_equivalent_unadjusted": c.equal.raw,
        "needed": needed_in_words(c.needed),
        "float32": float(np.nanmean(before_R)),
        "deviation_of_seeds": _deviation(before_R),
        "deviation_of_differences": _deviation(scores.differences(c.arm, c.other, key)),
    }


def _deviation(values_R: Any) -> float | None:
    finite_R = values_R[np.isfinite(values_R)]
    return float(finite_R.std(ddof=1)) if len(finite_R) > 1 else None


def table(told: dict[str, dict[str, dict[str, Any]]]) -> Table:
    """A line for each data set, model and target."""
    columns = (
        *("data", "model", "target", "seeds", "float32", "bfloat16 - float32", "95 %"),
        *("deviation of seeds", "of differences", f"equivalent ({MARGIN:g})", "p", "decided by"),
    )
    table = Table(*columns, title="Test figures in bfloat16 and in float32, paired by seed")
    for data, of_models in told.items():
        for model, of_targets in of_models.items():
            for target, f in of_targets.items():
                interval = "" if f["low"] is None else f"{f['low']:+.5f} to {f['high']:+.5f}"
                table.add_row(
                    *(data, model, target, str(f["seeds"]), f"{f['float32']:.4f}"),
                    *(f"{f['difference']:+.5f}", interval),
                    *map(_shown, (f["deviation_of_seeds"], f["deviation_of_differences"])),
                    *(f["word"], _shown(f["p_equivalent"]), f["needed"]),
                )
    return table


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.5f}"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(description="Equivalence of training in bfloat16 and float32.")
    p.add_argument("--data", nargs="+", default=DATA, help="default: %(default)s")
    p.add_argument("--models", nargs="+", choices=tuple(MODELS), default=NAMES)
    p.add_argument("--seeds", type=int, default=10, help="default: %(default)s")
    p.add_argument("--epochs", type=int, help="at most; default: the data set's")
    p.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        help="a field of all models, such as layers=64,32",
    )
    p.add_argument("--workers", type=int, help="processes; default: one a core")
    p.add_argument("--folder", type=Path, default=Path("precision"), help="default: %(default)s")
    p.add_argument("--no-training", action="store_true", help="judge what is there")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing, judge, and print; the last line is JSON."""
    options = parser().parse_args(arguments)
    try:
        told = _told(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    Console(width=200).print(table(told))
    print(json.dumps(told))
    return 0


def _told(options: argparse.Namespace) -> dict[str, dict[str, dict[str, Any]]]:
    told = {}
    for data in options.data:
        if not options.no_training:
            train(options, data)
        engine = open_engine(_storage(options.folder))
        try:
            scores = in_both(engine, data)
        finally:
            engine.dispose()
        told[data] = {
            model: {c.target.key: figures(c, scores) for c in comparisons}
            for model, comparisons in judge(scores, options.models).items()
        }
    return told


if __name__ == "__main__":
    sys.exit(main())
