"""What a trained model says of encoded rows, output by output."""

from collections.abc import Mapping

import numpy as np

from fsmd.data.schema import Floats, Ids
from fsmd.metrics.steps import step_scores
from fsmd.saved.head import SCORE, outputs_of
from fsmd.score import parse
from fsmd.tasks import names
from fsmd.trained import TrainedModel


def output_values(
    trained: TrainedModel, score: str | None, ids_NC: Ids, dense_ND: Floats
) -> dict[str, Floats]:
    """Output -> its value of each of N rows, in the order of the outputs.

    score: the formula of the combined score. Loads torch, unless the model is a baseline.
    """
    tasks, chained = trained.schema.tasks, getattr(trained.config, "chain", False)
    both = trained.logits_and_scores(ids_NC, dense_ND)
    logit_NK, score_NK = (each.astype(np.float64) for each in both)
    at = {name: k for k, name in enumerate(names(tasks))}
    values: dict[str, Floats] = {}
    for output in outputs_of(tasks):
        k = at[output.task or ""]
        odds_N = score_NK[:, k]
        if output.given is not None and chained:
            odds_N = logit_NK[:, k]
        elif output.given is not None:
            odds_N = step_scores(odds_N, score_NK[:, at[output.given]])
        values[output.name] = np.exp(-np.logaddexp(0, -odds_N)).astype(np.float32)
    return values if score is None else with_combined(values, score, trained)


def with_combined(
    values: Mapping[str, Floats], score: str, trained: TrainedModel
) -> dict[str, Floats]:
    """The outputs with the combined score of a formula, computed from the probabilities."""
    tasks = trained.schema.tasks
    of_task = {o.task: values[o.name] for o in outputs_of(tasks) if o.task and o.given is None}
    combined_N = parse(score, names(tasks)).evaluate(of_task)
    own = {name: value for name, value in values.items() if name != SCORE}
    with np.errstate(over="ignore"):
        return {**own, SCORE: combined_N.astype(np.float32)}
