"""Files and folders that are written whole or not at all, whatever ends the writing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout


def write(path: Path, content: bytes) -> None:
    """Write a file whole; see `replacing`."""
    with replacing(path) as fresh:
        fresh.write_bytes(content)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A free path near `path`: the file or folder made there takes its place as a whole.

    A kill, a power cut or an error leaves the old one or the new one; where a folder takes the
    place of something a kill may leave none, and the next writing beside it puts the old one
    back. What dead processes left half written there is removed. A file takes no folder's place.

    Raises OSError where nothing can be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent)
    # Hidden, and held as long as this process lives: the lock is there before the folder is.
    lock = path.with_name(f".fsmd-{uuid4().hex}.lock")
    with FileLock(lock):
        folder = lock.with_suffix(".tmp")
        try:
            folder.mkdir()
            fresh = folder / "new"
            yield fresh
            for each in (*fresh.rglob("*"), fresh):
                _sync(each)  # else a power cut may leave empty files under their final names
            if fresh.is_dir() and os.path.lexists(path):
                (folder / "old").mkdir()  # a folder cannot be replaced in one step
                path.rename(folder / "old" / path.name)
            fresh.replace(path)
            _sync(path.parent)
        finally:
            _remove(lock)


def sweep(folder: Path) -> None:
    """Remove what dead processes left half written in a folder; what they moved away is back."""
    for lock in folder.glob(".fsmd-*.lock"):
        # Held: its process lives. Another user's, or gone by now: not ours to remove.
        with suppress(Timeout, OSError), FileLock(lock, timeout=0):
            _remove(lock)


def _remove(lock: Path) -> None:
    for old in lock.with_suffix(".tmp").glob("old/*"):
        if not os.path.lexists(lock.with_name(old.name)):  # the new one did not come there
            old.rename(lock.with_name(old.name))
    shutil.rmtree(lock.with_suffix(".tmp"), ignore_errors=True)
    lock.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        if path.is_dir():
            return  # some systems open no folder
        raise
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
