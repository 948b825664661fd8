"""Test predictions kept for the statistics: their order, which is all that an AUC depends on."""

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


def unpack_ranks(packed: bytes) -> NDArray[np.uint16]:
    """Inverse of `pack_ranks` as far as order goes."""
    return np.frombuffer(packed, "<u2").astype(np.uint16)
