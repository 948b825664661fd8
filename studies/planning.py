"""From a definition to the cells of a study: pure functions, no database."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fsmd.config import FSMDConfig, digest, fitted
from fsmd.data.schema import Dataset
from fsmd.task import DataRef, TrainingTask, code_version
from studies.definition import Level, Study
from studies.settings import TrainingSettings


@dataclass(frozen=True)
class Cell:
    """One training of a study: a level and a replicate (from 0), and the task they mean."""

    level: Level
    replicate: int
    task: TrainingTask


def study_name(definition: Study, data: str) -> str:
    """The stored name: studies on other data than the definition's are kept apart."""
    return definition.name if data == definition.data else f"{definition.name}-{data}"


def replicate_seed(study_seed: int, replicate: int) -> int:
    """A 31-bit seed from (study seed, replicate) alone: the same at every level."""
    return int(digest([study_seed, replicate])[:8], 16) >> 1


def base_config(definition: Study, settings: TrainingSettings, data: Dataset) -> FSMDConfig:
    """The base as this data set trains it; without a funnel the chain falls away."""
    return fitted(settings.applied(definition.base), data.schema.funnel)


def fixed_settings(
    definition: Study, data: Dataset, settings: TrainingSettings, seed: int, device: str
) -> dict[str, Any]:
    """What all trainings of a study share; two planners of one study must agree on it."""
    return {
        "base": asdict(base_config(definition, settings, data)),
        "factor": definition.factor.name,
        "data_hash": data.content_hash,
        "epochs": settings.epochs,
        "patience": settings.patience,
        "seed": seed,
        "device": device,
        "code": code_version(),
        "chain_dropped": definition.base.chain and not data.schema.funnel,
    }


def data_facts(data: Dataset) -> dict[str, Any]:
    """What a report says of the data, without opening it."""
    return {
        "tasks": list(data.schema.tasks),
        "funnel": data.schema.funnel,
        "fields": len(data.schema.categorical) + len(data.schema.dense),
        "rows": {"train": len(data.train), "valid": len(data.valid), "test": len(data.test)},
        "reachable": dict(data.reachable) if data.reachable else None,
    }


def cells(
    definition: Study, data: Dataset, settings: Mapping[str, Any], replicates: int
) -> tuple[Cell, ...]:
    """All cells of a study, a whole replicate after the other."""
    ref = DataRef(data.schema.name, data.content_hash, data.path)
    base = dict(settings["base"])
    return tuple(
        Cell(
            level=level,
            replicate=replicate,
            task=TrainingTask(
                config=FSMDConfig.from_dict({**base, definition.factor.name: level}),
                data=ref,
                seed=replicate_seed(settings["seed"], replicate),
                epochs=settings["epochs"],
                patience=settings["patience"],
                device=settings["device"],
            ),
        )
        for replicate in range(replicates)
        for level in definition.factor.levels
    )


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    """Each setting that differs, as `name: stored there, asked now`."""
    before, after = _flat(stored), _flat(asked)
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield f"{name}: {before.get(name)!r} there, {after.get(name)!r} now"


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}.{key}": inner for key, inner in _flat(value).items()})
        else:
            flat[name] = list(value) if isinstance(value, tuple) else value
    return flat
