"""Half of the training rows, drawn from a seed: so that the training sample is a source of chance.

Halves without a row twice, not as many rows with replacement: both scatter alike about what all
rows give (the variance of a mean of half of the rows, given the rows, is that of a mean of all of
them over samples; Politis and Romano 1994), but a row that is there twice is learnt by heart, and
its label is known where labels of other rows stand for ids (`fsmd.baselines.columns`).

A unit is a user where the test rows' users are others than those of train, so that a new sample
would have new users; else a row: without its user's rows of train, a test row would be one of a
new user, as none is where the model is used.
"""

import numpy as np
from numpy.typing import NDArray

from fsmd.data.schema import Split


def rows_of_half(rows: int) -> int:
    """How many rows of a train of so many are in: half of them, rounded down, one at least."""
    return max(1, rows // 2)


def half_of(split: Split, seed: int) -> NDArray[np.bool_]:
    """Which of the N rows are in: `rows_of_half`, of whole users.

    The user that comes last may be there in part.
    """
    draw, rows = np.random.default_rng(seed), len(split)
    few = rows_of_half(rows)
    in_N = np.zeros(rows, bool)
    if split.users is None:
        in_N[draw.permutation(rows)[:few]] = True
        return in_N
    rows_U = np.bincount(split.users)
    order_U = draw.permutation(len(rows_U))
    reached_U = np.cumsum(rows_U[order_U])
    last = int(np.searchsorted(reached_U, few))
    in_U = np.zeros(len(rows_U), bool)
    in_U[order_U[: last + 1]] = True
    np.take(in_U, split.users, out=in_N)
    spare = int(reached_U[last]) - few
    in_N[np.flatnonzero(split.users == order_U[last])[:spare]] = False
    return in_N
