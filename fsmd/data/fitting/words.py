"""Categories counted exactly; those that are too many for the memory wait on the disk.

Suffixes: N rows, W distinct words of one part.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.data.fitting.hashing import text_hashes
from fsmd.data.schema import Ids
from fsmd.errors import UserError

FIRST_ID = 2
"""Of the categories; 0 is unseen, 1 is missing."""
NOTHING = -1
"""What fills up a row of tags."""

_BYTES_OF_WORD = 150  # of a text in a dict with its count, beside its letters
_SHARES = 64  # of the words on the disk; one of them is in memory at a time
_MOST_CODES = 2**31 - 2


class WordTally:
    """Gives each category a code as it first comes, from 1, and counts those of train.

    Code 0 is for missing values, -1 for nothing. A table that outgrows its memory is written to
    a folder and begun anew: a category then has several codes, which `settled` brings together.
    """

    def __init__(self, most_bytes: int, folder: Path) -> None:
        self._most_bytes, self._folder = most_bytes, folder
        self._code_of: dict[str, int] = {}
        self._first = 1  # the code of the table's first word
        self._bytes = 0
        self._count_C: NDArray[np.int64] = np.zeros(1024, np.int64)
        self._spills = 0

    def codes(self, word_W: pa.Array, count_W: NDArray[np.int64] | None) -> Ids:
        """Of W words, no null among them; `count_W`: rows of train that have each."""
        words = word_W.to_pylist()
        known, first = self._code_of, self._first
        before = len(known)
        set_default = known.setdefault
        code_W = np.array([set_default(word, first + len(known)) for word in words], np.int64)
        if first + len(known) > _MOST_CODES:
            raise UserError(
                "a column of categories has more than 2,147,483,646 different ones; set `hash` or "
                "leave it out"
            )
        while len(self._count_C) < len(known):
            self._count_C = np.concatenate([self._count_C, np.zeros_like(self._count_C)])
        if count_W is not None:
            np.add.at(self._count_C, code_W - first, count_W)
        self._bytes += (len(known) - before) * _BYTES_OF_WORD
        if len(known) > before:
            self._bytes += word_W.nbytes
        if self._bytes > self._most_bytes:
            self._spill()
        return code_W.astype(np.int32)

    def settled(self, least: int) -> tuple[pa.Table, Ids]:
        """Word and count of those in at least so many rows of train, by count descending, then by
        text; and the id of each code: position + 2 of such a word, else 0.
        """
        if self._spills:
            self._spill()
        share = [
            part.group_by("word")
            .aggregate([("count", "sum")])
            .filter(pc.field("count_sum") >= max(least, 1))
            for part in self._parts()
        ]
        kept = pa.concat_tables(share)
        order = pc.sort_indices(kept, [("count_sum", "descending"), ("word", "ascending")])
        rank = np.empty(len(kept), np.int32)
        rank[order.to_numpy()] = np.arange(len(kept), dtype=np.int32)
        id_C = np.zeros(self._first + len(self._code_of), np.int32)
        offset = 0
        for part, own in zip(self._parts(), share, strict=True):
            word = own["word"].combine_chunks()
            at = pc.index_in(part["word"].combine_chunks(), value_set=word)
            found = at.is_valid().to_numpy(zero_copy_only=False)
            at_C = at.drop_null().to_numpy()
            id_C[part["code"].to_numpy()[found]] = rank[offset + at_C] + FIRST_ID
            offset += len(own)
        return kept.take(order), id_C

    def _table(self) -> pa.Table:
        words = pa.array(list(self._code_of), pa.large_string())
        counts = self._count_C[: len(words)]
        codes = np.arange(self._first, self._first + len(words))
        return pa.table({"word": words, "count": counts, "code": codes})

    def _spill(self) -> None:
        table = self._table()
        share_W = text_hashes(table["word"].combine_chunks()) % _SHARES
        self._folder.mkdir(parents=True, exist_ok=True)
        for share in range(_SHARES):
            with pa.OSFile(str(self._folder / f"{share}-{self._spills}"), "wb") as file:
                part = table.filter(pa.array(share_W == share))
                with pa.ipc.new_stream(file, table.schema) as writer:
                    writer.write_table(part)
        self._spills += 1
        self._first += len(self._code_of)
        self._code_of, self._bytes = {}, 0
        self._count_C = np.zeros(1024, np.int64)

    def _parts(self) -> Iterator[pa.Table]:
        """Tables of word, count and code that share no word."""
        if not self._spills:
            yield self._table()
            return
        for share in range(_SHARES):
            tables = []
            for spill in range(self._spills):
                with pa.OSFile(str(self._folder / f"{share}-{spill}")) as file:
                    tables.append(pa.ipc.open_stream(file).read_all())
            yield pa.concat_tables(tables)
