"""What is new is one file: a data set, a metric, a study, a figure, an objective, a search.

Each is put into a copy of the source tree, beside a study whose file is faulty; all are run to
reports.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

TAKES_LONG = True
ROOT = Path(__file__).parents[1]
PACKAGES = ("fsmd", "search_spaces", "studies", "reports")

FILES = {
    "fsmd/data/sets/shop.py": '''
"""Visits to a made-up shop."""

import numpy as np
import pandas as pd

from fsmd.data.rows.frames import Tables, of_tables
from fsmd.data.settings import TrainingSettings
from fsmd.data.source import Categorical, Dense, Recipe
from fsmd.tasks import Task

RECIPE = Recipe(
    name="shop",
    categorical=(Categorical("visitor"), Categorical("product")),
    dense=(Dense("price"),),
    tasks=(Task("cart", metric="brier"), Task("buy", metric="brier", after="cart")),
    user="visitor",
    settings=TrainingSettings(batch_size=128, learning_rate=0.01),
)


def sources():
    return {"shop": lambda: of_tables(RECIPE, {"version": 1}, read)}


def read():
    rng = np.random.default_rng(0)
    n = 1500
    table = pd.DataFrame(
        {
            "visitor": rng.integers(40, size=n).astype(str),
            "product": rng.integers(9, size=n).astype(str),
            "price": rng.normal(size=n),
        }
    )
    chance = 1 / (1 + np.exp(table["price"] + table["product"].astype(int) / 4 - 1))
    table["cart"] = (rng.random(n) < chance).astype(int)
    table["buy"] = table["cart"] * (rng.random(n) < 0.5)
    return Tables(table[:700], table[700:1100], table[1100:])
''',
    "fsmd/metrics/brier.py": '''
"""Mean squared error of probabilities (Brier 1950)."""

import numpy as np

from fsmd.metrics.metric import Metric


def _errors(rows):
    return (1 / (1 + np.exp(-rows.score_N)) - rows.label_N) ** 2


def _brier(parts):
    total = sum(rows.weight_N.sum() for rows in parts)
    return float(sum(_errors(rows) @ rows.weight_N for rows in parts) / total)


def _influence(rows):
    error_N = _errors(rows)
    share_N = len(error_N) * rows.weight_N / rows.weight_N.sum()
    return share_N * (error_N - np.average(error_N, weights=rows.weight_N))


METRIC = Metric(
    name="brier", label="Brier score", higher=False, digits=3, margin=0.002, low=0.0, high=1.0,
    of=_brier, influence=_influence,
)
''',
    "studies/catalog/my_study.py": '''
"""Does batch norm help in a shop?"""

from fsmd.config import FSMDConfig
from studies.definition import Above, Arm, Claim, Factor, Study, one_factor

STUDY = Study(
    name="my_study",
    title="Batch norm in a shop",
    question="Does batch norm help?",
    factor="batch norm",
    base=FSMDConfig(layers=(8,), tower_width=8, expert_count=2),
    arms=(
        *one_factor(Factor("batch_norm", (True, False))),
        Arm("deep gates", (("gate_depth", 3),), (("variant", "deep gates"),)),
    ),
    reference="True",
    claims=(Claim("helps", "It helps.", "me", (Above("buy", "True", "False"),)),),
    data="shop",
    about="",
    tasks=("cart", "buy"),
)
''',
    "studies/catalog/faulty.py": '''
"""A study with a slip in it."""

from fsmd.config import FSMDConfig

BASE = FSMDConfig(expert_count="many")
''',
    "studies/catalog/my_search.py": '''
"""The shallowest gates that are good enough."""

from studies.definition import Search

SEARCH = Search(
    name="my_search",
    title="Shallow gates",
    question="How deep must gates be?",
    space="paper",
    objectives=("tasks", "depth"),
    data="shop",
    trials=2,
    sampler="random",
    pruner="none",
    confirm=1,
    baselines=(),
)
''',
    "studies/objectives/depth.py": '''
"""Layers of a gate."""

from studies.objectives.cost import Cost
from studies.objectives.objective import Objective


def depth(config, data):
    return float(config.gate_depth)


COST = Cost(
    Objective("depth", "layers of a gate", False, "before", digits=0, margin=0.0),
    of_model=depth,
)
''',
    "reports/study/figures/spread.py": '''
"""How far the arms' means lie apart, task by task."""

from matplotlib.figure import Figure

