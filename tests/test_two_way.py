"""Users and items as samples both: the test set's part where a description names items."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fsmd.data import load
from fsmd.metrics import METRICS, influences, measured
from fsmd.stats.estimates import Array
from fsmd.stats.sampling import shared_covariance
from reports.ran import sources
from reports.results import read
from reports.study.analysis import analyse_study
from reports.study.how_to_read import how_to_read
from studies.store.runs import record_rows
from tests import made_up

Codes = NDArray[np.int64]


def naive(replicates: list[Array], user_N: Codes, item_N: Codes) -> Array:
    """Row by row: what two rows that share a user or an item do together."""
    alike_NN = (user_N[:, None] == user_N) | (item_N[:, None] == item_N)
    pairs = [
        (a, b)
        for i, a in enumerate(replicates)
        for j, b in enumerate(replicates)
        if i != j or len(replicates) == 1
    ]
    total = np.sum([a.T @ alike_NN @ b for a, b in pairs], 0)
    return np.asarray(total / len(pairs) / len(user_N) ** 2)


@pytest.mark.parametrize("replicates", [1, 3])
@pytest.mark.parametrize("items", [3, 400])
def test_it_is_the_sum_over_all_rows_that_share_a_user_or_an_item(
    replicates: int, items: int
) -> None:
    draw = np.random.default_rng(items)
    user_N = np.unique(draw.integers(20, size=90), return_inverse=True)[1]
    item_N = np.unique(draw.integers(items, size=90), return_inverse=True)[1]
    moved = [draw.normal(size=(90, 2)) for _ in range(replicates)]
    found = shared_covariance(moved, (user_N, item_N))
    assert found == pytest.approx(naive(moved, user_N, item_N), abs=1e-15)


def test_where_each_item_is_shown_once_only_users_count() -> None:
    draw = np.random.default_rng(0)
    user_N, moved = np.arange(60) // 3, [draw.normal(size=(60, 2))]
    both = shared_covariance(moved, (user_N, draw.permutation(60)))
    assert both == pytest.approx(shared_covariance(moved, (user_N,)))


def test_by_users_alone_an_interval_does_not_hold_for_new_items() -> None:
    """Two models, equally good, each better on items and for users of its own."""
    draw, covered = np.random.default_rng(5), {"users": 0, "users and items": 0}
    studies, rows, auc = 300, 1500, METRICS["auc"]
    for _ in range(studies):
        user_N, item_N = draw.integers(150, size=rows), draw.integers(60, size=rows)
        label_N = (draw.random(rows) < 0.4).astype(float)
        score_N2 = label_N[:, None] + draw.normal(size=(rows, 2))
        own_N2 = 0.8 * draw.normal(size=(60, 2))[item_N] + 0.4 * draw.normal(size=(150, 2))[user_N]
        score_N2 += own_N2 * (label_N - 0.4)[:, None]
        moved_N2 = np.stack([influences(auc, score_N, label_N) for score_N in score_N2.T], 1)
        figures = [measured(auc, score_N, label_N) or 0.0 for score_N in score_N2.T]
        for name, units in (("users", (user_N,)), ("users and items", (user_N, item_N))):
            covariance_22 = shared_covariance([moved_N2], units)
            variance = np.array([1, -1]) @ covariance_22 @ np.array([1, -1])
            covered[name] += abs(np.diff(figures)[0]) < 1.96 * max(variance, 0) ** 0.5
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


def test_items_of_a_description_are_kept_with_the_test_rows(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    lines = [
        f"u{draw.integers(40)},i{draw.integers(9)},{draw.random()},{draw.integers(2)}"
        for _ in range(900)
    ]
    (tmp_path / "log.csv").write_text("\n".join(["who,what,size,clicked", *lines]), "utf-8")
    (tmp_path / "dataset.toml").write_text(DESCRIPTION, "utf-8")
    data = load(str(tmp_path / "dataset.toml"))
    assert data.test.items is not None
    assert data.test.items.max() == 8
    assert data.train.items is data.valid.items is None
    record_rows(made_up.fresh_engine(tmp_path), data)


def test_a_report_says_for_whom_its_intervals_speak(tmp_path: Path) -> None:
    engine = made_up.fresh_engine(tmp_path)
    for name, users, items in (("both", 30, 12), ("users", 30, None), ("items", None, 12)):
        made_up.store_study(engine, name=name, replicates=2, rows=200, users=users, items=items)
    said = {
        name: (sources(results), " ".join(how_to_read(analyse_study(results))))
        for name in ("both", "users", "items")
        for results in [read(engine, name)]
    }
    assert said["both"][0] == "seeds and the finite test set (its users and items)"
    assert "30 users and 12 items of the test rows" in said["both"][1]
    assert "intervals speak of new users and of new items alike" in said["both"][1]
    assert said["users"][0] == "seeds and the finite test set"
    assert "new ones, who are shown the same items" in said["users"][1]
    assert "speak of new items" in said["items"][1]
