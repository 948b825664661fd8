"""From tables to memory-mapped arrays. Vocabularies, unseen ids and scaling come from train only.

The arrays lie in a folder named by a digest of the source's content, the recipe and this code,
and are written once: into a temporary folder, then renamed.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from fsmd.config import digest
from fsmd.data.checks import area_under_roc, check_encoded, check_tables
from fsmd.data.files import cache_root
from fsmd.data.schema import Dataset, Field, Floats, Ids, Schema, Split
from fsmd.data.source import Categorical, Dense, Recipe, Source, Tables
from fsmd.errors import UserError

SPLITS = ("train", "valid", "test")


def encoded(source: Source) -> Dataset:
    """The source's data set, encoded now if it never was.

    Raises UserError for data that cannot be learnt from honestly (see `checks`).
    """
    key = digest({"source": dict(source.key), "recipe": asdict(source.recipe), "code": _code()})
    folder = cache_root() / "encoded" / f"{source.recipe.name}-{key[:16]}"
    if not folder.exists():
        _make(folder.parent)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():  # another process may have made it while we waited
                _write(source, folder)
    return open_encoded(folder)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the cache folder {cache_root()} cannot be written ({error.strerror}); "
            "set FSMD_CACHE to one that can"
        ) from error


def open_encoded(path: Path) -> Dataset:
    """Map an encoded folder into memory."""
    facts = json.loads((path / "schema.json").read_text("utf-8"))
    schema = Schema.from_dict(facts["schema"])

    def split(name: str) -> Split:
        # Copy on write: torch wants writable memory, and nobody writes.
        parts = ("ids", "dense", "labels")
        return Split(*(np.load(path / f"{name}_{part}.npy", mmap_mode="c") for part in parts))

    return Dataset(
        schema,
        train=split("train"),
        valid=split("valid"),
        test=split("test"),
        test_unseen=np.load(path / "test_unseen.npy", mmap_mode="c"),
        content_hash=facts["content_hash"],
        path=path,
        reachable=facts["reachable"],
    )


def _code() -> str:
    """The text of this package: another recipe or reader gives another encoding."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _write(source: Source, folder: Path) -> None:
    recipe, tables = source.recipe, source.read()
    check_tables(recipe, tables)
    schema, arrays = encode(recipe, tables)
    check_encoded(schema, arrays)
    arrays["test_unseen"] = unseen_rows(arrays)
    facts = {
        "schema": asdict(schema),
        "content_hash": _content_hash(schema, arrays),
        "reachable": reachable(tables, schema.tasks),
    }
    temporary = Path(mkdtemp(dir=folder.parent))
    try:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        (temporary / "schema.json").write_text(json.dumps(facts, indent=1), "utf-8")
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def encode(recipe: Recipe, tables: Tables) -> tuple[Schema, dict[str, NDArray[np.generic]]]:
    """Schema and arrays `<split>_ids`, `<split>_dense`, `<split>_labels`."""
    frames = [getattr(tables, name) for name in SPLITS]
    vocabularies = [vocabulary(tables.train[c.name], c.min_count) for c in recipe.categorical]
    arrays: dict[str, NDArray[np.generic]] = {}
    for name, frame in zip(SPLITS, frames, strict=True):
        arrays[f"{name}_ids"] = _ids(recipe.categorical, vocabularies, frame)
        arrays[f"{name}_dense"] = _dense(recipe.dense, tables.train, frame)
        arrays[f"{name}_labels"] = frame[list(recipe.tasks)].to_numpy(np.float32)
    fields = tuple(
        Field(c.name, len(words) + 1)
        for c, words in zip(recipe.categorical, vocabularies, strict=True)
    )
    dense = tuple(d.name for d in recipe.dense)
    return Schema(recipe.name, fields, dense, recipe.tasks, recipe.funnel), arrays


def vocabulary(column: pd.Series, min_count: int = 1) -> pd.Index:
    """The categories seen at least `min_count` times, sorted; position i has id i + 1."""
    counts = column.value_counts()
    return counts[counts >= min_count].index.sort_values()


def _ids(
    columns: tuple[Categorical, ...], vocabularies: list[pd.Index], frame: pd.DataFrame
) -> Ids:
    ids = [
        words.get_indexer(pd.Index(frame[column.name])) + 1
        for column, words in zip(columns, vocabularies, strict=True)
    ]
    return np.stack(ids, 1).astype(np.int32) if ids else np.zeros((len(frame), 0), np.int32)


def _dense(columns: tuple[Dense, ...], train: pd.DataFrame, frame: pd.DataFrame) -> Floats:
    scaled = [_scaled(column, train[column.name], frame[column.name]) for column in columns]
    return np.stack(scaled, 1) if scaled else np.zeros((len(frame), 0), np.float32)


def _scaled(column: Dense, train: pd.Series, values: pd.Series) -> Floats:
    fitted, raw = train.to_numpy(np.float64), values.to_numpy(np.float64)
    if column.log:
        fitted, raw = np.log1p(fitted), np.log1p(raw)
    spread = fitted.std()
    scaled: Floats = ((raw - fitted.mean()) / (spread if spread > 0 else 1)).astype(np.float32)
    return scaled


def unseen_rows(arrays: dict[str, NDArray[np.generic]]) -> NDArray[np.bool_]:
    """Which test rows' features occur in no train row."""
    train, test = (
        _row_keys(arrays[f"{name}_ids"], arrays[f"{name}_dense"]) for name in ("train", "test")
    )
    return ~np.isin(test, train)


def _row_keys(ids: NDArray[np.generic], dense: NDArray[np.generic]) -> NDArray[np.void]:
    rows = np.ascontiguousarray(np.hstack([ids.view(np.int32), dense.view(np.int32)]))
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def reachable(tables: Tables, tasks: tuple[str, ...]) -> dict[str, float] | None:
    """AUC on test of the true probabilities, for each task and their mean."""
    if tables.truth is None:
        return None
    best = {
        task: area_under_roc(tables.truth[task].to_numpy(), tables.test[task].to_numpy())
        for task in tasks
    }
    return {**best, "mean": sum(best.values()) / len(best)}


def _content_hash(schema: Schema, arrays: dict[str, NDArray[np.generic]]) -> str:
    def parts() -> Iterator[bytes]:
        yield digest(asdict(schema)).encode()
        for name in sorted(arrays):
            yield f"{name}{arrays[name].shape}{arrays[name].dtype}".encode()
            yield np.ascontiguousarray(arrays[name]).tobytes()

    content = hashlib.sha256()
    for part in parts():
        content.update(part)
    return content.hexdigest()
