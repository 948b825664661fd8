"""64-bit hashes of values, the same on every machine, and groups of rows by them on disk."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from tempfile import SpooledTemporaryFile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.data.description.columns import plain, texts
from fsmd.data.fitting.hashing import mixed

Hashes = NDArray[np.uint64]

_ALONE = np.uint64(0xD1B54A32D192ED03)
_BUCKETS = 64
_WORD = 8
_FEW = 64
"""Rows that are too few for it to matter which of them are equal."""
_SPREAD = 8
"""Times as many places as values are few enough to look each up."""


def hashes(text: pa.Array) -> Hashes:
    """One for each of N texts; 0 of a null."""
    if not len(text):
        return np.zeros(0, np.uint64)
    array = text.cast(pa.large_string())
    _, offsets, data = array.buffers()
    edge_E = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    first, last = int(edge_E[0]), int(edge_E[-1])
    # Zeros behind the end, so that 8 bytes can be read from each place.
    padded = np.zeros(last - first + _WORD, np.uint8)
    if data is not None:
        padded[:-_WORD] = np.frombuffer(data, np.uint8)[first:last]
    word_B: Hashes = np.ndarray((last - first + 1,), "<u8", padded, strides=(1,))
    start_N, length_N = edge_E[:-1] - first, np.diff(edge_E)
    hash_N = mixed(length_N.astype(np.uint64))
    for done in range(0, int(length_N.max()), _WORD):
        rest_N = length_N - done
        longer = slice(None) if rest_N.min() > 0 else np.flatnonzero(rest_N > 0)
        unused = (8 * np.maximum(_WORD - rest_N[longer], 0)).astype(np.uint64)
        word = word_B[start_N[longer] + done] << unused
        hash_N[longer] = mixed(hash_N[longer] ^ word)
    if array.null_count:
        hash_N[array.is_null().to_numpy(zero_copy_only=False)] = 0
    return hash_N


def joined(keys: Sequence[pa.DictionaryArray]) -> pa.DictionaryArray:
    """Several columns of text as one; null where one is."""
    if len(keys) == 1:
        return keys[0]
    decoded = (key.dictionary_decode() for key in keys)
    return pc.binary_join_element_wise(*decoded, "\x1f").dictionary_encode()


def coded(column: pa.Array) -> tuple[pa.DictionaryArray, NDArray[np.bool_] | None]:
    """Each value as a text (see `texts`) by its position among the different ones, none missing.

    So each is written and hashed once. And where values are refused.
    """
    is_coded = pa.types.is_dictionary(column.type)
    if not is_coded and len(column) < _FEW:  # a row that is served: each step costs more than it
        text, refused_N = texts(column)
        return text.dictionary_encode(), refused_N
    different = compact(column) if is_coded else _different(plain(column))
    text, refused_D = texts(different.dictionary)
    indices = different.indices
    if text.null_count:
        code_N = pc.fill_null(indices, len(text)).to_numpy(zero_copy_only=False)
        is_refused = np.zeros(len(text) + 1, bool) if refused_D is None else [*refused_D, False]
        return text.take(indices).dictionary_encode(), np.asarray(is_refused)[code_N]
    return pa.DictionaryArray.from_arrays(indices, text, safe=False), None


def _different(column: pa.Array) -> pa.DictionaryArray:
    """The same values as a dictionary; whole numbers near each other need no hash table."""
    if not pa.types.is_integer(column.type) or column.null_count or not len(column):
        return column.dictionary_encode()
    number_N = column.to_numpy()
    low, high = int(number_N.min()), int(number_N.max())
    if high - low >= _SPREAD * max(len(column), 1024) or high >= 2**63:
        return column.dictionary_encode()
    place_N = number_N.astype(np.int64) - low
    is_used = np.zeros(high - low + 1, bool)
    is_used[place_N] = True
    index_S = (np.cumsum(is_used) - 1).astype(np.int32)
    words = pa.array(np.flatnonzero(is_used) + low)
    return pa.DictionaryArray.from_arrays(pa.array(index_S[place_N]), words, safe=False)


def compact(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """The same values, with those alone in the dictionary that are there."""
    count = len(column.dictionary)
    code_N = pc.fill_null(column.indices.cast(pa.int64()), count).to_numpy(zero_copy_only=False)
    is_used = np.zeros(count + 1, bool)
    is_used[code_N] = True
    if is_used[:-1].all():
        return column
    place_D = (np.cumsum(is_used) - 1).astype(np.int32)
    return pa.DictionaryArray.from_arrays(
        pa.array(place_D[code_N], mask=code_N == count),
        column.dictionary.take(pa.array(np.flatnonzero(is_used[:-1]))),
        safe=False,
    )


def owner_codes(words: pa.DictionaryArray, number_N: NDArray[np.int64]) -> Hashes:
    """A hash of each of N texts, so alike in all splits; of a null one of its row's own number."""
    hash_D: Hashes = np.append(hashes(words.dictionary), np.uint64(0))
    if not words.null_count:
        found: Hashes = hash_D[words.indices.to_numpy()]
        return found
    lost_N = words.is_null().to_numpy(zero_copy_only=False)
    code_N = pc.fill_null(words.indices, len(words.dictionary)).to_numpy(zero_copy_only=False)
    return np.where(lost_N, alone(number_N), hash_D[code_N])


