"""One rule from an Arrow column to numbers and to texts, whatever type it comes in.

It is the rule of `fsmd.data.values` for tables of pandas. A result is null where a value is
missing and where it is refused; the second thing that each function returns says where that is.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

BOUND = 2**63
"""Whole numbers lie below it; at -BOUND and above."""
PER_SECOND: Mapping[str, int] = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
"""Unit of a time -> how many make a second."""
DAY = 86_400
"""Seconds of one."""
_SPELLED_ALIKE = (1e-4, 1e13)
"""Between them Arrow writes fractions as Python does."""


class Typed(NamedTuple):
    """Values of one type."""

    values: pa.Array
    refused_N: NDArray[np.bool_] | None = None
    """Where a value is refused, and null in `values`; None: nowhere."""


def plain(column: pa.Array) -> pa.Array:
    """The column without a dictionary or run ends, in one piece; text as `pa.string()`."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if isinstance(column, pa.ExtensionArray):
        column = column.storage
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_run_end_encoded(column.type):
        column = pc.run_end_decode(column)
    if is_text(column.type) and column.type != pa.string():
        column = column.cast(pa.string())
    return column


@cache
def value_type(type_: pa.DataType) -> pa.DataType:
    """The type of the values, without a dictionary or run ends."""
    if isinstance(type_, pa.BaseExtensionType):
        type_ = type_.storage_type
    return type_.value_type if _is_packed(type_) else type_