from reports.page.figure_kind import FigureKind


def summarize(results):
    scores = results.test
    means = {
        target.key: [scores.mean(arm, target.key).mean for arm in scores.trained]
        for target in results.targets
    }
    return {key: max(values) - min(values) for key, values in means.items()}


def draw(summary, narrow=False):
    figure = Figure()
    figure.subplots().barh(list(summary), list(summary.values()))
    return figure


def caption(summary):
    return "The largest mean minus the smallest."


def alt(summary):
    return "Spread of the means. " + ", ".join(f"{k}: {v:.3f}" for k, v in summary.items()) + "."


FIGURE = FigureKind("spread", "other", 10, summarize, draw, caption, alt)
''',
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources, with one new file of each kind."""
    folder = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:  # with what is compiled: to compile it again takes seconds
        shutil.copytree(ROOT / package, folder / package)
    for path, text in FILES.items():
        assert not (folder / path).exists()
        (folder / path).write_text(text.lstrip("\n"), "utf-8")
    return folder


COMMANDS = {
    "study": "my_study --replicates 2 --epochs 1",
    "search": "my_search --epochs 1",
    "faulty": "faulty",
    "list": "--list",
}

ONE_PROCESS = """
import json, sys, torch
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pytest import MonkeyPatch
import studies.workers.local

torch.set_num_threads(1)
# Before anything takes it from there, as tests.lab does.
studies.workers.local.LocalWorkers = lambda count: Immediate(count)
import studies.session
from studies.run import main
from tests.lab import Immediate
from tests.conftest import leave_figures_blank

studies.session.measure_latency = lambda *_: None
leave_figures_blank(MonkeyPatch(), but="spread")
told = {}
for name, line in json.loads(sys.argv[1]).items():
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = main(line.split())
    told[name] = (code, out.getvalue(), err.getvalue())
print(json.dumps(told))
"""


class Ended(NamedTuple):
    """What a command returned and said."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="module")
def ended(tree: Path) -> dict[str, Ended]:
    """All commands of the copy, in one process: to load torch takes longer than they."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (tree, ROOT))),
        "FSMD_CACHE": str(tree / "cache"),
    }
    run = subprocess.run(
        [sys.executable, "-c", ONE_PROCESS, json.dumps(COMMANDS)],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return {name: Ended(*told) for name, told in json.loads(run.stdout).items()}


def test_a_study_on_a_new_data_set_by_a_new_metric_ends_in_a_report_with_a_new_figure(
    tree: Path, ended: dict[str, Ended]
) -> None:
    assert ended["study"].code == 0, ended["study"].err
    folder = tree / "out/my_study"
    page = (folder / "report.html").read_text("utf-8")
    for word in ("Brier score", "deep gates", "The largest mean minus the smallest.", "It helps."):
        assert word in page
    for table in ("leaderboard", "differences"):
        head = (folder / f"tables/{table}.csv").read_text("utf-8").splitlines()[0]
        assert "Brier score, buy" in head
        assert "AUC" not in head
    assert (folder / "figures/spread.pdf").is_file()
    summary = json.loads((folder / "summary.json").read_text("utf-8"))
    assert (summary["study"], summary["data"]) == ("my_study", "shop")
    with (folder / "results.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    judged = {row["task"] for row in rows if (row["split"], row["metric"]) == ("test", "brier")}
    assert judged == {"cart", "buy", "buy|cart"}
    assert {row["arm"] for row in rows} == {"True", "False", "deep gates"}


def test_a_search_with_a_new_objective_ends_in_a_report(
    tree: Path, ended: dict[str, Ended]
) -> None:
    assert ended["search"].code == 0, ended["search"].err
    page = (tree / "out/my_search/report.html").read_text("utf-8")
    assert "layers of a gate" in page
    assert "Brier score" in page


def test_a_faulty_study_is_one_clear_line_and_hurts_no_other(ended: dict[str, Ended]) -> None:
    assert ended["faulty"].code == 2
    (line,) = ended["faulty"].err.splitlines()
    assert line.startswith("error: the study file faulty.py is faulty: ")
    assert "`expert_count` must be a whole number" in line
    assert ended["list"].code == 0
    lines = {line.split()[0]: line for line in ended["list"].out.splitlines()}
    assert {"my_study", "my_search", "faulty", "tower_shape"} <= set(lines)
    assert "faulty.py is faulty" in lines["faulty"]
    assert "Does batch norm help?" in lines["my_study"]
