"""From tables to arrays on disk. All that is fitted is fitted on train (`encoder`).

They lie in a folder named by a digest of the source's content, the recipe and this code.
"""

import hashlib
import io
import json
import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from scipy.special import logit

from fsmd.config import digest
from fsmd.data.checks.learnable import check_encoded, check_tables, remarks
from fsmd.data.encoded import ENCODER, FACTS, SPLITS, fault_of, open_encoded, seal
from fsmd.data.encoder import Encoder
from fsmd.data.files import cache_root, writing_cache
from fsmd.data.schema import Dataset, Schema
from fsmd.data.source import Recipe, Source, Tables
from fsmd.data.values import Words, column_of, words_of
from fsmd.metrics import METRICS, measured
from fsmd.notices import say
from fsmd.writing import replacing

Arrays = dict[str, NDArray[Any]]


def encoded(source: Source, name: str | None = None, file: str | None = None) -> Dataset:
    """The source's data set, encoded now if it never was.

    name: as it was asked for. file: where the source is written, another text is another encoding.

    Raises UserError for data that cannot be learnt from honestly (see `checks`).
    """
    key = {"source": dict(source.key), "recipe": asdict(source.recipe), "code": _code(file)}
    shown = re.sub(r"[^\w.-]", "-", source.recipe.name)[:40]  # no name leads out of the cache
    folder = cache_root() / "encoded" / f"{shown}-{digest(key)[:16]}"
    if fault_of(folder) is not None:
        with writing_cache():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                fault = fault_of(folder)  # another process may have made it while we waited
                if fault is not None:
                    if os.path.lexists(folder):
                        say(f"{folder} is not as it was written ({fault}): encoded anew")
                    _write(source, folder)
    return open_encoded(folder, name)


def _code(file: str | None) -> str:
    """The text of this folder and of the data set's own file, but of no other data set's."""
    files = sorted(Path(__file__).parent.rglob("*.py")) + ([Path(file)] if file else [])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def _write(source: Source, folder: Path) -> None:
    recipe, tables = source.recipe, source.read()
    check_tables(recipe, tables)
    encoder = Encoder.fit(recipe, tables.train)
    schema, arrays = encode(encoder, tables)
    check_encoded(schema, arrays)
    for line in remarks(encoder, arrays):
        say(line)
    arrays["test_unseen"] = unseen_rows(arrays)
    for split, table in (("valid", tables.valid), ("test", tables.test)):
        where = f"{recipe.name}, {split}"
        if recipe.user is not None:
            found = words_of(where, column_of(where, table, recipe.user))
            arrays[f"{split}_users"] = groups(found)
        if recipe.request is not None:
            found = words_of(where, column_of(where, table, recipe.request))
            arrays[f"{split}_requests"] = groups(found)
    facts = {
        "schema": asdict(schema),
        "content_hash": _content_hash(schema, arrays),
        "users": recipe.user is not None,
        "requests": recipe.request is not None,
        "reachable": reachable(recipe, tables, arrays),
        "settings": asdict(recipe.settings),
    }
    with replacing(folder) as fresh:
        fresh.mkdir()
        for name, array in arrays.items():
            content = io.BytesIO()  # numpy tells a full disk by an error without its reason
            np.save(content, array)
            (fresh / f"{name}.npy").write_bytes(content.getbuffer())
        (fresh / FACTS).write_text(json.dumps(facts, indent=1), "utf-8")
        (fresh / ENCODER).write_text(encoder.to_json(), "utf-8")
        seal(fresh)


def encode(encoder: Encoder, tables: Tables) -> tuple[Schema, Arrays]:
    """Schema and arrays `<split>_ids`, `_dense`, `_labels`, and `_weights` if rows carry any."""
    arrays: Arrays = {}
    for split in SPLITS:
        frame = getattr(tables, split)
        arrays[f"{split}_ids"], arrays[f"{split}_dense"] = encoder.transform(frame, split)
        arrays[f"{split}_labels"] = encoder.labels(frame, split)
        weights = encoder.weights(frame, split)
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


def groups(found: Words) -> NDArray[np.uint32]:
    """A number for each of N rows, from 0; rows of one value share it, one without has its own.

    From the values themselves, not from ids: users that train does not know are still users.
    """
    alone_N = len(found.words) + np.arange(len(found.code_N))
    of_row_N = np.where(found.code_N < 0, alone_N, found.code_N)
    return np.unique(of_row_N, return_inverse=True)[1].astype(np.uint32)


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
    return {
        name: value for name, value in best.items() if value is not None and np.isfinite(value)
    }


def _content_hash(schema: Schema, arrays: Arrays) -> str:
    content = hashlib.sha256(digest(asdict(schema)).encode())
    for name, array in sorted(arrays.items()):
        content.update(f"{name}{array.shape}{array.dtype}".encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()