@cache
def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values, whatever they are stored as; bytes are texts."""
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    texts = (
        *(types.is_string, types.is_large_string, types.is_string_view),
        *(
            types.is_binary,
            types.is_large_binary,
            types.is_binary_view,
            types.is_fixed_size_binary,
        ),
    )
    if any(test(kind) for test in texts):
        return pa.string()
    lists = (types.is_list, types.is_large_list, types.is_fixed_size_list, types.is_list_view)
    if any(test(kind) for test in (*lists, types.is_large_list_view)):
        return pa.list_(plain_type(kind.value_type))
    return kind


def in_plain_type(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """The array in a type that `plain_type` gives; ArrowInvalid for text that is not UTF-8."""
    if array.type != kind:
        array = array.cast(kind)
    if pa.types.is_string(kind) or pa.types.is_list(kind):
        array.validate(full=True)  # whoever wrote the file may not have
    return array


@cache
def is_text(type_: pa.DataType) -> bool:
    """Whether values of the type are texts."""
    types = pa.types
    return any(f(type_) for f in (types.is_string, types.is_large_string, types.is_string_view))


@cache
def is_bytes(type_: pa.DataType) -> bool:
    """Whether values of the type are bytes, which older writers of Parquet use for texts."""
    types = pa.types
    return any(f(type_) for f in (types.is_binary, types.is_large_binary, types.is_binary_view))


@cache
def is_number(type_: pa.DataType) -> bool:
    """Whether values of the type are numbers; true and false are none."""
    types = pa.types
    return any(f(type_) for f in (types.is_integer, types.is_floating, types.is_decimal))


@cache
def is_plain(type_: pa.DataType) -> bool:
    """Whether `texts` takes values of the type."""
    types = pa.types
    others = (is_text, is_bytes, is_number, types.is_boolean, types.is_null)
    return any(f(type_) for f in others)


@cache
def is_moment(type_: pa.DataType) -> bool:
    """Whether values of the type are moments or days."""
    return bool(pa.types.is_timestamp(type_) or pa.types.is_date(type_))


def texts(column: pa.Array) -> Typed:
    """Each value as `pa.string()`: a number as the shortest that stands for it, so 1.0 as "1".

    Refused are infinite numbers, and bytes that are no UTF-8. NaN is missing.
    """
    column = plain(column)
    type_ = column.type
    if is_text(type_):
        return Typed(column)
    if pa.types.is_null(type_):
        return Typed(column.cast(pa.string()))
    if is_bytes(type_):
        try:
            return Typed(column.cast(pa.string()))
        except pa.ArrowInvalid:
            return _each(column, lambda value: value.decode(), pa.string())
    if pa.types.is_boolean(type_):
        return Typed(column.cast(pa.int8()).cast(pa.string()))
    if pa.types.is_integer(type_):
        return Typed(column.cast(pa.string()))
    if pa.types.is_decimal(type_):
        return Typed(_of_different(column, _decimal_text))
    return _texts_of_floats(column)


def numbers(column: pa.Array) -> Typed:
    """Each value as int64 where the type has whole numbers alone, else as float64.

    Text is read as `parsed` does. Moments are seconds since 1970 in UTC. Refused are infinite
    numbers and whole ones of 2**63 and more. NaN is missing.
    """
    column = plain(column)
    type_ = column.type
    if type_ == pa.int64():
        return Typed(column)
    if is_text(type_):
        return parsed(column)
    if is_bytes(type_):
        as_text = texts(column)
        return _both(as_text, parsed(as_text.values))
    if pa.types.is_boolean(type_):
        return Typed(column.cast(pa.int8()).cast(pa.int64()))
    if pa.types.is_null(type_):
        return Typed(column.cast(pa.int64()))
    if pa.types.is_timestamp(type_):
        return Typed(_seconds(column.cast(pa.int64()), PER_SECOND[type_.unit]))
    if pa.types.is_date32(type_):
        return Typed(pc.multiply(column.cast(pa.int32()).cast(pa.int64()), DAY))
    if pa.types.is_date64(type_):
        return Typed(pc.divide(column.cast(pa.int64()), 1000))
    if pa.types.is_integer(type_) or (pa.types.is_decimal(type_) and type_.scale <= 0):
        try:
            return Typed(column.cast(pa.int64()))
        except pa.ArrowInvalid:
            return _each(column, int, pa.int64())
    return _finite(pc.cast(column, pa.float64(), safe=False))


def parsed(column: pa.Array) -> Typed:
    """Texts as int64 where all are whole numbers below 2**63, else as float64.

    Refused is a text that is no finite decimal number; blanks around one are none of it.
    """
    if (whole := _cast(column, pa.int64())) is not None:
        return Typed(whole)
    if (any_ := _cast(column, pa.float64())) is not None:
        return _finite(any_, missing_nan=False)
    bare = pc.replace_substring_regex(pc.utf8_trim_whitespace(column), r"^\+([0-9.])", r"\1")
    for type_ in (pa.int64(), pa.float64()):
        if (found := _cast(bare, type_)) is not None:
            return _finite(found, missing_nan=False)
    number = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
    is_one = pc.match_substring_regex(bare, number)
    rest = parsed(pc.if_else(is_one, bare, pa.scalar(None, pa.string())))
    refused_N = pc.fill_null(pc.invert(is_one), False).to_numpy(zero_copy_only=False)
    return _both(Typed(rest.values, refused_N), rest)


_UNLIKE_ARROW = (
    (r"(:[0-9]{2}),([0-9]+)", r"\1.\2"),
    (r"([.][0-9]{6})[0-9]+", r"\1"),  # pandas writes nanoseconds
    (r"(:[0-9]{2}(?:[.][0-9]+)?) ?(?:UTC|Z)$", r"\1Z"),
    (r"(:[0-9]{2}(?:[.][0-9]+)?) ([+-])", r"\1\2"),
)
"""How some write times -> as Arrow reads them."""


def instants(column: pa.Array) -> Typed:
    """ISO 8601 days or days and times as seconds since 1970, float64; UTC where no zone is said.

    Refused is a text that is none.
    """
    column = pc.utf8_trim_whitespace(column)
    for unlike in ((), _UNLIKE_ARROW):
        for written, meant in unlike:
            column = pc.replace_substring_regex(column, written, meant)
        for zone in (None, "UTC"):
            if (found := _cast(column, pa.timestamp("us", zone))) is not None:
                return Typed(_seconds(found.cast(pa.int64()), PER_SECOND["us"]))
    zoned = pc.match_substring_regex(column, r":.*(Z|[+-][0-9]{2}(:?[0-9]{2})?)$")
    nothing = pa.scalar(None, pa.string())
    plain_, with_zone = pc.if_else(zoned, nothing, column), pc.if_else(zoned, column, nothing)
    parts = [
        _each_time(plain_, pa.timestamp("us")),
        _each_time(with_zone, pa.timestamp("us", "UTC")),
    ]
    both = _both(*parts)
    return Typed(pc.coalesce(*(part.values for part in parts)), both.refused_N)


def _each_time(column: pa.Array, type_: pa.DataType) -> Typed:
    def instant(text: str) -> float:
        moment = _cast(pa.array([text]), type_)
        if moment is None:
            raise ValueError(text)
        return float(moment.cast(pa.int64())[0].as_py()) / PER_SECOND["us"]

    found = _cast(column, type_)
    if found is not None:
        return Typed(_seconds(found.cast(pa.int64()), PER_SECOND["us"]))
    return _each(column, instant, pa.float64())


def _cast(column: pa.Array, type_: pa.DataType) -> pa.Array | None:
    """None where a text does not say such a value."""
    try:
        found = column.cast(type_)
    except pa.ArrowInvalid:
        return None
    # Arrow takes 0x1F for a whole number.
    return None if pa.types.is_integer(type_) and _holds_an_x(column) else found


def _holds_an_x(column: pa.Array) -> bool:
    """Whether a text of the column has the letter; looks at all bytes first, which is quick."""
    content = column.buffers()[2]
    if content is None or not (np.frombuffer(content, np.uint8) | 32 == ord("x")).any():
        return False
    return bool(pc.any(pc.match_substring(pc.utf8_lower(column), "x")).as_py())


def _seconds(whole: pa.Array, per_second: int) -> pa.Array:
    if per_second == 1:
        return whole
    return pc.divide(pc.cast(whole, pa.float64(), safe=False), float(per_second))


def _finite(number: pa.Array, missing_nan: bool = True) -> Typed:
    if pa.types.is_integer(number.type):
        return Typed(number)
    is_finite = pc.is_finite(number)
    if pc.all(is_finite).as_py() is not False:
        return Typed(number)
    refused = pc.is_inf(number) if missing_nan else pc.invert(is_finite)
    refused_N = pc.fill_null(refused, False).to_numpy(zero_copy_only=False)
    kept = pc.if_else(is_finite, number, pa.scalar(None, pa.float64()))
    return Typed(kept, refused_N if refused_N.any() else None)


def _texts_of_floats(column: pa.Array) -> Typed:
    if pa.types.is_float16(column.type):  # which pandas writes as if it had 32 bits
        column = column.cast(pa.float32())
    number, refused_N = _finite(pc.cast(column, pa.float64(), safe=False))
    size = pc.abs(number)
    whole = pc.and_(pc.equal(pc.floor(number), number), pc.less(size, float(BOUND)))
    alike = pc.and_(pc.greater_equal(size, _SPELLED_ALIKE[0]), pc.less(size, _SPELLED_ALIKE[1]))
    nothing = pa.scalar(None, column.type)
    as_whole = pc.if_else(whole, number, pa.scalar(None, pa.float64())).cast(pa.int64())
    as_fraction = pc.if_else(pc.and_not(alike, whole), column, nothing)
    others = pc.and_not(pc.invert(alike), whole)
    pieces = [as_whole.cast(pa.string()), as_fraction.cast(pa.string())]
    if pc.any(others).as_py():
        of_type = column.type.to_pandas_dtype()
        pieces.append(
            _of_different(
                pc.if_else(others, number, pa.scalar(None, pa.float64())),
                lambda value: _float_text(value, of_type),
            )
        )
    return Typed(pc.coalesce(*pieces), refused_N)


def _float_text(value: float, of_type: Any) -> str:
    # 0.1 of 32 bits is 0.1, but a whole number is what it is.
    return str(int(value)) if value.is_integer() else repr(float(str(of_type(value))))


def _decimal_text(value: Decimal) -> str:
    return str(int(value)) if value == value.to_integral_value() else repr(float(value))


def _of_different(column: pa.Array, text: Callable[[Any], str]) -> pa.Array:
    """Each different value is written once."""
    encoded = column.dictionary_encode()
    written = pa.array([text(value) for value in encoded.dictionary.to_pylist()], pa.string())
    return written.take(encoded.indices)


def _each(column: pa.Array, value_of: Callable[[Any], Any], type_: pa.DataType) -> Typed:
    """Slow, for a column that is known to hold a value which is refused."""
    values, refused = [], np.zeros(len(column), bool)
    for i, value in enumerate(column.to_pylist()):
        try:
            found = None if value is None else value_of(value)
            if type_ == pa.int64() and found is not None and not -BOUND <= found < BOUND:
                raise ValueError(value)
        except ValueError:
            found, refused[i] = None, True
        values.append(found)
    return Typed(pa.array(values, type_), refused)


def _both(first: Typed, second: Typed) -> Typed:
    """The values of the second, refused where either is."""
    masks = [mask for _, mask in (first, second) if mask is not None]
    return Typed(second.values, np.logical_or.reduce(masks) if masks else None)


def _is_packed(type_: pa.DataType) -> bool:
    return bool(pa.types.is_dictionary(type_) or pa.types.is_run_end_encoded(type_))
