"""Which test rows are of one user: these are not independent, as the statistics must know."""

import zlib

import numpy as np
from numpy.typing import NDArray


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
