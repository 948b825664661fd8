"""Where source files lie: the folder of FSMD_DATA, a cache folder of the user, or their origin."""

import gzip
import hashlib
import os
import shutil
import sys
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import platformdirs
import pooch
import requests

from fsmd.errors import UserError


@dataclass(frozen=True)
class Origin:
    """A public archive and the files in it."""

    name: str
    """Of the folder below FSMD_DATA or the cache."""
    url: str
    files: tuple[str, ...]
    """Patterns of the files needed, without .gz; one of each must be there."""
    text_hashes: tuple[tuple[str, str], ...] = ()
    """(file name, SHA-256 of its uncompressed content) where known."""


def cache_root() -> Path:
    """FSMD_CACHE, or the user's cache folder."""
    return Path(os.environ.get("FSMD_CACHE") or platformdirs.user_cache_dir("fsmd"))


def find(origin: Origin) -> tuple[Path, ...]:
    """The origin's files: local ones, else downloaded.

    Raises UserError that says what to put where if they can be had in neither way.
    """
    for folder in _folders(origin):
        found = _matching(folder, origin)
        if found:
            return found
    _download(origin)
    found = _matching(_raw(origin), origin)
    if not found:
        raise UserError(f"{origin.url} holds no {_wanted(origin)}; {_advice(origin)}")
    return found


def file_digest(path: Path) -> str:
    """SHA-256 of the file as it lies there."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _raw(origin: Origin) -> Path:
    return cache_root() / "raw" / origin.name


def _folders(origin: Origin) -> Iterable[Path]:
    given = os.environ.get("FSMD_DATA")
    if given:
        yield from (Path(given) / origin.name, Path(given))
    yield _raw(origin)


def _matching(folder: Path, origin: Origin) -> tuple[Path, ...]:
    """All files of the origin's patterns below `folder`; none unless each pattern has one."""
    found: list[Path] = []
    for pattern in origin.files:
        here: dict[str, Path] = {}
        for depth in ("", "*/", "*/*/", "*/*/*/"):  # the origin's archives nest folders
            for suffix in ("", ".gz"):
                for path in sorted(folder.glob(f"{depth}{pattern}{suffix}")):
                    here.setdefault(path.name.removesuffix(".gz"), path)
        if not here:
            return ()
        found += here.values()
    return tuple(found)


def verified_content(path: Path, origin: Origin) -> bytes:
    """The file's content, uncompressed; UserError if it is known and another."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    expected = dict(origin.text_hashes).get(path.name.removesuffix(".gz"))
    if expected and hashlib.sha256(text).hexdigest() != expected:
        raise UserError(
            f"{path} is not the original: the SHA-256 of its content must be {expected}; "
            "replace or remove it"
        )
    return text


def _download(origin: Origin) -> None:
    pooch.get_logger().setLevel("ERROR")  # the bar says enough
    try:
        pooch.retrieve(
            origin.url,
            known_hash=None,  # archives differ in time stamps; the content is verified
            fname=origin.url.rpartition("/")[2].replace("+", "_"),
            path=_raw(origin),
            processor=_unpacked,
            progressbar=sys.stderr.isatty(),
        )
    except (requests.RequestException, OSError, ValueError, shutil.ReadError) as error:
        raise UserError(
            f"data set {origin.name} is not here and cannot be downloaded "
            f"({type(error).__name__}); {_advice(origin)}"
        ) from error


def _unpacked(archive: str, action: str, _: object) -> str:
    """Unpack a downloaded archive, and archives in it, beside it."""
    folder = Path(f"{archive}.unpacked")
    if action == "fetch" and folder.exists():
        return archive
    with TemporaryDirectory(dir=folder.parent) as text:  # a kill leaves no half of a folder
        fresh = Path(text) / "unpacked"
        shutil.unpack_archive(archive, fresh, **_safely(archive))
        for inner in [*fresh.rglob("*.zip"), *fresh.rglob("*.tar.gz")]:
            shutil.unpack_archive(inner, inner.parent, **_safely(str(inner)))
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return archive


def _safely(archive: str) -> dict[str, Any]:
    """Options that refuse members which would land outside the folder; zip does so by itself.

    Python before 3.11.4 has no such option: there the origin's archives are trusted.
    """
    known = hasattr(tarfile, "data_filter") and not archive.endswith(".zip")
    return {"filter": "data"} if known else {}


def _wanted(origin: Origin) -> str:
    return ", ".join(f"{pattern}[.gz]" for pattern in origin.files)


def _advice(origin: Origin) -> str:
    given = os.environ.get("FSMD_DATA")
    searched = f"FSMD_DATA is {given}, where they are not: " if given else ""
    if given and not Path(given).is_dir():
        searched = f"FSMD_DATA is {given}, which does not exist: "
    return searched + (
        f"put {_wanted(origin)} from {origin.url} into {_raw(origin)}, or into a folder "
        f"{origin.name} below the one that FSMD_DATA names"
    )
