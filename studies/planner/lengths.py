"""How long trainings take, as far as it is stored; where it is not, by the size of the model."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

import sqlalchemy as sa

from fsmd.baselines import Config
from fsmd.config import FSMDConfig, digest
from fsmd.training import Training
from studies.store.faults import patient
from studies.store.tables import RUNS


class Stored(NamedTuple):
    """What is stored of trainings on some data, by the digests of their configurations."""

    whole: Mapping[str, float]
    """Median seconds of those with the settings of now, to where they ended."""
    of_epoch: Mapping[str, float]
    """Median seconds of an epoch of whatever has ended."""


NOTHING = Stored({}, {})


@patient
def read_stored(
    engine: sa.Engine, data_hashes: Collection[str], planned: Sequence[Training]
) -> Stored:
    """Of all trainings on these data; planned: those that are as they would be now."""
    query = sa.select(RUNS.c.id, RUNS.c.config_hash, RUNS.c.seconds, RUNS.c.epochs)
    query = query.where(RUNS.c.status == "done", RUNS.c.data_hash.in_(data_hashes))
    same, whole, of_epoch = {t.id for t in planned}, _Times(list), _Times(list)
    with engine.connect() as connection:
        for run_id, config, seconds, epochs in connection.execute(query):
            of_epoch[config].append(seconds / epochs)
            if run_id in same:
                whole[config].append(seconds)
    medians = ({key: median(values) for key, values in each.items()} for each in (whole, of_epoch))
    return Stored(*medians)


_Times = defaultdict[str, list[float]]


def expected(stored: Stored, trainings: Sequence[Training]) -> dict[str, float]:
    """Identity of a training -> the seconds that it will probably take, for an order of them.

    Of a model of which nothing is stored, by its `work`, and what the others take for theirs.
    """
    hashes = {t.id: config_hash(t) for t in trainings}
    works = {t.id: t.epochs * work(t.config) for t in trainings}
    known = {t.id: _stored_seconds(t, hashes[t.id], stored) for t in trainings}
    rates = [s / works[id] for id, s in known.items() if s is not None and works[id]]
    rate = median(rates) if rates else 1.0
    return {id: rate * works[id] if s is None else s for id, s in known.items()}


def _stored_seconds(training: Training, config: str, stored: Stored) -> float | None:
    if config in stored.whole:
        return stored.whole[config]
    epoch = stored.of_epoch.get(config)
    return None if epoch is None else training.epochs * epoch


def config_hash(training: Training) -> str:
    """Of its configuration, as its row has it."""
    return digest(training.identity["config"])


def work(config: Config, tasks: int = 2, inputs: int = 128) -> float:
    """Multiplications that a network takes for a row, about; a baseline's are few.

    inputs: the width of all fields' embeddings together, for which no data set is opened here.
    """
    if not isinstance(config, FSMDConfig):
        return 0.0
    shared = config.expert_count - config.own_count
    experts = {"experts": config.expert_count, "extraction": shared + tasks * config.own_count}
    networks = {"bottom": 1, **experts}.get(config.sharing, tasks)
    first = (inputs, *config.bottom)
    bodies = networks * (
        _products((first[-1], *config.layers))
        + (config.extraction_levels - 1) * _products((config.layers[-1], *config.layers))
    )
    towers = tasks * _products((config.layers[-1], *config.tower_dims, 1))
    return float(_products(first) + bodies + towers)


def _products(widths: Sequence[int]) -> int:
    return sum(a * b for a, b in pairwise(widths))
