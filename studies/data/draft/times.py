"""Columns that say when a row was, and a split by the time they say."""

from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsmd.data.description.columns import DAY, PER_SECOND, instants, is_text
from studies.data.draft.column import Column
from studies.data.draft.names import column as written
from studies.data.draft.words import AFTER, TIMES, has

EARLIEST, LATEST = 631_152_000, 4_102_444_800
"""The years 1990 to 2100: other numbers are no times."""
LEAST_DAYS = 5
"""With fewer a split at the start of a day is too coarse."""

Form = Literal["s", "ms", "us", "ns", "iso", "moment", "yyyymmdd"]


class Time(NamedTuple):
    """A column that is a time, and how it is written."""

    column: Column
    form: Form

    @property
    def told(self) -> str:
        """In words."""
        words = {"iso": "ISO 8601", "moment": "of type time", "yyyymmdd": "yyyymmdd"}
        return words.get(self.form, f"{self.form} since 1970")

    @property
    def seconds(self) -> str:
        """An expression: seconds since 1970."""
        name = written(self.column.name)
        if self.form == "iso":
            return f"seconds({name})"
        factor = PER_SECOND.get(self.form, 1)
        return name if factor == 1 else f"{name} / {factor}"


def time_of(column: Column) -> Time | None:
    """What time a column says, if any."""
    if not column.there:
        return None
    if column.is_moment:
        return Time(column, "moment")
    if is_text(column.kind) and column.iso == column.there:
        return Time(column, "iso")
    named = has(column.name, TIMES)
    if column.ymd == column.there and (named or column.distinct > 3):
        return Time(column, "yyyymmdd")
    if column.is_number and (named or (column.falls == 0 and column.distinct > 100)):
        forms: tuple[Form, ...] = ("s", "ms", "us", "ns")
        for form in forms:
            unit = PER_SECOND[form]
            if EARLIEST * unit <= column.low <= column.high <= LATEST * unit:
                return Time(column, form)
    return None


def main_time(times: list[Time], rows: int) -> Time | None:
    """The one that splits best: there on every row, no event after the row, the finest."""
    fit = [
        time
        for time in times
        if not time.column.table
        and time.column.missing == 0
        and time.column.distinct > 2
        and not has(time.column.name, AFTER)
    ]
    return max(fit, key=lambda t: (t.form != "yyyymmdd", t.column.distinct), default=None)


def seconds_of(time: Time, values: pa.ChunkedArray) -> NDArray[np.float64]:
    """Seconds since 1970 of each row; NaN for none."""
    array = values.combine_chunks()
    if time.form == "iso":
        array = instants(array).values
    number_N = np.asarray(
        array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64
    )
    if time.form == "yyyymmdd":
        year_N, month_N, day_N = number_N // 10_000, number_N // 100 % 100, number_N % 100
        months_N = np.nan_to_num((year_N - 1970) * 12 + month_N - 1).astype("datetime64[M]")
        days_N = months_N.astype("datetime64[D]").astype(np.int64) + day_N - 1
        return np.asarray(days_N * DAY, np.float64)
    return number_N / PER_SECOND.get(time.form, 1)


def split_days(second_N: NDArray[np.float64]) -> tuple[float, float] | None:
    """The days at whose start validation and test begin, about 80/10/10 of the rows.

    As seconds since 1970; None where no such days fit.
    """
    day_N = np.sort(second_N[~np.isnan(second_N)]) // DAY
    starts = np.unique(day_N)[1:]
    if len(starts) + 1 < LEAST_DAYS:
        return None
    before = np.searchsorted(day_N, starts) / len(day_N)  # share of the rows before each day
    i = int(np.abs(before[:-1] - 0.8).argmin())
    j = i + 1 + int(np.abs(before[i + 1 :] - (1 + before[i]) / 2).argmin())
    valid, test = before[j] - before[i], 1 - before[j]
    if not (0.6 <= before[i] <= 0.9 and 0.03 <= valid <= 0.25 and 0.03 <= test <= 0.25):
        return None
    return float(starts[i] * DAY), float(starts[j] * DAY)
