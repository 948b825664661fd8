"""How much memory a training takes: an estimate that is rather too high."""

from functools import lru_cache
from itertools import pairwise
from pathlib import Path

from fsmd.config import FSMDConfig
from fsmd.data.encoded import open_encoded
from fsmd.data.schema import LARGE, Schema
from fsmd.training import Training

LIBRARIES = 512 * 2**20
"""Of a process that trains something small, what it shares with others included."""
CUDA = 2 * 2**30
"""Of main memory more, for a process that uses a GPU."""
COPIES = 8
"""Of each parameter: weights, gradients, two moments, the chosen epoch's, a checkpoint's."""
KEPT = 3
"""Copies of each parameter in main memory, where the training is on a GPU."""
OF_A_STEP = 6
"""Numbers that a step keeps for each unit and row; an evaluation keeps one."""
EVALUATED = 8192
"""Rows at once: `fsmd.forward.EVALUATION_BATCH`, without torch."""
OF_A_TABLE = 4
"""Times as much as the splits, that a baseline makes of them."""
NUMBER = 4
"""Bytes."""


def memory_of(training: Training) -> int:
    """Bytes of main memory of the process that trains it.

    Raises DamagedDataError where its data, first asked of here, is not as it was encoded.
    """
    (schema, held, rows), config = _facts(training.data.path), training.config
    if not isinstance(config, FSMDConfig):
        return LIBRARIES + OF_A_TABLE * held
    parameters, units = _size(config, schema)
    assert config.batch_size is not None, "a training knows its batch size"
    kept = max(OF_A_STEP * min(config.batch_size, rows[0]), min(EVALUATED, max(rows)))
    places = 1 if training.why_alone else training.runtime.stack
    if training.runtime.kind == "cuda":
        return LIBRARIES + CUDA + held + places * NUMBER * KEPT * parameters
    return LIBRARIES + held + places * NUMBER * (COPIES * parameters + kept * units)


@lru_cache(maxsize=64)  # it is asked of each training
def _facts(path: Path) -> tuple[Schema, int, list[int]]:
    """Of encoded data: schema, bytes that a process holds of it, rows of each split."""
    data = open_encoded(path)
    splits = (data.train, data.valid, data.test)
    return data.schema, sum(min(s.nbytes, LARGE) for s in splits), list(map(len, splits))


def _size(config: FSMDConfig, schema: Schema) -> tuple[int, int]:
    """Parameters, and units whose values a pass keeps for each row, both about."""
    tasks, size = len(schema.tasks), config.embedding_size
    width = len(schema.categorical) * size + len(schema.dense)
    own = sum(field.cardinality for field in schema.categorical if field.share is None)
    copies = tasks if config.sharing == "none" else 1
    networks = {"experts": config.expert_count, "bottom": 1}.get(config.sharing, tasks)
    if config.sharing == "extraction":
        shared = config.expert_count - config.own_count
        networks = config.extraction_levels * (shared + tasks * config.own_count)
    stack, last = _layers((width, *config.bottom, *config.layers)), config.layers[-1]
    tower = _layers((last, *config.tower_dims))
    parameters = copies * own * (size + 1) + networks * stack + tasks * tower
    units = sum((*config.bottom, *config.layers))
    return parameters, 2 * copies * width + networks * units + tasks * sum(config.tower_dims)


def _layers(widths: tuple[int, ...]) -> int:
    return sum(one * other for one, other in pairwise(widths))
