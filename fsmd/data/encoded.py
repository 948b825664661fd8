"""Opening an encoded data set: its arrays are mapped into memory. Loads no pandas.

A folder is as it was written, or it is not opened: a list in it has the digest of each file.
"""

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from fsmd.config import canonical_json, digest
from fsmd.data.schema import Dataset, Schema, Split
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError

FACTS = "schema.json"
ENCODER = "encoder.json"
DIGESTS = "digests.json"
"""The SHA-256 of each other file by name, and the digest of this list itself."""
SPLITS = ("train", "valid", "test")


class DamagedDataError(UserError, OSError):
    """An encoded folder is not as it was written: the disk's fault, and no training's."""


def open_encoded(path: Path, name: str | None = None) -> Dataset:
    """Map an encoded folder into memory; `name`: as the data set was asked for.

    Raises DamagedDataError for a folder that is not as it was written (see `fault_of`).
    """
    fault = fault_of(path)
    if fault is not None:
        raise DamagedDataError(
            f"{path} is no whole encoded data set: {fault}; fsmd.load encodes it anew"
        )
    try:
        return _opened_whole(path, name)
    except (OSError, MemoryError):
        raise
    except Exception as error:  # sealed, and yet of another version, or written by no fsmd
        raise DamagedDataError(
            f"{path} is no encoded data set ({type(error).__name__}: {error}); remove it, then "
            "fsmd.load encodes it anew"
        ) from error


def _opened_whole(path: Path, name: str | None) -> Dataset:
    facts = json.loads((path / FACTS).read_text("utf-8"))
    schema = Schema.from_dict(facts["schema"])
    return Dataset(
        name=name or schema.name,
        schema=schema,
        train=_split(path, "train", facts),
        valid=_split(path, "valid", facts),
        test=_split(path, "test", facts),
        test_unseen=_mapped(path / "test_unseen.npy"),
        content_hash=facts["content_hash"],
        path=path,
        reachable=facts["reachable"],
        settings=TrainingSettings.from_dict(facts["settings"]),
    )


def seal(path: Path, known: Mapping[str, str], name: str = DIGESTS) -> None:
    """Write the list of digests into a folder that has all other files; some may be known.

    name: of the file that has the list.
    """
    files = sorted(path.iterdir())
    digests = {file.name: known.get(file.name) or sha256(file) for file in files}
    sealed = {"files": digests, "digest": digest(digests)}
    (path / name).write_text(canonical_json(sealed), "utf-8")


def fault_of(path: Path, name: str = DIGESTS) -> str | None:
    """What in a sealed folder is not as it was written; None if all is. It may hold more files.

    name: of the file that has the list of digests.
    Files are read once a process (60 ms for 100 MB), and again when size, time or inode changed.
    """
    try:
        stats = {entry.name: entry.stat(follow_symlinks=False) for entry in os.scandir(path)}
    except OSError as error:
        return f"{error.strerror}"
    state = ((name, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in stats.items())
    return _fault(path, name, tuple(sorted(state)))


@lru_cache(maxsize=64)
def _fault(path: Path, name: str, state: tuple[tuple[str, int, int, int], ...]) -> str | None:
    try:
        with _opened(path / name) as file:
            sealed = json.load(file)
        if sealed["digest"] != digest(sealed["files"]):
            return f"{name} is damaged"
        for name, expected in sealed["files"].items():
            if sha256(path / name) != expected:
                return f"{name} is damaged"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return f"{name} is damaged"
    return None


def sha256(path: Path) -> str:
    """The digest of a file's content."""
    with _opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _opened(path: Path) -> BufferedReader:
    if path.exists() and not path.is_file():  # a pipe would never end
        raise IsADirectoryError(errno.EISDIR, "no file")
    return path.open("rb")


def _split(path: Path, split: str, facts: Mapping[str, Any]) -> Split:
    parts = ["ids", "dense", "labels"]
    parts += ["weights"] if facts["schema"]["weighted"] else []
    parts += [name for name in ("users", "requests", "items") if split in facts[name]]
    return Split(**{part: _mapped(path / f"{split}_{part}.npy") for part in parts})


def _mapped(path: Path) -> np.memmap:
    # Copy on write: torch wants writable memory, and nobody writes.
    array: np.memmap = np.load(path, mmap_mode="c")
    return array
