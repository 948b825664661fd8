"""Where source files lie: the folder of FSMD_DATA, a cache folder of the user, or their origin."""

import gzip
import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import Any
from urllib.parse import urlsplit

import platformdirs
import requests
from filelock import FileLock

from fsmd.data.rows.packed import is_packed
from fsmd.errors import UserError
from fsmd.notices import say
from fsmd.terminal import bar_of, open_console
from fsmd.writing import replacing

PIECE = 2**20
"""Bytes of a download that are written at once."""


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
    return _named_folder("FSMD_CACHE") or Path(platformdirs.user_cache_dir("fsmd"))


def check_cache() -> None:
    """Raise UserError unless the cache can be written now: trainings keep checkpoints there."""
    with writing_cache():
        cache_root().mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=cache_root()) as file:
            file.write(bytes(PIECE))


@contextmanager
def writing_cache() -> Iterator[None]:
    """Whatever the system refuses in the block is a UserError about the cache."""
    try:
        yield
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise UserError(
            f"the cache folder {cache_root()} cannot be written ({_reason(error)}{where}); "
            "set FSMD_CACHE to one that can"
        ) from error


def find(origin: Origin) -> tuple[Path, ...]:
    """The origin's files, local or downloaded; UserError that says what to put where."""
    for folder in folders(origin.name):
        if paths := _matching(folder, origin):
            return paths
    with writing_cache():
        _raw(origin).mkdir(parents=True, exist_ok=True)
        with FileLock(_raw(origin) / "download.lock"):
            if not _matching(_raw(origin), origin):  # another process may have while we waited
                _download(origin)
    return _matching(_raw(origin), origin)


def folders(name: str) -> tuple[Path, ...]:
    """Where the files of a public data set may lie: FSMD_DATA and below, or the cache."""
    given = _named_folder("FSMD_DATA")
    return (*((given / name, given) if given else ()), cache_root() / "raw" / name)


def content_digest(path: Path) -> str:
    """SHA-256 of a file's content, unpacked where it is a gzip, whatever its name."""
    with gzip.open(path) if is_packed(path) else path.open("rb") as unpacked:
        return hashlib.file_digest(unpacked, "sha256").hexdigest()


class _Faulty(ValueError):
    """A file or an archive that is not what it must be."""


def _reason(error: Exception) -> str:
    """Why, without what the caller says."""
    if isinstance(error, _Faulty):
        return str(error)
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"{error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.RequestException):
        return type(error).__name__  # its text has objects of other libraries
    return getattr(error, "strerror", None) or f"{type(error).__name__}: {error}".strip()


def _named_folder(variable: str) -> Path | None:
    """The folder that an environment variable names, from the root on; `~` is the user's home."""
    given = os.environ.get(variable)
    try:
        return Path(given).expanduser().absolute() if given else None
    except RuntimeError:
        raise UserError(
            f"{variable} is {given}, and there is no such user; name a folder"
        ) from None


def _raw(origin: Origin) -> Path:
    return cache_root() / "raw" / origin.name


def _matching(folder: Path, origin: Origin) -> tuple[Path, ...]:
    """All files of the origin's patterns below `folder`; none unless each pattern has one."""
    paths: list[Path] = []
    found = _files(folder)
    for pattern in origin.files:
        here: dict[str, Path] = {}
        for path in found:
            if fnmatchcase(name := path.name.removesuffix(".gz"), pattern):
                here.setdefault(name, path)
        if not here:
            return ()
        paths += here.values()
    return tuple(paths)


def _files(folder: Path) -> list[Path]:
    """What is in a folder, the nearest first, plain before compressed.

    Of hidden ones none: they are what another process downloads right now, or gone already.
    """
    found: list[Path] = []
    for here, folders, files in os.walk(folder, followlinks=True):  # which may vanish meanwhile
        depth = len(Path(here).relative_to(folder).parts)  # the origin's archives nest folders
        found += [Path(here, n) for n in (*files, *folders) if not n.startswith(".")]
        folders[:] = [name for name in folders if depth < 3 and not name.startswith(".")]
    return sorted(found, key=lambda path: (len(path.parts), path.suffix == ".gz", path))


def _download(origin: Origin) -> None:
    """Download, unpack and verify the origin's files; a faulty answer is fetched again, once."""
    for last in (False, True):
        try:
            with replacing(_raw(origin) / "downloaded") as fresh:
                fresh.mkdir()
                _unpack_all(_fetched(origin.url, fresh))
                paths = _matching(fresh, origin)
                if not paths:
                    raise _Faulty(f"it holds no {_wanted(origin)}")
                for path in paths:
                    _verify(path, origin)
            return
        except (requests.RequestException, _Faulty) as error:
            if last or isinstance(error, requests.ConnectionError):
                raise UserError(
                    f"data set {origin.name} is not here and cannot be downloaded "
                    f"({_reason(error)}); {_advice(origin)}"
                ) from error
            say(f"{origin.url} is faulty ({_reason(error)}): removed, fetched again")


def _fetched(url: str, folder: Path) -> Path:
    """What the address answers, as a file in a folder."""
    path = folder / PurePosixPath(urlsplit(url).path).name
    plain = {"Accept-Encoding": "identity"}
    with requests.get(url, headers=plain, stream=True, timeout=60) as answer:
        answer.raise_for_status()
        length = int(answer.headers.get("Content-Length", 0))
        with path.open("wb") as file, bar_of(open_console()) as bar:
            task = bar.add_task(f"downloading {path.name}", total=length or None)
            for piece in answer.iter_content(PIECE):
                file.write(piece)
                bar.advance(task, len(piece))
    return path


def _unpack_all(archive: Path) -> None:
    """Put what is in an archive, and in archives in it, in their place."""
    _unpack(archive)
    for inner in [*archive.parent.rglob("*.zip"), *archive.parent.rglob("*.tar.gz")]:
        _unpack(inner)


def _unpack(archive: Path) -> None:
    """Members that would land outside the folder are refused; zip does so by itself.

    Python before 3.11.4 cannot refuse them: there the origin's archives are trusted.
    """
    refuses = hasattr(tarfile, "data_filter") and archive.suffix != ".zip"
    options: dict[str, Any] = {"filter": "data"} if refuses else {}
    try:
        shutil.unpack_archive(archive, archive.parent, **options)
    except Exception as error:  # many kinds, as the formats have many readers
        if getattr(error, "errno", None):
            raise  # of the disk
        what = f"{type(error).__name__}: {error}".replace(f"{archive.parent}{os.sep}", "")
        raise _Faulty(f"{archive.name} cannot be unpacked ({what})") from error
    archive.unlink()


def _verify(path: Path, origin: Origin) -> None:
    expected = origin.text_hashes.get(path.name.removesuffix(".gz"))
    try:
        found = content_digest(path)
    except (EOFError, ValueError, zlib.error, gzip.BadGzipFile) as error:
        raise _Faulty(f"{path.name} cannot be read ({_reason(error)})") from error
    if expected not in (None, found):
        raise _Faulty(
            f"{path.name} is not the original: the SHA-256 of its content must be {expected}"
        )


def _wanted(origin: Origin) -> str:
    return ", ".join(f"{pattern}[.gz]" for pattern in origin.files)


def _advice(origin: Origin) -> str:
    given = _named_folder("FSMD_DATA")
    why = "where they are not" if given and given.is_dir() else "which is no folder"
    return (f"FSMD_DATA is {given}, {why}: " if given else "") + (
        f"put {_wanted(origin)} from {origin.url} into {_raw(origin)}, or into a folder "
        f"{origin.name} below the one that FSMD_DATA names"
    )
