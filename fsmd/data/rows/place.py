"""Where the files of a log lie, and what their contents are."""

import json
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock

from fsmd.data.description.values import (
    Description,
    FileSet,
    PublicSource,
)
from fsmd.data.files import Origin, cache_root, content_digest, folders, writing_cache
from fsmd.data.files import find as find_origin
from fsmd.data.rows.files import LogFile, check_unchanged, find, readable
from fsmd.errors import UserError
from fsmd.writing import write

_MOST_REMEMBERED = 10_000


def place_of(
    description: Description, sets: Sequence[FileSet]
) -> tuple[Path, list[tuple[Path, ...]]]:
    """The log's folder, and each set's files: beside the description, or where its origin says."""
    beside, origin = description.path.parent, description.origin
    try:
        return beside, [find(each, beside) for each in sets]
    except UserError:
        if origin is None:
            raise
    if found := _below(origin, sets):
        return found
    names = [PurePosixPath(pattern).name for each in sets for pattern in each.patterns]
    if origin.archive is not None:
        find_origin(Origin(origin.folder, origin.archive, tuple(names), origin.sha256))
        if found := _below(origin, sets):
            return found
    places = " or ".join(str(folder) for folder in (beside, *folders(origin.folder)))
    raise UserError(
        f"{description.recipe.name}: the files {', '.join(names)} are not here; get them from "
        f"{origin.source} (licence: {origin.licence}) and put them into {places}"
    )


def _below(
    origin: PublicSource, sets: Sequence[FileSet]
) -> tuple[Path, list[tuple[Path, ...]]] | None:
    """The first place of a public data set that has all files, each set in one folder of it."""
    for place in folders(origin.folder):
        if not place.is_dir():
            continue
        inside = [place, *sorted(path for path in place.rglob("*") if path.is_dir())]
        here = [_first_found(each, inside) for each in sets]
        if all(here):
            return place, [paths for paths in here if paths]
    return None


def _first_found(files: FileSet, places: Sequence[Path]) -> tuple[Path, ...] | None:
    for place in places:
        try:
            return find(files, place)
        except UserError:
            continue
    return None


def verify(origin: PublicSource, files: Sequence[LogFile]) -> None:
    """Raise UserError for a file whose content is not the known one."""
    known = [f for f in files if f.path.name.removesuffix(".gz") in origin.sha256]
    for file, found in zip(known, digests_of(known), strict=True):
        expected = origin.sha256[file.path.name.removesuffix(".gz")]
        if found != expected:
            raise UserError(
                f"{file.path} is not the original: the SHA-256 of its content must be {expected}; "
                "replace or remove it"
            )


def digests_of(files: Sequence[LogFile]) -> list[str]:
    """SHA-256 of each file's content, unpacked; remembered until the file changes."""
    remembered, fresh, found = _remembered(), {}, []
    for file in files:
        check_unchanged(file)
        place, mark = str(file.path.absolute()), list(file.stamp)
        if remembered.get(place, [None])[0] == mark:
            found.append(str(remembered[place][1]))
            continue
        with readable(file.path):
            found.append(content_digest(file.path))
        check_unchanged(file)
        # A file that was written a moment ago may be written again without another time.
        written = max(file.stamp.mtime_ns, file.stamp.ctime_ns)
        if time.time_ns() - written > 2 * 10**9:
            fresh[place] = mark, found[-1]
    if fresh:
        with writing_cache():
            cache_root().mkdir(parents=True, exist_ok=True)
            with FileLock(cache_root() / "digests.lock"):
                kept = [*{**_remembered(), **fresh}.items()][-_MOST_REMEMBERED:]
                write(cache_root() / "digests.json", json.dumps(dict(kept)).encode())
    return found


def _remembered() -> dict[str, Any]:
    """Path of a file -> its stamp and digest; nothing where the list is not there or damaged."""
    try:
        found = json.loads((cache_root() / "digests.json").read_bytes())
        return {k: v for k, v in found.items() if isinstance(v, list) and len(v) == 2}
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
