"""Hashes that are the same on every machine and in every version."""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Hashes32 = NDArray[np.uint32]
Hashes64 = NDArray[np.uint64]

_FIRST, _SECOND = np.uint32(0xCC9E2D51), np.uint32(0x1B873593)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_FIRST, _MIX_SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


def text_hashes(words: pa.Array) -> Hashes32:
    """MurmurHash3 (x86, 32 bits, seed 0) of the UTF-8 of each of W texts; no null among them.

    The one that ONNX has for strings too.
    """
    array = words.cast(pa.large_string())
    _, offsets, data = array.buffers()
    edge_E = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    byte_B = np.frombuffer(data or b"", np.uint8)
    start_W, length_W = edge_E[:-1], np.diff(edge_E)
    hash_W = np.zeros(len(array), np.uint32)
    block_W = length_W // 4
    for block in range(int(block_W.max(initial=0))):
        longer = np.flatnonzero(block_W > block)
        hash_W[longer] ^= _scrambled(_joined(byte_B, start_W[longer] + 4 * block, 4))
        hash_W[longer] = _rotated(hash_W[longer], 13) * np.uint32(5) + np.uint32(0xE6546B64)
    for rest in (1, 2, 3):
        these = np.flatnonzero(length_W % 4 == rest)
        hash_W[these] ^= _scrambled(_joined(byte_B, (start_W + 4 * block_W)[these], rest))
    hash_W ^= length_W.astype(np.uint32)
    hash_W = (hash_W ^ (hash_W >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    hash_W = (hash_W ^ (hash_W >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return hash_W ^ (hash_W >> np.uint32(16))


def mixed(number_N: Hashes64) -> Hashes64:
    """Whole numbers spread evenly over 64 bits (splitmix64); different ones stay different."""
    mixed_N = number_N + _GOLDEN
    mixed_N ^= mixed_N >> np.uint64(30)
    mixed_N *= _MIX_FIRST
    mixed_N ^= mixed_N >> np.uint64(27)
    mixed_N *= _MIX_SECOND
    mixed_N ^= mixed_N >> np.uint64(31)
    return mixed_N


def combined(*codes: Hashes64) -> Hashes64:
    """One code for each of N rows of several, the order of which matters."""
    total = mixed(codes[0])
    for code_N in codes[1:]:
        total = mixed(total + code_N)
    return total


def encoded_hashes(*arrays: NDArray[Any]) -> Hashes64:
    """One for each of N encoded rows, of all their columns in arrays N x C of 32 bits."""
    hash_N = np.zeros(len(arrays[0]), np.uint64)
    for array in arrays:
        for column_N in array.view(np.uint32).T:
            hash_N = (hash_N ^ column_N) * _MIX_FIRST
            hash_N ^= hash_N >> np.uint64(29)
    return mixed(hash_N)


def _scrambled(block_N: Hashes32) -> Hashes32:
    return _rotated(block_N * _FIRST, 15) * _SECOND


def _rotated(number_N: Hashes32, bits: int) -> Hashes32:
    return (number_N << np.uint32(bits)) | (number_N >> np.uint32(32 - bits))


def _joined(byte_B: NDArray[np.uint8], start_N: NDArray[np.int64], count: int) -> Hashes32:
    """So many bytes from each start on, the lowest first."""
    joined_N = np.zeros(len(start_N), np.uint32)
    for i in range(count):
        joined_N |= byte_B[start_N + i].astype(np.uint32) << np.uint32(8 * i)
    return joined_N
