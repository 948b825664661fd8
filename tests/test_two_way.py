"""Users and items as samples both: the test set's part where a description names items."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fsmd.data import load
from fsmd.metrics import METRICS, influences, measured
from fsmd.stats.estimates import Array
from fsmd.stats.sampling import shared_covariance
from fsmd.tasks import Task
from reports.predictions import KeptRows, read_rows
from reports.ran import few_sampled, sources
from reports.results import read
from reports.study.analysis import analyse_study
from reports.study.how_to_read import how_to_read
from studies.store.runs import record_rows
from tests import made_up

Codes = NDArray[np.int64]


def naive(replicates: list[Array], alike_NN: NDArray[np.bool_]) -> Array:
    """Row by row: what two rows that are alike do together."""
    pairs = [
        (a, b)
        for i, a in enumerate(replicates)
        for j, b in enumerate(replicates)
        if i != j or len(replicates) == 1
    ]
    total = np.sum([a.T @ alike_NN @ b for a, b in pairs], 0)
    return np.asarray(total / len(pairs) / len(alike_NN) ** 2)


@pytest.mark.parametrize("replicates", [1, 3])
@pytest.mark.parametrize("items", [3, 400])
def test_it_is_the_sum_over_all_rows_that_share_a_user_or_an_item(
    replicates: int, items: int
) -> None:
    draw = np.random.default_rng(items)
    user_N = np.unique(draw.integers(20, size=90), return_inverse=True)[1]
    item_N = np.unique(draw.integers(items, size=90), return_inverse=True)[1]
    of_items = 2 * draw.normal(size=(items, 2))[item_N]  # so many that they add something
    moved = [draw.normal(size=(90, 2)) + of_items for _ in range(replicates)]
    same_user_NN, same_item_NN = (code_N[:, None] == code_N for code_N in (user_N, item_N))
    by_items = naive(moved, same_item_NN & ~same_user_NN)
    assert np.linalg.eigvalsh(by_items).min() > 0
    found = shared_covariance(moved, user_N, item_N)
    assert found == pytest.approx(naive(moved, same_user_NN | same_item_NN), abs=1e-15)
    alone = shared_covariance(moved, user_N, item_N, np.array([True, False]))
    by_users = naive(moved, same_user_NN)
    assert alone == pytest.approx(by_users + by_items * [[1, 0], [0, 0]], abs=1e-15)


@pytest.mark.parametrize("items", [1, 2, 5, 40])
def test_no_contrast_has_less_variance_than_by_users_alone(items: int) -> None:
    """Of few items what they add comes out below zero; of one item all variance went."""
    draw = np.random.default_rng(items)
    user_N = np.arange(120) // 3
    moved_NC = draw.normal(size=(120, 4))
    moved_NC -= moved_NC.mean(0)
    item_N = draw.integers(items, size=120)
    more = shared_covariance([moved_NC], user_N, item_N) - shared_covariance([moved_NC], user_N)
    assert np.linalg.eigvalsh(more).min() > -1e-12
    if items == 1:
        assert more == pytest.approx(0, abs=1e-12)


def test_where_each_item_is_shown_once_only_users_count() -> None:
    draw = np.random.default_rng(0)
    user_N, moved = np.arange(60) // 3, [draw.normal(size=(60, 2))]
    both = shared_covariance(moved, user_N, draw.permutation(60))
    assert both == pytest.approx(shared_covariance(moved, user_N))


def test_one_user_or_one_item_is_no_sample() -> None:
    one, many = np.zeros(9, np.int64), np.arange(9) // 2
    rows = KeptRows({}, {"user": one, "item": many}, None)
    assert (rows.unit, rows.units) == (None, None)
    assert rows.item_N is many
    assert KeptRows({}, {"user": one, "request": many, "item": one}, None).unit == "request"
    assert KeptRows({}, {"user": many, "item": one}, None).item_N is None


@pytest.mark.parametrize("name", ["auc", "user_auc"])
def test_by_users_alone_an_interval_does_not_hold_for_new_items(name: str) -> None:
    """Two models, equally good, each better on items and for users of its own."""
    draw, covered = np.random.default_rng(5), {"users": 0, "users and items": 0}
    studies, rows, metric = 200, 1500, METRICS[name]
    for _ in range(studies):
        user_N, item_N = draw.integers(150, size=rows), draw.integers(60, size=rows)
        label_N = (draw.random(rows) < 0.4).astype(float)
        score_N2 = label_N[:, None] + draw.normal(size=(rows, 2))
        own_N2 = 0.8 * draw.normal(size=(60, 2))[item_N] + 0.4 * draw.normal(size=(150, 2))[user_N]
        score_N2 += own_N2 * (label_N - 0.4)[:, None]
        known = label_N, None, {"user": user_N}
        moved_N2 = np.stack([influences(metric, score_N, *known) for score_N in score_N2.T], 1)
        figures = [measured(metric, score_N, *known) or 0.0 for score_N in score_N2.T]
        for by, items in (("users", None), ("users and items", item_N)):
            covariance_22 = shared_covariance([moved_N2], user_N, items)
            variance = np.array([1, -1]) @ covariance_22 @ np.array([1, -1])
            covered[by] += abs(np.diff(figures)[0]) < 1.96 * max(variance, 0) ** 0.5
    assert covered["users"] / studies < 0.8, covered
    assert covered["users and items"] / studies > 0.905, covered


DESCRIPTION = """
[data]
name = "shown"
files = ["log.csv"]
[roles]
user = "who"
item = "what"
[fields]
who = "category"
size = "number"
[tasks]
click = "clicked == 1"
[split]
seed = 1
by = "fraction"
shares = [0.6, 0.2, 0.2]
"""


def test_items_of_a_description_are_kept_with_the_rows_of_validation_and_test(
    tmp_path: Path,
) -> None:
    draw = np.random.default_rng(0)
    lines = [
        f"u{draw.integers(40)},i{draw.integers(9)},{draw.random()},{draw.integers(2)}"
        for _ in range(900)
    ]
    (tmp_path / "log.csv").write_text("\n".join(["who,what,size,clicked", *lines]), "utf-8")
    (tmp_path / "dataset.toml").write_text(DESCRIPTION, "utf-8")
    data = load(str(tmp_path / "dataset.toml"))
    assert data.train.items is None
    engine = made_up.fresh_engine(tmp_path)
    record_rows(engine, data)
    with engine.connect() as connection:
        for split, of in (("valid", data.valid), ("test", data.test)):
            assert of.items is not None
            assert of.items.max() == 8
            kept = read_rows(connection, data.content_hash, split)
            assert kept.item_N is not None
            assert (kept.item_N == of.items).all()


def said(folder: Path, metric: str = "auc", **more: int | None) -> tuple[str, str, str]:
    """What intervals cover, for whom they speak, and what is cautioned of few."""
    folder.mkdir(exist_ok=True)
    engine = made_up.fresh_engine(folder)
    tasks = (Task("click", metric), Task("long_view"))
    made_up.store_study(engine, tasks=tasks, replicates=2, rows=200, **more)  # type: ignore[arg-type]
    results = read(engine, "towers")
    return sources(results), " ".join(how_to_read(analyse_study(results))), few_sampled(results)


def test_a_report_says_for_whom_its_intervals_speak(tmp_path: Path) -> None:
    over, speak, few = said(tmp_path / "both", users=30, items=12)
    assert over == "seeds and the finite test set (its users and items)"
    assert "30 users and 12 items of the test rows" in speak
    assert "intervals speak of new users and of new items alike." in speak
    assert few.startswith("The test rows have 12 items only")
    over, speak, few = said(tmp_path / "users", users=30)
    assert over == "seeds and the finite test set"
    assert "intervals speak of new users, with the same items." in speak
    assert few == ""
    over, speak, _ = said(tmp_path / "items", items=12)
    assert over == "seeds and the finite test set (its items)"
    assert "The 12 items of the test rows" in speak
    assert "intervals speak of new items." in speak


def test_a_metric_that_items_do_nothing_to_is_named(tmp_path: Path) -> None:
    over, speak, _ = said(tmp_path, "ndcg@10", users=30, items=25)
    assert over == (
        "seeds and the finite test set (its users and items; of NDCG@10 its users alone)"
    )
    assert "Those of NDCG@10, to which an item does nothing by itself, speak of new users" in speak


def test_an_only_item_is_as_none(tmp_path: Path) -> None:
    over, speak, few = said(tmp_path, users=30, items=1)
    assert (over, few) == ("seeds and the finite test set", "")
    assert "The 30 users of the test rows are taken as independent" in speak
