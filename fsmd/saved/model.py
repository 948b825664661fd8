"""A model's folder with the weights: written as a whole and checked, read, given another score."""

import hashlib
import importlib.metadata
import importlib.util
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from fsmd.baselines import config_class
from fsmd.data.encoder import Encoder
from fsmd.errors import UserError
from fsmd.saved import head as files
from fsmd.saved.card import card
from fsmd.saved.facts import ModelFacts
from fsmd.saved.head import (
    Example,
    ModelHead,
    read_encoder,
    read_example,
    read_head,
    reading,
    seal_model,
)
from fsmd.saved.outputs import with_combined
from fsmd.saved.triton import triton_config
from fsmd.score import parse
from fsmd.tasks import names
from fsmd.trained import TrainedModel
from fsmd.writing import replacing

SCORING_NEEDS = ("numpy", "onnxruntime", "pyarrow")
_PACKAGE = "fsmd"
_EXPORTING_NEEDS = ("onnx", "onnxruntime")


@dataclass(frozen=True, eq=False)
class SavedModel:
    """All that a folder holds, but for what follows from it."""

    head: ModelHead
    encoder: Encoder
    trained: TrainedModel
    facts: ModelFacts
    example: Example
    description: bytes | None
    """Of the data; None where it is made by code."""


def check_exporting() -> None:
    """Raise UserError where a library is missing that writing a folder needs."""
    missing = [name for name in _EXPORTING_NEEDS if not _is_installed(name)]
    if missing:
        raise UserError(
            f"to write a model needs {' and '.join(missing)}, which is not installed here; "
            'pip install "fsmd[export]"'
        )


def check_place(folder: Path) -> None:
    """Raise UserError for a place that holds anything but a model as it was written."""
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UserError(f"{folder} is a file; a model is a folder: give another place")
    there = {path.name: path.is_dir() for path in folder.iterdir()}
    if there and not {files.CONFIG, files.CHECKSUMS} <= there.keys():
        raise UserError(f"{folder} is there and is no model; give another place, or remove it")
    if others := sorted(n for n, is_dir in there.items() if is_dir or n not in files.FILES):
        raise UserError(
            f"{folder} is a model and holds {others[0]!r} too, which would be lost; move that "
            "away, or give another place"
        )


def save_model(model: SavedModel, folder: Path) -> None:
    """Write a folder, or put it in the place of an older one, as a whole.

    Before that it is loaded again, and its example is scored. Raises UserError for a place that
    holds something else, for a model that ONNX cannot hold, and for a score that is no number.
    """
    check_exporting()
    check_place(folder)
    for row, values in enumerate(model.example.expected):
        for name, value in values.items():
            if not math.isfinite(value):
                raise UserError(
                    f"{name} must be a finite number; row {row} (from 0) of the example has "
                    f"{value}: change the formula {model.head.score}"
                )
    from fsmd.scorer import Scorer

    with replacing(folder.absolute()) as fresh:
        fresh.mkdir()
        for name, content in _contents(model).items():
            (fresh / name).write_bytes(content)
        seal_model(fresh)
        Scorer.load(fresh, engine="onnx")


def load_model(folder: Path) -> SavedModel:
    """What a folder holds; UserError for one that is not as it was written."""
    from safetensors.numpy import load_file

    head = read_head(folder)
    description = folder / files.DESCRIPTION
    with reading(folder):
        kind: Any = config_class(head.config)
        config = kind.from_dict(head.config)
        return SavedModel(
            head=head,
            encoder=read_encoder(folder, head),
            trained=TrainedModel(config, head.schema, load_file(folder / files.WEIGHTS)),
            facts=ModelFacts.from_json((folder / files.FIGURES).read_text("utf-8")),
            example=read_example(folder),
            description=description.read_bytes() if description.is_file() else None,
        )


def with_score(model: SavedModel, formula: str | None) -> SavedModel:
    """The same model with another combined score, or with none; UserError for no formula."""
    if formula is not None:
        parse(formula, names(model.head.tasks), "the score")
    return replace(
        model,
        head=replace(model.head, score=formula),
        encoder=replace(model.encoder, score=formula),
        example=replace(model.example, expected=tuple(_expected(model, formula))),
    )


def _expected(model: SavedModel, formula: str | None) -> Iterator[dict[str, float]]:
    for row in model.example.expected:
        values = {name: np.array([v], np.float32) for name, v in row.items()}
        values.pop(files.SCORE, None)
        if formula is not None:
            values = with_combined(values, formula, model.trained)
        yield {name: float(value_N[0]) for name, value_N in values.items()}


def _contents(model: SavedModel) -> dict[str, bytes]:
    """Each file but the checksums; equal models give equal bytes."""
    from safetensors.numpy import save

    from fsmd.onnx import model_bytes

    config, encoder = model.head.to_json().encode(), model.encoder.to_json().encode()
    # One entry: of several the library would write them in any order.
    made_of = {"digest": hashlib.sha256(config + encoder).hexdigest()}
    tensors = {name: np.ascontiguousarray(a) for name, a in sorted(model.trained.tensors.items())}
    contents = {
        files.CONFIG: config,
        files.ENCODER: encoder,
        files.WEIGHTS: save(tensors, made_of),
        files.ONNX: model_bytes(model.encoder, model.trained, model.head.score),
        files.FIGURES: model.facts.to_json().encode(),
        files.EXAMPLE: model.example.to_json().encode(),
        files.TRITON: triton_config(model.head).encode(),
        files.REQUIREMENTS: requirements().encode(),
    }
    if model.description is not None:
        contents[files.DESCRIPTION] = model.description
    sizes = {name: len(content) for name, content in contents.items()}
    return {**contents, files.CARD: card(model, sizes).encode()}


def requirements() -> str:
    """What scoring alone needs; fsmd itself comes without the libraries that train."""
    bounds = {
        re.split(r"[^\w.-]", each)[0]: each.partition(";")[0].strip()
        for each in importlib.metadata.requires(_PACKAGE) or ()
    }
    lines = (bounds.get(name, name) for name in SCORING_NEEDS)
    head = "# To score alone; and pip install --no-deps a copy of the repository of fsmd."
    return "\n".join((head, *lines, ""))


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None
