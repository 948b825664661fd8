"""Logistic regression: a weight for each id and each number, with squares of weights added."""

import warnings
from collections.abc import Iterator

import numpy as np
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from fsmd.baselines.columns import fields_of, table_rows
from fsmd.baselines.grown import BaselineTask, Grown
from fsmd.data.schema import Floats, Ids, Schema

ITERATIONS = 10
"""Of the optimiser in an epoch; each passes over the rows about once."""


def grown(asked: BaselineTask) -> Iterator[Grown]:
    """After every `ITERATIONS` steps of L-BFGS, until it has converged."""
    config, data, rows = asked.config, asked.data, asked.rows
    assert config.l2 is not None
    table, width = table_rows(data.schema), len(data.schema.dense)
    valid = one_hot(data.schema, data.valid.ids, data.valid.dense)
    weight_F, bias = np.zeros(table + width), rows.log_odds

    def now() -> Grown:
        arrays = {
            "bias": np.float32(bias),
            "ids": weight_F[:table].astype(np.float32),
            "dense": weight_F[table:].astype(np.float32),
        }
        return Grown(
            {name: np.asarray(array) for name, array in arrays.items()},
            (some @ weight_F + bias).astype(np.float32),
            (valid @ weight_F + bias).astype(np.float32),
        )

    train = one_hot(data.schema, data.train.ids[rows.rows], data.train.dense[rows.rows])
    some = train[asked.some]
    if rows.is_constant or not train.shape[1]:
        yield now()
        return
    model = LogisticRegression(
        C=1 / config.l2 if config.l2 else np.inf,
        solver="lbfgs",
        max_iter=ITERATIONS,
        tol=1e-5,
        warm_start=True,
    )
    for _ in range(asked.epochs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(train, rows.label_N, rows.weight_N)
        weight_F, bias = model.coef_[0], float(model.intercept_[0])
        yield now()
        if model.n_iter_[0] < ITERATIONS:
            return


def one_hot(schema: Schema, id_NC: Ids, dense_ND: Floats) -> sp.csr_matrix:
    """N x (R + D): 1 at each id, of tags a share at each member; then the numbers."""
    id_NC, count = np.asarray(id_NC), len(id_NC)
    share_NC = np.ones(id_NC.shape)
    column_NC = id_NC.astype(np.int64)
    for field in fields_of(schema):
        there_NL = id_NC[:, field.columns] >= 0
        members_N1 = np.maximum(there_NL.sum(1, keepdims=True), 1)
        share_NC[:, field.columns] = there_NL / members_N1
        column_NC[:, field.columns] = np.where(there_NL, id_NC[:, field.columns] + field.offset, 0)
    width = len(schema.dense)
    dense_columns = np.broadcast_to(table_rows(schema) + np.arange(width), (count, width))
    columns = np.concatenate([column_NC, dense_columns], 1)
    values = np.concatenate([share_NC, np.asarray(dense_ND)], 1)
    starts = np.arange(count + 1) * columns.shape[1]
    shape = (count, table_rows(schema) + width)
    matrix = sp.csr_matrix((values.ravel(), columns.ravel(), starts), shape)
    matrix.eliminate_zeros()
    return matrix
