"""NDCG@K of each request: how high the rows with a 1 stand among those that were shown together.

A 1 on place i (from 1) gains 1 / log2(i + 1), over the most that the request's labels could gain
on its first K places. Rows of equal score share their places: the expectation over their orders.
A request without a 1 is skipped; one weighs the mean weight of its rows. The K that is shown
without being asked for is 10.
"""

import re
from functools import cache, partial

import numpy as np

from fsmd.metrics.groups import mean_over
from fsmd.metrics.metric import GroupFigures, Metric, Rows
from fsmd.metrics.ties import Runs

MOST = 1000


def _ndcgs(rows: Rows, k: int) -> GroupFigures:
    runs = Runs(-rows.score_N, rows.group_N)
    positives_R, begin_R = runs.of_runs(rows.label_N > 0), runs.before(runs.count_R).astype(int)
    reached = np.append(0.0, np.cumsum(1 / np.log2(np.arange(2, k + 2))))
    gained_R = reached[np.minimum(begin_R + runs.count_R, k)] - reached[np.minimum(begin_R, k)]
    gained_G = runs.of_groups(positives_R / runs.count_R * gained_R)
    best_G = reached[np.minimum(runs.of_groups(positives_R).astype(int), k)]
    value_G = np.full(len(best_G), np.nan)
    np.divide(gained_G, best_G, out=value_G, where=best_G > 0)
    weight_G = runs.of_groups(runs.of_runs(rows.weight_N)) / runs.of_groups(runs.count_R)
    return GroupFigures(np.minimum(value_G, 1.0), weight_G, runs.group_R[runs.run_N])


@cache
def ndcg(k: int) -> Metric:
    """The metric `ndcg@K`."""
    return mean_over("request", partial(_ndcgs, k=k), name=f"ndcg@{k}", label=f"NDCG@{k}")


def named(name: str) -> Metric | None:
    """The metric of a name such as `ndcg@5`, K from 1 to 1000; None for any other name."""
    found = re.fullmatch(r"ndcg@([1-9]\d{0,3})", name)
    return ndcg(int(found[1])) if found and int(found[1]) <= MOST else None


METRIC = ndcg(10)