def alone(number_N: NDArray[np.int64]) -> Hashes:
    """A code for each row of a log that no other row has."""
    return mixed(number_N.astype(np.uint64) ^ _ALONE)


def row_hashes(columns: Sequence[pa.Array]) -> Hashes:
    """One for each row, of all its values, whatever types they have."""
    hash_N = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        hash_N = mixed(hash_N ^ _of_values(column))
    return hash_N


def _of_values(column: pa.Array) -> Hashes:
    kind = column.type
    if pa.types.is_struct(kind):
        missing = column.is_null().to_numpy(zero_copy_only=False).astype(np.uint64)
        hash_N: Hashes = row_hashes([column.is_valid(), *column.flatten()]) + missing
        return hash_N
    if pa.types.is_list(kind) or pa.types.is_map(kind):
        if pa.types.is_map(kind):
            column = column.cast(pa.list_(pa.struct([kind.key_field, kind.item_field])))
        length_N = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
        row_M = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
        start_N = np.cumsum(np.maximum(length_N, 0)) - np.maximum(length_N, 0)
        place_M = (np.arange(len(row_M)) - start_N[row_M]).astype(np.uint64)
        members = column.flatten()
        hash_M = mixed(_of_values(members) ^ mixed(place_M)) if len(members) else place_M
        sum_N = np.zeros(len(column), np.uint64)
        np.add.at(sum_N, row_M, hash_M)
        return mixed(sum_N + length_N.astype(np.uint64))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        is_float = pa.types.is_floating(kind)
        wide = column.cast(pa.float64() if is_float else pa.int64(), safe=False)
        number_N = wide.fill_null(0).to_numpy(zero_copy_only=False)
        hash_N = mixed((number_N + 0 if is_float else number_N).view(np.uint64))
        if column.null_count:
            hash_N[column.is_null().to_numpy(zero_copy_only=False)] = 0
        return hash_N
    return hashes(column if kind == pa.string() else column.cast(pa.string()))


class Buckets:
    """Records by a hash, on disk once they are many; those of one hash lie in one bucket."""

    def __init__(self, kind: np.dtype[Any], memory: int) -> None:
        """kind: of a record, with a field `hash`. memory: bytes that all may take before that."""
        from fsmd.data.files import cache_root  # loads much that no scoring needs

        self._kind, folder = kind, cache_root()
        folder.mkdir(parents=True, exist_ok=True)
        self._stack = ExitStack()
        # Files without names: nothing is left of them, however this process ends.
        self._files = [
            self._stack.enter_context(
                SpooledTemporaryFile(max(memory // _BUCKETS, 1), dir=str(folder))  # noqa: SIM115
            )
            for _ in range(_BUCKETS)
        ]

    def __enter__(self) -> "Buckets":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, records: NDArray[Any]) -> None:
        """Put each into its bucket."""
        bucket_N = (records["hash"] >> np.uint64(58)).astype(np.uint8)
        order_N = np.argsort(bucket_N, kind="stable")
        edges = np.searchsorted(bucket_N[order_N], np.arange(_BUCKETS + 1))
        ordered = records[order_N]
        for file, start, end in zip(self._files, edges[:-1], edges[1:], strict=True):
            if end > start:
                file.write(ordered[start:end].tobytes())

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """The records of each bucket, in the order in which they came; once."""
        for file in self._files:
            file.seek(0)
            yield np.frombuffer(file.read(), self._kind)
