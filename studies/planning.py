"""From a definition to the cells of a study: pure functions, no database."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from fsmd.config import FSMDConfig, digest, fitted
from fsmd.data.schema import Dataset
from fsmd.task import DataRef, TrainingTask, code_version
from studies.definition import Arm, Study
from studies.settings import TrainingSettings

STATED = "stated"
"""The setting that keeps what was to be judged when the study was planned."""
METHODS = "methods"
"""The setting that keeps how a search was run: each way once, the last one last."""
Sets = Mapping[str, Dataset]
"""Name -> encoded data set: the study's own first, then those that some arms bring."""


@dataclass(frozen=True)
class Cell:
    """One training of a study: an arm and a replicate (from 0), and the task they mean."""

    arm: Arm
    replicate: int
    task: TrainingTask
    notes: Mapping[str, Any] = field(default_factory=dict)
    """More user attributes of its trial."""
    cost: tuple[float, ...] = ()
    """A third objective, beside the tasks' AUCs."""

    @property
    def level(self) -> str:
        """The arm's name."""
        return self.arm.name


@dataclass(frozen=True)
class Design:
    """The arms of a study as a data set can train them."""

    arms: tuple[Arm, ...]
    same: Mapping[str, str]
    """Arm left out -> the arm that is the same model on this data."""
    chain_dropped: bool


def study_name(definition: Study, data: str) -> str:
    """The stored name: studies on other data than the definition's are kept apart."""
    return name_on(definition.name, data, definition.data)


def name_on(name: str, data: str, default: str) -> str:
    """`name`, with the data set's where it is not the default."""
    if data == default:
        return name
    return f"{name}-{slug(data)}"


def slug(data: str) -> str:
    """A data set's name as a part of a file's.

    >>> slug("planted:conflict=0.5,rows=1000")
    'planted-conflict-0.5-rows-1000'
    """
    return data.translate(str.maketrans(":=,", "---"))


def replicate_seed(study_seed: int, replicate: int, stream: int = 0) -> int:
    """A 31-bit seed from (study seed, replicate, stream) alone: the same at every arm."""
    key = [study_seed, replicate, stream] if stream else [study_seed, replicate]
    return int(digest(key)[:8], 16) >> 1


def design(definition: Study, settings: TrainingSettings, sets: Sets) -> Design:
    """Each arm with the data set's settings, save those it sets apart itself; without a funnel
    the chain falls away.

    An arm that is then the same as an earlier one (FSMD without its chain is FS) is left out.
    """
    main = next(iter(sets))
    arms: list[Arm] = []
    same: dict[str, str] = {}
    first: dict[tuple[FSMDConfig, str, int], str] = {}
    dropped = False
    for arm in definition.arms:
        schema = sets[arm.data or main].schema
        config = fitted(_trained(arm, settings), schema.funnel)
        dropped |= config.chain != arm.config.chain
        key = (config, arm.data or main, arm.stream)
        if key in first:
            same[arm.name] = first[key]
        else:
            first[key] = arm.name
            arms.append(replace(arm, config=config))
    return Design(tuple(arms), same, dropped)


def _trained(arm: Arm, settings: TrainingSettings) -> FSMDConfig:
    config = settings.applied(arm.config)
    own = {name: getattr(arm.config, name) for name, _ in arm.params if hasattr(config, name)}
    return replace(config, **own)


def fixed_settings(
    definition: Study, settings: TrainingSettings, sets: Sets, seed: int, device: str
) -> dict[str, Any]:
    """What a study's trainings are; two planners of one study must agree on it."""
    main = next(iter(sets))
    made = design(definition, settings, sets)
    return {
        "arms": {
            arm.name: {
                "config": asdict(arm.config),
                "data": arm.data or main,
                "stream": arm.stream,
            }
            for arm in made.arms
        },
        "same": dict(made.same),
        "data_hashes": {name: data.content_hash for name, data in sets.items()},
        **trained_with(settings, seed, device),
        "chain_dropped": made.chain_dropped,
        STATED: stated(definition),
    }


