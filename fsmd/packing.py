"""Arrays as bytes in a database: compact, exact, and checked when they are read."""

import zlib

import numpy as np
from numpy.typing import NDArray

_TYPES = {code: np.dtype(code) for code in ("<f4", "<f8", "<u4", "|i1")}


def pack(values_N: NDArray[np.generic]) -> bytes:
    """One dimension of float32, float64, uint32 or int8.

    Bytes of one significance lie together, which compresses better.
    """
    dtype = values_N.dtype.newbyteorder("<")
    if dtype.str not in _TYPES or values_N.ndim != 1:
        raise ValueError(f"cannot pack {values_N.ndim} dimensions of {values_N.dtype}")
    rows = np.ascontiguousarray(values_N.astype(dtype)).view(np.uint8)
    planes = rows.reshape(len(values_N), dtype.itemsize).T
    return dtype.str.encode() + zlib.compress(planes.tobytes(), level=3)


def unpack(packed: bytes) -> NDArray[np.generic]:
    """Inverse of `pack`; ValueError for bytes that it never wrote."""
    dtype = _TYPES.get(packed[:3].decode("ascii", "replace"))
    if dtype is None:
        raise ValueError("not a packed array")
    try:
        planes = np.frombuffer(zlib.decompress(packed[3:]), np.uint8)
    except zlib.error as error:
        raise ValueError(f"not a packed array: {error}") from None
    if len(planes) % dtype.itemsize:
        raise ValueError(f"not a packed array: {len(planes)} bytes are no whole {dtype.str}")
    rows = planes.reshape(dtype.itemsize, -1).T
    return np.ascontiguousarray(rows).reshape(-1).view(dtype)
