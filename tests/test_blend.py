"""One score of several tasks: searched, and held against every way to weigh them."""

import json
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsmd import score
from fsmd.data import load
from fsmd.data.schema import Dataset
from fsmd.errors import UserError
from fsmd.metrics import METRICS, measured
from fsmd.saved.head import read_example
from fsmd.saved.model import save_model
from fsmd.scorer import Scorer
from studies.blend import commands
from studies.blend.search import (
    FORMS,
    Form,
    JudgedRows,
    combined,
    compared,
    default_metric,
    formula,
    search,
    simplex,
)
from tests.made_up.model_folders import untrained

ROWS, USERS = 1500, 90


def made_up(tasks: int, seed: int = 0, rows: int = ROWS, rare: float = 4.0) -> JudgedRows:
    """Tasks that share a part of what moves them and are rarer from one to the next."""
    random = np.random.default_rng(seed)
    shared_N = random.normal(size=rows)
    truth_NK = shared_N[:, None] / 2 + random.normal(size=(rows, tasks))
    truth_NK -= np.linspace(0, rare, tasks)
    label_NK = (random.random((rows, tasks)) < 1 / (1 + np.exp(-truth_NK))).astype(np.float32)
    score_NK = (truth_NK + random.normal(size=(rows, tasks)) / 2).astype(np.float32)
    groups = {"user": random.integers(USERS, size=rows).astype(np.uint32)}
    return JudgedRows(tuple(f"task_{k}" for k in range(tasks)), score_NK, label_NK, None, groups)


@pytest.mark.parametrize(("form", "by"), [*product(FORMS, ("auc", "user_auc"))])
def test_no_weights_of_two_tasks_beat_the_front_by_more_than_the_grid_is_wide(
    form: Form, by: str
) -> None:
    rows, metric = made_up(2), METRICS[by]
    found = search(form, metric, rows)
    terms_NK = 1 / (1 + np.exp(-rows.log_odds_NK.astype(float)))
    for share in np.linspace(0, 1, 61):
        weigh = np.array([1 - share, share]) / (
            np.log(terms_NK).std(axis=0) if form == "product" else terms_NK.std(axis=0)
        )
        score_N = (
            np.prod(terms_NK**weigh, axis=1) if form == "product" else (terms_NK * weigh).sum(1)
        )
        point = np.array(rows.figures(metric, score_N))
        gaps_W = (point - found.points_WK).max(axis=1)
        assert gaps_W.min() < 2e-3
    knee = found.picks["knee"]
    ends = [found.picks[f"best:{task}"].figures[k] for k, task in enumerate(rows.tasks)]
    assert ends == found.points_WK.max(axis=0).tolist()
    assert all(figure <= end for figure, end in zip(knee.figures, ends, strict=True))
    assert knee in found.front


def test_picks_of_three_tasks_are_as_good_as_those_of_a_grid_three_times_as_fine() -> None:
    rows, metric = made_up(3, rows=600), METRICS["auc"]
    found = search("product", metric, rows)
    spread_K = np.logaddexp(0, -rows.log_odds_NK.astype(float)).std(axis=0)
    points = [
        rows.figures(metric, combined("product", rows.log_odds_NK, tuple(share_K / spread_K)))
        for share_K in map(np.array, simplex(3, 40))
    ]
    for k, task in enumerate(rows.tasks):
        assert found.picks[f"best:{task}"].figures[k] > max(p[k] for p in points) - 5e-4
    for each in found.tried:  # measured is what is written
        score_N = combined("product", rows.log_odds_NK, each.weights)
        assert each.figures == rows.figures(metric, score_N)


@pytest.mark.parametrize("tasks", [2, 3, 5, 8])
def test_any_number_of_tasks_is_searched_and_a_rare_one_is_not_drowned(tasks: int) -> None:
    rows = made_up(tasks, rows=300)
    found = search("sum", METRICS["auc"], rows)
    alone = rows.figures(METRICS["auc"], rows.log_odds_NK[:, -1].astype(float))
    assert found.picks[f"best:task_{tasks - 1}"].figures[-1] >= alone[-1]
    assert len(found.tried) < 1500
    assert {len(each.weights) for each in found.tried} == {tasks}


