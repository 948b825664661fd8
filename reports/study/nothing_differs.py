"""Where all arms are one model: how often this machinery finds a difference that is not there."""

from collections.abc import Iterator

import numpy as np

from fsmd.metrics import Array
from fsmd.stats.null import null_rate
from fsmd.stats.sampling import by_unit
from reports import ran, words
from reports.predictions import own_figures, read_influences, read_rows
from reports.results import StudyResults
from studies.store.faults import patient

RESAMPLINGS = 500


def is_null(results: StudyResults) -> bool:
    """Whether all arms are one configuration on one data set, under several names."""
    models = {(arm.config, arm.data) for arm in results.planned}
    return len(models) == 1 and len(results.planned) > 1


def null_sentences(results: StudyResults) -> Iterator[str]:
    """The rates, where there are two complete replicates."""
    scores, tasks = results.test, results.task_names
    if len(scores.paired) < 2 or scores.trained != scores.arms:
        return
    kept = [scores.replicates.index(replicate) for replicate in scores.paired]
    turned = [
        scores.metric(task).sign * scores.values_ART[:, kept, k] for k, task in enumerate(tasks)
    ]
    rate = null_rate(
        np.stack(turned, axis=2),
        np.array([target.weights for target in scores.targets]),
        resamplings=RESAMPLINGS,
        seed=results.record.plan.seed,
        influences_RNC=tuple(complete_influences(results)),
    )
    last = words.on_target(scores.targets[-1].key)
    replicates = words.count(len(kept), "complete replicate")
    yield (
        "All arms are one model, so every difference is chance. Shuffling the arms within each "
        f"of {replicates} makes {RESAMPLINGS} studies of which that is true for certain: in "
        f"{words.percent(rate.tested)} of them the comparisons with the reference find some "
        f"difference, where at most {ran.at_level()} is promised. An error that stays with an arm "
        "over all its seeds is shuffled away too, so this rate cannot show one."
    )
    yield (
        f"Naming the arm that is best {last} with one seed would crown one in "
        f"{words.percent(rate.one_seed)} of them."
    )


@patient
def complete_influences(results: StudyResults) -> Iterator[Array]:
    """Of each complete replicate what each test row (or user) does to the figures of all arms.

    None where some arm's predictions were not kept.
    """
    scores = results.test
    if {arm for sampling in scores.samplings for arm in sampling.arms} != set(scores.arms):
        return
    runs = results.runs.set_index(["arm", "replicate"])["run_id"]
    (data_hash,) = set(results.test_sets.values())
    with results.engine.connect() as connection:
        rows = read_rows(connection, data_hash)
        for replicate in scores.paired:
            ids = tuple(str(runs[arm, replicate]) for arm in scores.arms)
            moved_NC = read_influences(connection, ids, own_figures(results.tasks), rows)
            yield by_unit(moved_NC, rows.unit_N)
