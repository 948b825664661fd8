"""What a model's folder says of the model: its head, and the facts behind the card."""

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.metadata import version

import numpy as np

from fsmd.config import FSMDConfig
from fsmd.data.encoded import SPLITS
from fsmd.data.encoder import Encoder
from fsmd.data.schema import Dataset
from fsmd.half import rows_of_half
from fsmd.saved.facts import ModelFacts, ModelFigure
from fsmd.saved.head import ModelHead
from fsmd.training import Training, TrainingResult
from studies.export.again import LoadedData, Repeat, at_chosen
from studies.export.chosen import ChosenArm
from studies.planner.provenance import provenance

NETWORK = "fsmd"
"""The kind of a model that is no baseline."""
OTHER = "other"
"""The licence of a model whose owner did not say."""


def head_of(chosen: ChosenArm, training: Training, encoder: Encoder, data: Dataset) -> ModelHead:
    """What config.json holds."""
    config = training.config
    return ModelHead(
        name=f"{chosen.record.name}-{chosen.arm.name}",
        kind=NETWORK if isinstance(config, FSMDConfig) else config.kind,
        config=asdict(config),
        schema=data.schema,
        inputs=encoder.inputs,
        score=encoder.score,
        training={**training.identity, "id": training.id},
        libraries={**provenance("cpu").libraries, "onnx": version("onnx")},
    )


def facts_of(
    chosen: ChosenArm,
    training: Training,
    result: TrainingResult,
    loaded: LoadedData,
    repeat: Repeat,
    options: argparse.Namespace,
) -> ModelFacts:
    """What figures.json holds."""
    record, data = chosen.record, loaded.data
    return ModelFacts(
        study=record.name,
        kind="search" if record.is_search else "study",
        question=record.definition.question,
        arm=chosen.arm.name,
        pick=options.pick,
        why=chosen.why,
        replicate=chosen.replicate,
        refit=options.refit,
        half=None if training.half is None else rows_of_half(len(data.train)),
        command=_command(chosen, options),
        data=data.name,
        content_hash=data.content_hash,
        asked=loaded.asked,
        licence=loaded.licence,
        rows={split: len(getattr(data, split)) for split in SPLITS},
        rates={split: _rates(data, split) for split in SPLITS},
        chosen_epochs=dict(result.chosen_epochs),
        figures=tuple(_figures(chosen, result, refitted=options.refit is not None)),
        equal=repeat.equal,
        farthest=repeat.farthest,
        parameters=result.parameters,
        latency=chosen.latency,
        seconds=chosen.seconds,
        machine=provenance(training.runtime.device).machine,
        licence_of_model=options.licence or OTHER,
    )


def _command(chosen: ChosenArm, options: argparse.Namespace) -> str:
    """That repeats the export, wherever its database is, and whatever is added to the study."""
    words = ["python", "-m", "studies.export", options.study]
    words += ["--pick", f"arm:{chosen.arm.name}", "--replicate", str(chosen.replicate)]
    words += ["--refit", options.refit] if options.refit else []
    words += ["--score", options.score] if options.score else []
    words += ["--example-rows"] if options.example_rows else []
    words += ["--licence", options.licence] if options.licence else []
    return shlex.join([*words, "--out", "model"])


def _rates(data: Dataset, split: str) -> dict[str, float]:
    """Task -> its mean label among the rows on which it is observed."""
    labels_NK = getattr(data, split).labels
    return {
        task.name: float(np.nanmean(labels_NK[:, k], dtype=np.float64))
        for k, task in enumerate(data.schema.tasks)
    }


def _figures(chosen: ChosenArm, result: TrainingResult, refitted: bool) -> Iterator[ModelFigure]:
    """The study's, each beside that of the weights in the folder.

    Weights that were trained on validation have none there.
    """
    now = at_chosen(result)
    for figure in chosen.figures:
        trained_on = refitted and figure.split == "valid"
        this = None if trained_on else now.get((figure.split, figure.task, figure.metric))
        yield replace(figure, this=this)
