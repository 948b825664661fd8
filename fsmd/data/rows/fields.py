"""The features of raw rows: of a log that is trained on, and of whatever is scored later."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.data.description.columns import is_moment, is_plain, texts
from fsmd.data.description.expression import Expression, Kind, parse
from fsmd.data.inputs import Input
from fsmd.data.rows.hashes import coded
from fsmd.data.rows.part import Where
from fsmd.errors import UserError, shown


class Value(NamedTuple):
    """An expression and the kind in which its values are wanted."""

    expression: Expression
    want: Kind
    is_raw: bool = False
    """Whether it is a column whose values become texts as they are."""


def value_of(
    feature: Input, types: Mapping[str, pa.DataType], source: str, what: str
) -> Value | None:
    """What is computed for a feature, from columns of these types; None: all is missing.

    source, what: the file, and whose the expression is, for messages. Raises UserError for a
    column that is not there, unless the feature is optional, and for one of a wrong kind.
    """
    expression = parse(feature.expression, f"{source}: {what}")
    if feature.optional and any(name not in types for name in expression.columns):
        return None
    if feature.kind == "number":
        expression.kind(types, "number")
        return Value(expression, "number")
    if feature.kind == "category":
        return words_value(expression, types)
    plain = expression.column
    kind = types.get(plain) if plain is not None else None
    if kind is not None and pa.types.is_list(kind):
        if not is_plain(kind.value_type):
            raise UserError(f"{expression.what}: a list must be of texts or numbers; got {kind}")
        return Value(expression, "text")
    if kind == pa.null():
        return None
    expression.kind(types, "text")
    if feature.separator is None:
        raise UserError(
            f"{expression.what}: tags must be a list column, or a text with `separator`; column "
            f"{expression.text!r} is no list, and no separator is set"
        )
    return Value(expression, "text")


def words_value(expression: Expression, types: Mapping[str, pa.DataType]) -> Value:
    """A category: what the expression gives, as text."""
    kind = expression.kind(types)
    is_raw = expression.column is not None and not is_moment(types[expression.column])
    return Value(expression, kind, is_raw)


class UntypedRows(NamedTuple):
    """Some raw rows, not yet typed; asks each expression once."""

    batch: pa.RecordBatch
    where: Where
    known: dict[tuple[str, str], pa.Array]

    def of(self, value: Value) -> pa.Array:
        """The value of each row."""
        key = (value.expression.text, value.want)
        if key not in self.known:
            columns = {name: self.batch.column(name) for name in value.expression.columns}
            self.known[key] = value.expression.evaluate(
                columns, self.where, self.batch.num_rows, value.want
            )
        return self.known[key]

    def words(self, value: Value) -> pa.DictionaryArray:
        """The value of each row as a text."""
        if value.is_raw:
            return self.column_words(value.expression.columns[0])
        key = (value.expression.text, "words")
        if key not in self.known:
            # Numbers of expressions are finite: none is refused.
            self.known[key] = coded(self.of(value))[0]
        return self.known[key]

    def column_words(self, name: str) -> pa.DictionaryArray:
        """A column as text."""
        key = (name, "column")
        if key not in self.known:
            self.known[key] = words_of(self.batch, name, self.where)
        return self.known[key]

    def feature(self, feature: Input, value: Value | None) -> pa.Array:
        """A feature of each row, as `Part.fields` has it; `value`: see `value_of`."""
        if value is None:
            text = pa.list_(pa.string()) if feature.kind == "tags" else pa.string()
            return pa.nulls(
                self.batch.num_rows, pa.float64() if feature.kind == "number" else text
            )
        if feature.kind == "tags":
            return self._tags(feature, value)
        if feature.kind == "category":
            return self.words(value)
        return self.of(value).cast(pa.float64(), safe=False)

    def _tags(self, feature: Input, value: Value) -> pa.Array:
        plain = value.expression.column
        kind = self.batch.schema.field(plain).type if plain else None
        if kind is not None and pa.types.is_list(kind):
            lists = self.batch.column(plain)
            text, refused_N = texts(lists.flatten())
            if refused_N is not None and refused_N.any():
                member = int(np.argmax(refused_N))
                row = pc.list_parent_indices(lists)[member].as_py()
                raise UserError(
                    f"{self.where.row(row)}: column {plain!r}: members must be texts or finite "
                    f"numbers; got {shown(lists[row].as_py())}"
                )
            length_N = _ints(pc.list_value_length(lists))
            missing_N = lists.is_null()
        else:
            text = self.of(value)
            missing_N = text.is_null()
            if feature.strip:
                text = pc.utf8_trim(text, feature.strip)
            lists = pc.split_pattern(text, feature.separator)
            text, length_N = lists.flatten(), _ints(pc.list_value_length(lists))
        # A member without letters is none, as between two separators.
        is_there = pc.fill_null(pc.not_equal(text, ""), False).to_numpy(zero_copy_only=False)
        before = np.concatenate([[0], np.cumsum(is_there)])
        offset_E = before[np.concatenate([[0], np.cumsum(length_N)])].astype(np.int32)
        made = pa.ListArray.from_arrays(pa.array(offset_E), text.filter(pa.array(is_there)))
        return pc.if_else(missing_N, pa.scalar(None, made.type), made)


def words_of(batch: pa.RecordBatch, name: str, where: Where) -> pa.DictionaryArray:
    """A column as text; UserError with row and value for what can be no category."""
    words, refused_N = coded(batch.column(name))
    if refused_N is not None and refused_N.any():
        row = int(np.argmax(refused_N))
        raise UserError(
            f"{where.row(row)}: column {name!r}: categories must be texts or finite numbers; got "
            f"{shown(batch.column(name)[row].as_py())}"
        )
    return words


def _ints(number: pa.Array) -> NDArray[np.int64]:
    """0 where it is missing."""
    found: NDArray[np.int64] = pc.fill_null(number, 0).to_numpy(zero_copy_only=False)
    return found
