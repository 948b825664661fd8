"""Train rows that are later than what they are tested on."""

from collections.abc import Iterator

import numpy as np

from fsmd.data.checks.check import Finding
from fsmd.data.checks.tally import SampledRows, percent


def later_rows(train: SampledRows, test: SampledRows) -> Iterator[Finding]:
    """A warning where train rows are later than the earliest of test."""
    if train.time_N is None or test.time_N is None or not (test.time_N == test.time_N).any():
        return
    began = np.nanmin(test.time_N)
    late = float((train.time_N > began).mean())
    if not late:
        return
    text = (
        f"{percent(late)} of the train rows are later than the earliest test row{train.said()}: "
        "what is measured is not what a model of the past does in the future. Split by time "
        '(by = "time" under [split]), unless that is what you want.'
    )
    yield Finding("warning", text)
