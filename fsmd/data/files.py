"""Where source files lie: the folder of FSMD_DATA, a cache folder of the user, or their origin."""

import gzip
import hashlib
import os
import shutil
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import platformdirs
import pooch
import requests

from fsmd.data.source import Recipe, Source, Tables, on_fewer_rows
from fsmd.errors import UserError


@dataclass(frozen=True)
class Origin:
    """A public archive and the files in it."""

    name: str
    """Of the folder below FSMD_DATA or the cache."""
    url: str
    files: tuple[str, ...]
    """Patterns of the files needed, without .gz; one of each must be there."""
    text_hashes: Mapping[str, str] = field(default_factory=dict)
    """File name -> SHA-256 of its uncompressed content, where known."""


def cache_root() -> Path:
    """FSMD_CACHE, or the user's cache folder."""
    return Path(os.environ.get("FSMD_CACHE") or platformdirs.user_cache_dir("fsmd"))


def find(origin: Origin) -> tuple[Path, ...]:
    """The origin's files, local or downloaded; UserError that says what to put where."""
    given = os.environ.get("FSMD_DATA")
    local = (Path(given) / origin.name, Path(given)) if given else ()
    for folder in (*local, _raw(origin)):
        if paths := _matching(folder, origin):
            return paths
    _download(origin)
    paths = _matching(_raw(origin), origin)
    if not paths:
        raise UserError(f"{origin.url} holds no {_wanted(origin)}; {_advice(origin)}")
    return paths


def source_from(
    origin: Origin, recipe: Recipe, read: Callable[[tuple[Path, ...]], Tables], rows: float | None
) -> Source:
    """A source that `read` makes of the origin's files; other files are another content."""
    paths, key = find(origin), {}
    for path in paths:
        with path.open("rb") as file:
            key[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return on_fewer_rows(Source(recipe, key, lambda: read(paths)), rows)


def _raw(origin: Origin) -> Path:
    return cache_root() / "raw" / origin.name


def _matching(folder: Path, origin: Origin) -> tuple[Path, ...]:
    """All files of the origin's patterns below `folder`; none unless each pattern has one."""
    paths: list[Path] = []
    for pattern in origin.files:
        here: dict[str, Path] = {}
        for depth in ("", "*/", "*/*/", "*/*/*/"):  # the origin's archives nest folders
            for suffix in ("", ".gz"):
                for path in sorted(folder.glob(f"{depth}{pattern}{suffix}")):
                    here.setdefault(path.name.removesuffix(".gz"), path)
        if not here:
            return ()
        paths += here.values()
    return tuple(paths)


def verified_content(path: Path, origin: Origin) -> bytes:
    """The file's content, uncompressed; UserError if it is known and another."""
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    expected = origin.text_hashes.get(path.name.removesuffix(".gz"))
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
        _unpack(Path(archive), fresh)
        for inner in [*fresh.rglob("*.zip"), *fresh.rglob("*.tar.gz")]:
            _unpack(inner, inner.parent)
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)
    return archive


def _unpack(archive: Path, folder: Path) -> None:
    """Members that would land outside the folder are refused; zip does so by itself.

    Python before 3.11.4 cannot refuse them: there the origin's archives are trusted.
    """
    refuses = hasattr(tarfile, "data_filter") and archive.suffix != ".zip"
    options: dict[str, Any] = {"filter": "data"} if refuses else {}
    shutil.unpack_archive(archive, folder, **options)


def _wanted(origin: Origin) -> str:
    return ", ".join(f"{pattern}[.gz]" for pattern in origin.files)


def _advice(origin: Origin) -> str:
    given = os.environ.get("FSMD_DATA")
    missing = given and not Path(given).is_dir()
    why = "which does not exist" if missing else "where they are not"
    return (f"FSMD_DATA is {given}, {why}: " if given else "") + (
        f"put {_wanted(origin)} from {origin.url} into {_raw(origin)}, or into a folder "
        f"{origin.name} below the one that FSMD_DATA names"
    )
