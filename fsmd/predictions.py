"""What is kept of the test rows for the statistics: the order of the predictions, which is all
that an AUC depends on, and which rows are of one user.
"""

import zlib

import numpy as np
from numpy.typing import NDArray


def pack_ranks(scores: NDArray[np.generic]) -> bytes:
    """The dense ranks of N scores as N little-endian 16-bit numbers; equal scores share one.

    Exact up to 65,536 different scores; beyond, neighbours in rank are taken together.
    """
    levels, rank_N = np.unique(scores, return_inverse=True)
    top = len(levels) - 1
    if top > 65535:
        rank_N = rank_N * 65535 // top
    return bytes(rank_N.astype("<u2").tobytes())


def pack_units(id_N: NDArray[np.integer]) -> bytes:
    """Whose each of N rows is, from encoded ids: numbers from 0, equal where the user is.

    Id 0 stands for all users that train does not know, so each such row is taken for another's.
    """
    unknown_N = id_N == 0
    key_N = np.where(unknown_N, -1 - np.arange(len(id_N)), id_N)
    unit_N = np.unique(key_N, return_inverse=True)[1]
    return zlib.compress(unit_N.astype("<u4").tobytes())


def unpack_units(packed: bytes) -> NDArray[np.int64]:
    """Inverse of `pack_units`."""
    return np.frombuffer(zlib.decompress(packed), "<u4").astype(np.int64)


def unpack_ranks(packed: bytes) -> NDArray[np.uint16]:
    """Inverse of `pack_ranks` as far as order goes."""
    return np.frombuffer(packed, "<u2").astype(np.uint16)
