"""What model.onnx takes: the features of rows as arrays, of texts and of numbers.

ONNX has no null and no lists: `fsmd.data.inputs` says what stands for them. Suffix: N rows.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.data.encoder import Encoder, bounds, checked_numbers
from fsmd.data.inputs import MEMBERS, NULL, missing_text
from fsmd.data.rows.part import Where
from fsmd.errors import UserError, is_text, shown


class Feed:
    """Turns the features of rows (`Part.fields`) into inputs of ONNX."""

    def __init__(self, encoder: Encoder) -> None:
        described = {each.name: each for each in encoder.inputs}
        self._scaling = {each.name: each for each in encoder.scales}
        self._text = {
            v.name: (missing_text(encoder.root(v).words), described[v.name])
            for v in encoder.vocabularies
        }
        self._words = {name: _WORDS - {int} for name in encoder.padded}

    def of(self, fields: pa.RecordBatch, where: Where) -> dict[str, NDArray[Any]]:
        """Input -> N texts (objects) or numbers (float64), of the features that are there.

        Raises UserError with row and column for a number that is out of range, or is missing
        where train missed none and the description says so.
        """
        found: dict[str, NDArray[Any]] = {}
        for name, column in zip(fields.schema.names, fields.columns, strict=True):
            if name in self._scaling:
                scaling = self._scaling[name]
                missing = scaling.fill is not None
                found[name] = checked_numbers(where, name, column, scaling.scale, missing)
                continue
            text, described = self._text[name]
            if described.kind == "tags":
                column = _joined(column, described.separator or MEMBERS, where, name)
            found[name] = _objects(column, text)
        return found

    def quick(self, name: str, values: Sequence[Any]) -> NDArray[Any] | None:
        """The same of a category or number as it stands in rows, one by one; None where a value
        is not the simplest one that there is.

        What Arrow does for a column costs as much for one row as for a thousand.
        """
        kinds = set(map(type, values))
        if name in self._text:
            missing, _ = self._text[name]
            empty = NULL if missing == "" else ""
            if not kinds <= self._words.get(name, _WORDS) or not all(map(_is_word, values)):
                return None
            words = [missing if v is None else str(v) or empty for v in values]
            return np.array([*words, ""], object)[:-1]
        scaling = self._scaling[name]
        low, high = bounds(scaling.scale)
        if not kinds <= _NUMBERS or (None in values and scaling.fill is None):
            return None
        if not all(v is None or low <= v <= high for v in values):  # NaN does not
            return None
        return np.array([np.nan if v is None else v for v in values], np.float64)


_WORDS, _NUMBERS = {str, int, type(None)}, {float, int, type(None)}


def _is_word(value: str | int | None) -> bool:
    return not isinstance(value, str) or value.isascii() or is_text(value)


def _objects(text: pa.Array, missing: str) -> NDArray[Any]:
    """Each text as an object; each different one is made once."""
    empty = NULL if missing == "" else ""
    if len(text) == 1:
        word = text[0].as_py()
        return np.array([missing if word is None else word or empty], object)
    if not pa.types.is_dictionary(text.type):
        text = text.dictionary_encode()
    words = [missing if word is None else word or empty for word in text.dictionary.to_pylist()]
    indices = text.indices
    if indices.null_count:
        indices = pc.fill_null(indices.cast(pa.int64()), len(words))
    words.append(missing)
    # Filled one by one: from a list numpy would make texts of one length.
    word_W = np.empty(len(words), object)
    word_W[:] = words
    found: NDArray[Any] = word_W[indices.to_numpy()]
    return found


def _joined(lists: pa.Array, separator: str, where: Where, name: str) -> pa.Array:
    """The members of each row as one text; null where there is no list."""
    members = lists.flatten()
    holds = pc.match_substring(members, separator)
    if pc.any(holds).as_py():
        member = int(np.argmax(pc.fill_null(holds, False).to_numpy(zero_copy_only=False)))
        row = pc.list_parent_indices(lists)[member].as_py()
        raise UserError(
            f"{where.row(row)}: members of {name!r} must not hold {separator!r}, which stands "
            f"between them in ONNX; got {shown(members[member].as_py())}; the torch engine takes "
            "them"
        )
    joined = pc.binary_join(lists, separator)
    # An empty text would be a missing value; a separator alone has no member.
    is_empty = pc.equal(joined, "")
    return pc.if_else(is_empty, separator, joined)