@given(st.sampled_from(FORMS), st.lists(st.integers(0, 9), min_size=2, max_size=4).filter(any))
def test_a_formula_as_it_is_written_puts_rows_in_the_order_that_was_measured(
    form: Form, parts: list[int]
) -> None:
    rows = made_up(len(parts), rows=200)
    names = ("click", "long view", "while", "it's")[: len(parts)]
    weights = tuple(float(f"{part / sum(parts):.3g}") for part in parts)
    read = score.parse(formula(form, names, weights), names)
    probability_NK = 1 / (1 + np.exp(-rows.log_odds_NK.astype(np.float64)))
    by_formula_N = read.evaluate(dict(zip(names, probability_NK.T, strict=True)))
    score_N = combined(form, rows.log_odds_NK, weights)
    order_N = np.argsort(score_N)
    assert (np.diff(by_formula_N[order_N]) >= -1e-12).all()


def test_the_interval_of_a_gain_covers_it_as_often_as_it_says() -> None:
    """Over 100 test sets of one model: the gain of a product over the first task alone."""
    whole = made_up(2, seed=1, rows=60_000)
    metric, weights = METRICS["auc"], (0.6, 0.4)
    truth = gain(whole, weights)
    covered, values, halves = [], [], []
    for part in np.array_split(np.arange(60_000), 100):
        rows = JudgedRows(
            whole.tasks, whole.log_odds_NK[part], whole.label_NK[part], None, groups={}
        )
        found = compared("product", metric, rows, weights)
        interval = found[1].gained[1]
        assert interval.value == pytest.approx(gain(rows, weights))
        covered.append(interval.low <= truth <= interval.high)
        values.append(interval.value)
        halves.append((interval.high - interval.low) / 2)
    assert 0.87 <= np.mean(covered) <= 0.995
    assert np.mean(halves) == pytest.approx(1.96 * np.std(values), rel=0.2)


def test_rows_of_one_item_are_no_more_independent_than_those_of_one_user() -> None:
    """Each item's labels go together: the more rows an item has, the less they tell."""
    random, metric, weights = np.random.default_rng(5), METRICS["auc"], (0.6, 0.4)
    items, values, halves = 40, [], []
    for _ in range(60):
        item_N = random.integers(items, size=1500)
        of_item_IK = random.normal(size=(items, 2))
        rows = made_up(2, seed=int(random.integers(10**6)), rows=1500, rare=1.0)
        chance_NK = 1 / (1 + np.exp(-2 * of_item_IK[item_N]))
        label_NK = (random.random(chance_NK.shape) < chance_NK).astype(np.float32)
        groups = {"user": np.arange(1500, dtype=np.uint32), "item": item_N.astype(np.uint32)}
        score_NK = (rows.log_odds_NK + of_item_IK[item_N] / 2).astype(np.float32)
        known = JudgedRows(rows.tasks, score_NK, label_NK, None, groups)
        interval = compared("product", metric, known, weights)[1].figures[1]
        values.append(interval.value)
        halves.append((interval.high - interval.low) / 2)
    assert np.mean(halves) == pytest.approx(1.96 * np.std(values), rel=0.25)


def gain(rows: JudgedRows, weights: tuple[float, ...]) -> float:
    """By what a product ranks better for task 1 than task 0 alone does."""
    alone_N: NDArray[np.float64] = rows.log_odds_NK[:, 0].astype(float)
    both_N = combined("product", rows.log_odds_NK, weights)
    figures = [
        measured(METRICS["auc"], score_N, rows.label_NK[:, 1]) for score_N in (both_N, alone_N)
    ]
    assert figures[0] is not None
    assert figures[1] is not None
    return figures[0] - figures[1]


def test_of_many_rows_whole_users_are_drawn() -> None:
    rows = made_up(2)
    few = rows.at_most(500)
    assert 300 < len(few.label_NK) < 700
    kept = set(few.groups["user"].tolist())
    assert np.isin(rows.groups["user"], list(kept)).sum() == len(few.label_NK)
    assert rows.at_most(ROWS) is rows


def test_requests_are_judged_by_ndcg_and_users_by_user_auc_where_they_are_known() -> None:
    assert default_metric({"user": 1, "request": 1}).name == "ndcg@10"
    assert default_metric({"user": 1}).name == "user_auc"
    assert default_metric({}).name == "auc"


