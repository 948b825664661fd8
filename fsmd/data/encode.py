"""From tables to arrays on disk. All that is fitted is fitted on train (`encoder`).

The arrays lie in a folder named by a digest of the source's content, the recipe and this code,
and are written once: into a temporary folder, then renamed.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import mkdtemp

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

Arrays = dict[str, NDArray[np.generic]]


def encoded(source: Source, name: str | None = None, file: str | None = None) -> Dataset:
    """The source's data set, encoded now if it never was.

    name: as the data set was asked for. file: where the source is written; another text there is
    another encoding.

    Raises UserError for data that cannot be learnt from honestly (see `checks`).
    """
    key = {"source": dict(source.key), "recipe": asdict(source.recipe), "code": _code(file)}
    folder = cache_root() / "encoded" / f"{source.recipe.name}-{digest(key)[:16]}"
    if not folder.exists():
        _make(folder.parent)
        with FileLock(f"{folder}.lock"):
            if not folder.exists():  # another process may have made it while we waited
                _write(source, folder)
    return open_encoded(folder, name)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"the cache folder {cache_root()} cannot be written ({error.strerror}); "
            "set FSMD_CACHE to one that can"
        ) from error


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
        "reachable": reachable(recipe, tables),
        "settings": asdict(recipe.settings),
    }
    temporary = Path(mkdtemp(dir=folder.parent))
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


def unseen_rows(arrays: Mapping[str, NDArray[np.generic]]) -> NDArray[np.bool_]:
    """Which test rows' features occur in no train row."""
    train, test = (
        _row_keys(arrays[f"{name}_ids"], arrays[f"{name}_dense"]) for name in ("train", "test")
    )
    return ~np.isin(test, train)


def _row_keys(ids: NDArray[np.generic], dense: NDArray[np.generic]) -> NDArray[np.void]:
    rows = np.ascontiguousarray(np.hstack([ids.view(np.int32), dense.view(np.int32)]))
    return rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()


def units(column: pd.Series) -> NDArray[np.uint32]:
    """A number for each of N rows, from 0; rows of one value share it.

    From the values themselves, not from ids: users that train does not know are still users. A
    row without a value is taken for another's.
    """
    codes, _ = pd.factorize(column)
    alone = codes.max(initial=-1) + 1 + np.arange(len(codes))
    numbers = np.unique(np.where(codes < 0, alone, codes), return_inverse=True)[1]
    return numbers.astype(np.uint32)


def reachable(recipe: Recipe, tables: Tables) -> dict[str, float] | None:
    """Each task's metric of the true probabilities on test."""
    if tables.truth is None:
        return None
    encoder = Encoder(recipe.name, (), (), recipe.tasks, recipe.weight)
    label_NK, weight_N = encoder.labels(tables.test), encoder.weights(tables.test)
    found = {
        task.name: measured(
            METRICS[task.metric],
            logit(tables.truth[task.name].to_numpy(np.float64)),
            label_NK[:, k].astype(np.float64),
            None if weight_N is None else weight_N.astype(np.float64),
        )
        for k, task in enumerate(recipe.tasks)
    }
    return {name: value for name, value in found.items() if value is not None}


def _content_hash(schema: Schema, arrays: Arrays) -> str:
    def parts() -> Iterator[bytes]:
        yield digest(asdict(schema)).encode()
        for name in sorted(arrays):
            yield f"{name}{arrays[name].shape}{arrays[name].dtype}".encode()
            yield np.ascontiguousarray(arrays[name]).tobytes()

    content = hashlib.sha256()
    for part in parts():
        content.update(part)
    return content.hexdigest()
