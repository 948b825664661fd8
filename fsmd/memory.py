"""Memory that a training frees stays with its process until the training ends."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # numbers of glibc's malloc.h
_LARGEST_BLOCK = 2**25  # glibc takes no more


@contextmanager
def kept_memory() -> Iterator[None]:
    """While it lasts, what is freed serves the next tensors. Does nothing without glibc.

    Else glibc gives large tensors back to the system after each use, and the system clears every
    page anew at the next step: a tenth to a quarter of a step. Afterwards what is free goes back,
    and glibc stands where it gets by itself once a large block was freed.
    """
    try:
        library = ctypes.CDLL(None)
        mallopt, trim = library.mallopt, library.malloc_trim
    except (AttributeError, OSError, TypeError):  # another system's library
        yield
        return
    mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK)
    mallopt(_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        mallopt(_TRIM_THRESHOLD, 2 * _LARGEST_BLOCK)
        trim(0)