@dataclass(frozen=True)
class Guesses:
    """A model of so many tasks that knows nothing."""

    tasks: int

    def scores(self, ids_NC: NDArray[np.int32], _: NDArray[np.float32]) -> NDArray[np.float32]:
        noise_NK = np.random.default_rng(0).normal(size=(len(ids_NC), self.tasks))
        return noise_NK.astype(np.float32)


def test_the_command_writes_a_page_a_picture_and_the_formula_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = load("planted:rows=2000,tasks=3")
    monkeypatch.setattr(commands, "load_model", lambda _: model_of(data))
    monkeypatch.chdir(tmp_path)
    assert commands.main(["mine"]) == 0
    printed = capsys.readouterr().out
    folder = tmp_path / "out" / "mine-score"
    facts = json.loads((folder / "blend.json").read_text())
    assert (facts["metric"], facts["form"]) == ("ndcg@10", "product")
    assert facts["samples"] == ["user"]
    assert facts["picks"].keys() == {"knee", "best:click", "best:long_view", "best:like"}
    assert f'[score]\nformula = "{facts["formula"]}"\n' in printed
    page = (folder / "blend.html").read_text()
    picture = ElementTree.fromstring((folder / "blend.svg").read_text())
    assert facts["formula"] in page
    assert len(picture.findall("{*}g")) == 3  # a panel for each pair of tasks
    assert [each["score"] for each in facts["test"]] == ["blend", "click", "long_view", "like"]
    assert commands.main(["mine", "--pick", "best:like", "--form", "sum", "--by", "auc"]) == 0
    again = json.loads((folder / "blend.json").read_text())
    assert again["formula"] == again["picks"]["best:like"]["formula"]


def test_set_writes_the_formula_into_the_folder_which_then_scores_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(untrained("planted:rows=2000"), tmp_path / "model")
    assert commands.main(["model", "--set", "--out", "page"]) == 0
    text = json.loads((tmp_path / "page" / "blend.json").read_text())["formula"]
    scorer = Scorer.load(tmp_path / "model")
    assert (scorer.head.score, scorer.outputs[-1]) == (text, "score")
    (found,) = scorer.score(list(read_example(tmp_path / "model").rows))
    names = [task.name for task in scorer.head.tasks]
    probability = {name: np.array([found[f"P({name})"]]) for name in names}
    expected = score.parse(text, names).evaluate(probability)
    assert found["score"] == pytest.approx(float(expected[0]), rel=1e-6)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--by", "log_loss"), "--by must be a metric of the order of rows"),
        (("--by", "ndgc@10"), "did you mean 'ndcg@10'"),
        (("--pick", "best:lke"), "did you mean 'best:like'"),
        (("--data", "planted:rows=2500,tasks=3"), "has other content"),
        (("--out", "mine"), "--out must not be mine, the model's folder"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    told: str,
) -> None:
    data = load("planted:rows=2000,tasks=3")
    monkeypatch.setattr(commands, "load_model", lambda _: model_of(data))
    monkeypatch.chdir(tmp_path)
    assert commands.main(["mine", *options]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert told in error
    assert not list(tmp_path.iterdir())


def model_of(data: Dataset) -> SimpleNamespace:
    """As `load_model` gives it, as far as it is asked."""
    head = SimpleNamespace(name="mine", training={"data_hash": data.content_hash})
    return SimpleNamespace(head=head, trained=Guesses(len(data.schema.tasks)))


def test_what_cannot_be_weighed_is_refused_in_one_line() -> None:
    metric = METRICS["auc"]
    with pytest.raises(UserError, match="needs two of them; got 'task_0'"):
        search("sum", metric, made_up(1))
    rows = made_up(2)
    rows.log_odds_NK[:, 1] = 0.5
    with pytest.raises(UserError, match="the same of all rows for task 'task_1'"):
        search("sum", metric, rows)
    rows = made_up(2)
    rows.label_NK[:, 1] = 0
    with pytest.raises(UserError, match=r"do not define the AUC of task 'task_1'.*--by"):
        search("sum", metric, rows)
    with pytest.raises(UserError, match=r"in one request.*the data has user"):
        search("sum", METRICS["ndcg@5"], made_up(2))
