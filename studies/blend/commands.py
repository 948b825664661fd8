"""From an exported model to the exponents of one score: what `python -m studies.blend` does."""

import argparse
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from fsmd.command_line import CommandLine, check_folders, exit_code, place, print_lines
from fsmd.data import load, open_encoded
from fsmd.data.encoded import FACTS
from fsmd.data.files import cache_root
from fsmd.data.schema import Dataset, Split
from fsmd.errors import UserError, alternatives
from fsmd.metrics import METRICS, Metric
from fsmd.saved.model import SavedModel, check_exporting, load_model, save_model, with_score
from fsmd.tasks import names
from fsmd.trained import TrainedModel
from fsmd.writing import write
from studies.blend.page import BlendResult, facts, lines, page, picture
from studies.blend.search import (
    FORMS,
    JudgedRows,
    compared,
    default_metric,
    ranks,
    search,
)
from studies.options import DEFAULT_OUT

COMMAND = "python -m studies.blend"
_EPILOG = """
examples:
  %(prog)s model/                          a product, the knee of its front
  %(prog)s model/ --form sum --by ndcg@10
  %(prog)s model/ --pick best:long_view --set
                                           best for one task, kept in the model's folder

The validation rows of the data that the model was trained on choose; its test rows are measured
once, for the point picked. Exit code: 0, 2 for a mistake in what was asked, 130 after Ctrl-C.
"""


def parser(prog: str = COMMAND) -> argparse.ArgumentParser:
    """The command line."""
    about = "Search how the probabilities of a model's tasks make one score that ranks for all."
    p = CommandLine(prog, about, _EPILOG)
    p.add_argument("model", type=place, help="the folder that studies.export wrote")
    p.add_argument(
        "--form",
        choices=FORMS,
        default=FORMS[0],
        help="product: p ** a * q ** b; sum: a * p + b * q (default: %(default)s)",
    )
    p.add_argument(
        "--by",
        metavar="METRIC",
        help="what judges the order (default: ndcg@10 where the data has requests, user_auc where "
        "it has users, else the AUC)",
    )
    p.add_argument(
        "--pick",
        default="knee",
        metavar="RULE",
        help="knee, or best:TASK (default: %(default)s)",
    )
    p.add_argument(
        "--data",
        metavar="NAME",
        help="the data set, to encode it again where the cache has it no more",
    )
    p.add_argument(
        "--out", type=place, metavar="FOLDER", help="of the page (default: out/MODEL-score)"
    )
    p.add_argument(
        "--set",
        action="store_true",
        help="write the formula into the model's folder, as its output `score`",
    )
    return p


def main(arguments: Sequence[str] | None = None, prog: str = COMMAND) -> int:
    """Run the command line, which is told as `prog`; the exit code."""
    return exit_code(lambda: _run(parser(prog).parse_args(arguments)), "Stopped.")


def _run(options: argparse.Namespace) -> int:
    if options.set:
        check_exporting()
    saved = load_model(options.model)
    out: Path = options.out or DEFAULT_OUT / f"{options.model.resolve().name}-score"
    check_folders("--out", out)
    if out.resolve() == options.model.resolve():
        raise UserError(f"--out must not be {out}, the model's folder, which holds a model alone")
    data = _data(saved, options.data)
    valid = _judged(saved.trained, data, data.valid)
    metric = _metric(options.by, valid)
    front = search(options.form, metric, valid)
    if options.pick not in front.picks:
        raise UserError(f"no rule {options.pick!r}{alternatives(options.pick, front.picks)}")
    test = _judged(saved.trained, data, data.test)
    weights = front.picks[options.pick].weights
    result = BlendResult(
        saved.head.name,
        data.name,
        front,
        options.pick,
        compared(options.form, metric, test, weights),
        len(data.test),
        test.samples(metric),
    )
    write(out / "blend.html", page(result).encode())
    write(out / "blend.svg", picture(result).encode())
    write(out / "blend.json", (json.dumps(facts(result), indent=1) + "\n").encode())
    print_lines(*lines(result))
    if options.set:
        save_model(with_score(saved, result.formula), options.model)
        print_lines(f"{options.model} has it now as its output `score`.")
    else:
        print(
            f"To have it in {shlex.quote(str(options.model))}: the same command with --set; or "
            "in the description:"
        )
        print(f"[score]\nformula = {json.dumps(result.formula)}")
    print(f"Page: {out / 'blend.html'}")
    return 0


def _metric(name: str | None, rows: JudgedRows) -> Metric:
    if name is None:
        return default_metric(rows.groups)
    known = [each.name for each in METRICS.values() if ranks(each)]
    if name not in METRICS or not ranks(METRICS[name]):
        raise UserError(
            f"--by must be a metric of the order of rows, as a score is no probability (of ndcg@K "
            f"any K from 1 to 1000); no {name!r}{alternatives(name, known)}"
        )
    return METRICS[name]


def _data(saved: SavedModel, name: str | None) -> Dataset:
    """What the model was trained on, as it is encoded."""
    content = saved.head.training["data_hash"]
    if name is not None:
        data = load(name)
        if data.content_hash != content:
            raise UserError(
                f"--data must be what the model was trained on; {name} has other content "
                f"({data.content_hash[:12]}, not {content[:12]}): files or settings have changed"
            )
        return data
    for path in sorted((cache_root() / "encoded").glob(f"*/{FACTS}")):
        if content in path.read_text("utf-8"):
            return open_encoded(path.parent)
    raise UserError(
        f"the data that the model was trained on is not in the cache {cache_root()} any more; "
        "give its name with --data"
    )


def _judged(trained: TrainedModel, data: Dataset, split: Split) -> JudgedRows:
    scores_NK = trained.scores(split.ids, split.dense)
    tasks = names(data.schema.tasks)
    return JudgedRows(tasks, scores_NK, split.labels, split.weights, split.groups)
