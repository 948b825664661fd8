"""From tables to arrays on disk. All that is fitted is fitted on train (`encoder`).

They lie in a folder named by a digest of the source's content, the recipe and this code.
"""

import hashlib
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray
from scipy.special import logit

from fsmd.config import digest
from fsmd.data.checks import check_encoded, check_tables
from fsmd.data.encoded import ENCODER, FACTS, SPLITS, open_encoded
from fsmd.data.encoder import Encoder
from fsmd.data.files import cache_root
from fsmd.data.schema import Dataset, Schema
from fsmd.data.source import Recipe, Source, Tables
from fsmd.errors import UserError
from fsmd.metrics import METRICS, measured

Arrays = dict[str, NDArray[Any]]


def encoded(source: Source, name: str | None = None, file: str | None = None) -> Dataset:
    """The source's data set, encoded now if it never was.

    name: as it was asked for. file: where the source is written, another text is another encoding.

    Raises UserError for data that cannot be learnt from honestly (see `checks`).
    """
    key = {"source": dict(source.key), "recipe": asdict(source.recipe), "code": _code(file)}
    folder = cache_root() / "encoded" / f"{source.recipe.name}-{digest(key)[:16]}"
    if not folder.exists():
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"the cache folder {cache_root()} cannot be written ({error.strerror}); "
                "set FSMD_CACHE to one that can"
            ) from error
        with FileLock(f"{folder}.lock"):
            if not folder.exists():  # another process may have made it while we waited
                _write(source, folder)
    return open_encoded(folder, name)


def _code(file: str | None) -> str:
    """The text of this folder and of the data set's own file, but of no other data set's."""
    files = sorted(Path(__file__).parent.glob("*.py")) + ([Path(file)] if file else [])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _write(source: Source, folder: Path) -> None:
    recipe, tables = source.recipe, source.read()
    check_tables(recipe, tables)
    encoder = Encoder.fit(recipe, tables.train)
    schema, arrays = encode(encoder, tables)
    check_encoded(schema, arrays)
    arrays["test_unseen"] = unseen_rows(arrays)
    if recipe.unit is not None:
        arrays["test_units"] = units(tables.test[recipe.unit])
    facts = {
        "schema": asdict(schema),
        "content_hash": _content_hash(schema, arrays),
        "reachable": reachable(recipe, tables, arrays),
        "settings": asdict(recipe.settings),
    }
    temporary = Path(mkdtemp(dir=folder.parent))  # renamed when it is whole
    try:
        for name, array in arrays.items():
            np.save(temporary / f"{name}.npy", array)
        (temporary / FACTS).write_text(json.dumps(facts, indent=1), "utf-8")
        (temporary / ENCODER).write_text(encoder.to_json(), "utf-8")
        temporary.chmod(0o755)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def encode(encoder: Encoder, tables: Tables) -> tuple[Schema, Arrays]:
    """Schema and arrays `<split>_ids`, `_dense`, `_labels`, and `_weights` if rows carry any."""
    arrays: Arrays = {}
    for split in SPLITS:
        frame = getattr(tables, split)
        arrays[f"{split}_ids"], arrays[f"{split}_dense"] = encoder.transform(frame)
        arrays[f"{split}_labels"] = encoder.labels(frame)
        weights = encoder.weights(frame)
        if weights is not None:
            arrays[f"{split}_weights"] = weights
    masked = any(bool(np.isnan(arrays[f"{split}_labels"]).any()) for split in SPLITS)
    return encoder.schema(masked), arrays


def unseen_rows(arrays: Arrays) -> NDArray[np.bool_]:
    """Which test rows' features occur in no train row."""

    def keys(split: str) -> NDArray[np.void]:
        ids, dense = arrays[f"{split}_ids"], arrays[f"{split}_dense"].view(np.int32)
        rows = np.ascontiguousarray(np.hstack([ids, dense]))
        return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()

    return ~np.isin(keys("test"), keys("train"))


def units(column: pd.Series) -> NDArray[np.uint32]:
    """A number for each of N rows, from 0; rows of one value share it, one without has its own.

    From the values themselves, not from ids: users that train does not know are still users.
    """
    codes, _ = pd.factorize(column)
    alone_N = codes.max(initial=-1) + 1 + np.arange(len(codes))
    numbers_N = np.unique(np.where(codes < 0, alone_N, codes), return_inverse=True)[1]
    return numbers_N.astype(np.uint32)


def reachable(recipe: Recipe, tables: Tables, arrays: Arrays) -> dict[str, float] | None:
    """Each task's metric of the true probabilities on test."""
    if tables.truth is None:
        return None
    best = {
        task.name: measured(
            METRICS[task.metric],
            logit(tables.truth[task.name].to_numpy(np.float64)),
            label_N,
            arrays.get("test_weights"),
        )
        for task, label_N in zip(recipe.tasks, arrays["test_labels"].T, strict=True)
    }
    return {name: value for name, value in best.items() if value is not None}


def _content_hash(schema: Schema, arrays: Arrays) -> str:
    content = hashlib.sha256(digest(asdict(schema)).encode())
    for name, array in sorted(arrays.items()):
        content.update(f"{name}{array.shape}{array.dtype}".encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()
