"""A model that was never trained, in its folder: for whatever scores by one."""

from dataclasses import asdict

import numpy as np
import pyarrow as pa

from fsmd.baselines import BASELINES
from fsmd.data import load
from fsmd.data.encoded import ENCODER, SPLITS
from fsmd.data.encoder import Encoder
from fsmd.saved.facts import ModelFacts
from fsmd.saved.head import Example, ModelHead
from fsmd.saved.model import SavedModel
from fsmd.saved.outputs import output_values
from fsmd.tasks import names
from fsmd.trained import TrainedModel
from fsmd.training import Training


def untrained(data_name: str, seed: int = 0, score: str | None = None) -> SavedModel:
    """A logistic regression of a data set made by code, its weights drawn at random."""
    data, random, config = load(data_name), np.random.default_rng(seed), BASELINES["logistic"]
    encoder = Encoder.from_json((data.path / ENCODER).read_text("utf-8"))
    tasks, ids = len(data.schema.tasks), sum(f.cardinality for f in data.schema.categorical)
    shapes = {"bias": (tasks,), "ids": (ids, tasks), "dense": (len(data.schema.dense), tasks)}
    trained = TrainedModel(
        config,
        data.schema,
        {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()},
    )
    training = Training.on(data, config, seed)
    words = {v.name: v.words[0] for v in encoder.vocabularies}
    row = {**words, **{s.name: 1.5 for s in encoder.scales}}
    found = output_values(trained, score, *encoder.transform(pa.RecordBatch.from_pylist([row])))
    return SavedModel(
        head=ModelHead(
            name="made_up",
            kind="logistic",
            config=asdict(config),
            schema=data.schema,
            inputs=encoder.inputs,
            score=score,
            training={**training.identity, "id": training.id},
            libraries={},
        ),
        encoder=encoder,
        trained=trained,
        facts=ModelFacts(
            study="made_up",
            kind="study",
            question="Does it score?",
            arm="logistic",
            pick="arm:logistic",
            why="it was asked for",
            replicate=0,
            refit=None,
            command="none",
            data=data.name,
            content_hash=data.content_hash,
            asked=data.name,
            licence=None,
            rows={"train": len(data.train), "valid": len(data.valid), "test": len(data.test)},
            rates={split: dict.fromkeys(names(data.schema.tasks), 0.5) for split in SPLITS},
            chosen_epochs=dict.fromkeys(names(data.schema.tasks), 1),
            figures=(),
            equal=None,
            farthest=None,
            parameters=sum(tensor.size for tensor in trained.tensors.values()),
            latency=None,
            seconds=None,
            machine="any",
        ),
        example=Example(
            (row,), ({name: float(value_N[0]) for name, value_N in found.items()},), "made up"
        ),
        description=None,
    )
