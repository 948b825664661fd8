"""A model of which nobody knows where it is from, as a folder: for whatever scores by one."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, replace
from typing import Any

import numpy as np
import pyarrow as pa

from fsmd.baselines import BASELINES
from fsmd.data import load
from fsmd.data.encoded import ENCODER
from fsmd.data.encoder import Encoder
from fsmd.saved.facts import ModelFacts
from fsmd.saved.head import Example, ModelHead
from fsmd.saved.model import SavedModel
from fsmd.saved.outputs import output_values
from fsmd.trained import TrainedModel
from fsmd.training import Training

NO_TRAINING = {"id": "0", "seed": 0, "code": "0", "runtime": {"device": "cpu"}}


def saved(
    encoder: Encoder,
    trained: TrainedModel,
    example: Example,
    description: bytes | None = None,
    training: Mapping[str, Any] = NO_TRAINING,
) -> SavedModel:
    """All that its folder holds."""
    head = ModelHead(
        name="made up",
        kind=getattr(trained.config, "kind", "fsmd"),
        config=asdict(trained.config),
        schema=trained.schema,
        inputs=encoder.inputs,
        score=encoder.score,
        training=training,
        libraries={},
    )
    known: dict[str, Any] = {
        **{each.name: "made" for each in fields(ModelFacts) if each.default is MISSING},
        **dict.fromkeys(("refit", "half", "licence", "equal", "farthest", "latency", "seconds")),
        **{"rows": {}, "rates": {}, "chosen_epochs": {}, "figures": ()},
        **{"replicate": 0, "parameters": 0},
    }
    return SavedModel(head, encoder, trained, ModelFacts(**known), example, description)


def untrained(data_name: str, seed: int = 0, score: str | None = None) -> SavedModel:
    """A logistic regression of a data set made by code, its weights drawn at random."""
    data, random, config = load(data_name), np.random.default_rng(seed), BASELINES["logistic"]
    encoder = Encoder.from_json((data.path / ENCODER).read_text("utf-8"))
    encoder = replace(encoder, score=score)
    tasks, ids = len(data.schema.tasks), sum(data.schema.cardinalities)
    shapes = {"bias": (tasks,), "ids": (ids, tasks), "dense": (len(data.schema.dense), tasks)}
    trained = TrainedModel(
        config,
        data.schema,
        {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()},
    )
    words = {v.name: v.words[0] for v in encoder.vocabularies}
    row = {**words, **{s.name: 1.5 for s in encoder.scales}}
    found = output_values(trained, score, *encoder.transform(pa.RecordBatch.from_pylist([row])))
    expected = {name: float(value_N[0]) for name, value_N in found.items()}
    training = Training.on(data, config, seed)
    return saved(
        encoder,
        trained,
        Example((row,), (expected,), "made up"),
        training={**training.identity, "id": training.id},
    )