def trained_with(settings: TrainingSettings, seed: int, device: str) -> dict[str, Any]:
    """What all trainings share, whatever is varied."""
    return {
        "epochs": settings.epochs,
        "patience": settings.patience,
        "seed": seed,
        "device": device,
        "code": code_version(),
    }


def stated(definition: Study) -> dict[str, Any]:
    """What is to be judged, as JSON gives it back: claims by id, the reference, the margin."""
    claims = {
        claim.id: {
            "text": claim.text,
            "rules": [{"rule": type(rule).__name__, **asdict(rule)} for rule in claim.rules],
        }
        for claim in definition.claims
    }
    fixed = {"claims": claims, "reference": definition.reference, "margin": definition.margin}
    known: dict[str, Any] = json.loads(json.dumps(fixed))
    return known


def going_on(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a study that goes on: as asked now, stated as it was when it was planned.

    Of a study that was planned before statements were kept, nothing is known.
    """
    kept = {STATED: stored[STATED]} if STATED in stored else {}
    if METHODS in asked:
        before = [way for way in stored.get(METHODS, []) if way not in asked[METHODS]]
        kept[METHODS] = [*before, *asked[METHODS]]
    return {name: value for name, value in asked.items() if name != STATED} | kept


def data_facts(sets: Sets) -> dict[str, Any]:
    """What a report says of the data, without opening it."""
    schema = next(iter(sets.values())).schema
    return {
        "tasks": list(schema.tasks),
        "funnel": schema.funnel,
        "sets": {
            name: {
                "fields": len(data.schema.categorical) + len(data.schema.dense),
                "rows": {"train": len(data.train), "valid": len(data.valid),
                         "test": len(data.test)},
                "reachable": dict(data.reachable) if data.reachable else None,
            }
            for name, data in sets.items()
        },
    }  # fmt: skip


def cells(
    definition: Study, sets: Sets, settings: Mapping[str, Any], replicates: int
) -> tuple[Cell, ...]:
    """All cells of a study, a whole replicate after the other."""
    refs = {name: DataRef(name, data.content_hash, data.path) for name, data in sets.items()}
    arms = {arm.name: arm for arm in definition.arms}
    return tuple(
        Cell(
            arm=arms[name],
            replicate=replicate,
            task=TrainingTask(
                config=FSMDConfig.from_dict(arm["config"]),
                data=refs[arm["data"]],
                seed=replicate_seed(settings["seed"], replicate, arm["stream"]),
                epochs=settings["epochs"],
                patience=settings["patience"],
                device=settings["device"],
            ),
        )
        for replicate in range(replicates)
        for name, arm in settings["arms"].items()
    )


def differences(stored: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[str]:
    """Each setting that differs, as `name: stored there, asked now`.

    An arm that only one side has is no difference: a study may grow. Nor is what was stated: it
    trains nothing, and a report tells what was stated late. Nor is how a search proposes and
    stops: its report names each way. A setting that differs in the same way at several arms is
    told once.
    """
    apart: dict[str, Any] = {"arms": {}, "same": {}, STATED: {}, METHODS: []}
    shared = {**stored, **apart}, {**asked, **apart}
    told = [f"{name}: {there!r} there, {now!r} now" for name, there, now in _unlike(*shared)]
    before, after = stored.get("arms", {}), asked.get("arms", {})
    for arm in (arm for arm in before if arm in after):
        flat = ({**a.get("config", {}), "data": a.get("data"), "stream": a.get("stream")}
                for a in (before[arm], after[arm]))  # fmt: skip
        told += [f"{name}: {there!r} there, {now!r} now" for name, there, now in _unlike(*flat)]
    yield from dict.fromkeys(told)


def _unlike(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    one, other = _flat(before), _flat(after)
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            yield name, one.get(name), other.get(name)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}.{key}": inner for key, inner in _flat(value).items()})
        else:
            flat[name] = list(value) if isinstance(value, tuple) else value
    return flat
