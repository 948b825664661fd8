"""Categories counted exactly; those that are too many for the memory wait on the disk.

Suffixes: N rows, W distinct words of one part, V of all, J sums of each.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.data.fitting.hashing import text_hashes
from fsmd.data.rows.hashes import hashes
from fsmd.data.schema import FIRST_ID, Ids
from fsmd.errors import UserError

_LEAST_WAITING = 2**18
_SHARES = 64  # of the words on the disk; one of them is in memory at a time
_MOST_CODES = 2**31 - 2
_PIECE = 2**20

Counts = NDArray[np.int64]


class WordSums:
    """Sums of J whole numbers for each word; lists of words are brought together now and then.

    Words are told apart by hashes of 64 bits: two of a million are alike once in 10^7 logs.
    """

    def __init__(self, columns: int) -> None:
        self.word_V: pa.Array = pa.array([], pa.large_string())
        self.sum_JV: Counts = np.zeros((columns, 0), np.int64)
        self._known = pd.Index(np.zeros(0, np.uint64))  # the hashes, in order
        self._words: list[pa.Array] = []
        self._sums: list[Counts] = []
        self._waiting = 0

    def add(self, word_W: pa.Array, sum_JW: Counts) -> bool:
        """Add to the sums of W different words, no null; whether it is time for `merged`."""
        self._words.append(word_W.cast(pa.large_string()))
        self._sums.append(sum_JW)
        self._waiting += len(word_W)
        return self._waiting > max(_LEAST_WAITING, len(self.word_V))

    def merged(self) -> Ids:
        """Bring all together: the place in `word_V` of each word added since the last time."""
        if not self._words:
            return np.zeros(0, np.int32)
        before, words = len(self.word_V), pa.concat_arrays(self._words)
        hash_W = hashes(words)
        place_W = self._known.get_indexer(pd.Index(hash_W))
        new = np.flatnonzero(place_W < 0)
        if len(new):
            code, hash_U = pd.factorize(hash_W[new])  # in order of appearance
            place_W[new] = before + code
            first = new[np.flatnonzero(np.diff(np.maximum.accumulate(code), prepend=-1))]
            self.word_V = pa.concat_arrays([self.word_V, words.take(pa.array(first))])
            self._known = pd.Index(np.concatenate([self._known.to_numpy(), hash_U]))
            more = np.zeros((len(self.sum_JV), len(hash_U)), np.int64)
            self.sum_JV = np.concatenate([self.sum_JV, more], 1)
        for j, sum_V in enumerate(self.sum_JV):
            sum_W = np.concatenate([sum_JW[j] for sum_JW in self._sums])
            sum_V += np.bincount(place_W, sum_W, len(sum_V)).astype(np.int64)  # exact below 2^53
        self._words, self._sums, self._waiting = [], [], 0
        return place_W.astype(np.int32)

    def keep(self, most: int) -> None:
        """Forget the words that came after the first `most`; nothing waits."""
        self.word_V, self.sum_JV = self.word_V.slice(0, most), self.sum_JV[:, :most]
        self._known = self._known[:most]


class WordTally:
    """Gives each word of each part a code from 1 on, and counts those of train rows.

    Code 0 is for missing values, -1 for nothing. A word of many parts has many codes: `settled`
    says which are the same. What they stand for lies in a folder, so in memory are the different
    words alone; where these outgrow it, they are written too and begun anew.
    """

    def __init__(self, most_bytes: int, folder: Path) -> None:
        self._most_bytes, self._folder = most_bytes, folder
        folder.mkdir(parents=True)
        self._words = WordSums(1)
        self._codes = 1  # given so far; code 0 has a place too
        self._first = 1  # what stands for the first of the words in memory
        self._spills = 0
        self._write_places(np.zeros(1, np.int32), "xb")

    def codes(self, word_W: pa.Array, count_W: Counts | None) -> Ids:
        """Of W different words, no null; `count_W`: rows of train that have each."""
        if self._codes + len(word_W) > _MOST_CODES:
            raise UserError(
                f"the parts of a column have more than {_MOST_CODES:,} categories; set `hash`"
            )
        code_W = np.arange(self._codes, self._codes + len(word_W), dtype=np.int32)
        self._codes += len(word_W)
        count_W = np.zeros(len(word_W), np.int64) if count_W is None else count_W
        if self._words.add(word_W, count_W[None]):
            self._merge()
        return code_W

    def settled(self, least: int) -> tuple[pa.Table, Path]:
        """Word and count of those in at least so many rows of train, by count descending, then by
        text; and a file of the id of each code: position + 2 of such a word, else 0.
        """
        self._merge()
        if self._spills:
            self._spill()
        shares = [self._kept(part, least)[0] for part in self._parts()]
        kept = pa.concat_tables(shares)
        order = pc.sort_indices(kept, [("count_sum", "descending"), ("word", "ascending")])
        rank = np.empty(len(kept), np.int32)
        rank[order.to_numpy()] = np.arange(len(kept), dtype=np.int32)
        id_C = np.zeros(self._first + len(self._words.word_V), np.int32)
        offset = 0
        for part in self._parts():
            own, at = self._kept(part, least)
            found = at >= 0
            id_C[part["place"].to_numpy()[found]] = rank[offset + at[found]] + FIRST_ID
            offset += len(own)
        path = self._folder / "ids"
        with path.open("wb") as file:
            for start in range(0, self._codes, _PIECE):
                places = np.fromfile(self._folder / "places", np.int32, _PIECE, offset=4 * start)
                file.write(id_C[places].data)
        return kept.take(order), path

    def _kept(self, part: pa.Table, least: int) -> tuple[pa.Table, NDArray[np.int64]]:
        """Word and sum of the counts of those that are kept; and where each row's word is there,
        -1 of the others."""
        words, at = part["word"], np.arange(len(part))
        if self._spills:  # else each is there once
            coded = words.combine_chunks().dictionary_encode()
            words, at = coded.dictionary, coded.indices.to_numpy()
        count_U = np.bincount(at, part["count"].to_numpy(), len(words)).astype(np.int64)
        is_kept = count_U >= max(least, 1)
        place_U = np.where(is_kept, np.cumsum(is_kept) - 1, -1)
        found = pa.table({"word": words, "count_sum": count_U}).filter(pa.array(is_kept))
        return found, place_U[at]

    def _merge(self) -> None:
        self._write_places(self._words.merged() + np.int32(self._first), "ab")
        # Beside the words are their counts, hashes and a table of these.
        if 2 * self._words.word_V.nbytes + 64 * len(self._words.word_V) > self._most_bytes:
            self._spill()

    def _write_places(self, places: Ids, mode: str) -> None:
        with (self._folder / "places").open(mode) as file:
            file.write(places.tobytes())

    def _table(self) -> pa.Table:
        words = self._words.word_V
        places = np.arange(self._first, self._first + len(words))
        return pa.table({"word": words, "count": self._words.sum_JV[0], "place": places})

    def _spill(self) -> None:
        table = self._table()
        share_V = text_hashes(self._words.word_V) % _SHARES
        for share in range(_SHARES):
            with pa.OSFile(str(self._folder / f"{share}-{self._spills}"), "wb") as file:
                part = table.filter(pa.array(share_V == share))
                with pa.ipc.new_stream(file, table.schema) as writer:
                    writer.write_table(part)
        self._spills += 1
        self._first += len(table)
        self._words = WordSums(1)

    def _parts(self) -> Iterator[pa.Table]:
        """Tables of word, count and place that share no word."""
        if not self._spills:
            yield self._table()
            return
        for share in range(_SHARES):
            tables = []
            for spill in range(self._spills):
                with pa.OSFile(str(self._folder / f"{share}-{spill}")) as file:
                    tables.append(pa.ipc.open_stream(file).read_all())
            yield pa.concat_tables(tables)
