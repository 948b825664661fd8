"""What a stored search tried: its Optuna trials, read without changing them."""

from collections.abc import Mapping
from dataclasses import dataclass

import optuna
import sqlalchemy as sa
from optuna.storages import RDBStorage

from search_spaces import Level


@dataclass(frozen=True)
class StoredTrial:
    """A cell's trial: replicate 0 is the search's, 1, 2, ... are fresh seeds."""

    level: str
    replicate: int
    params: Mapping[str, Level]
    state: str
    """RUNNING, COMPLETE, PRUNED (stopped by the pruner) or FAIL."""
    cost: float | None
    """The third objective, the lower the better; None where there is none."""


def stored_trials(engine: sa.Engine, name: str) -> tuple[StoredTrial, ...]:
    """The last trial of each cell, in the order in which the cells were proposed."""
    url = engine.url.render_as_string(hide_password=False)
    storage = RDBStorage(url, skip_table_creation=True)
    try:
        study = optuna.load_study(study_name=name, storage=storage, sampler=_NO_SAMPLER)
        found: dict[tuple[str, int], StoredTrial] = {}
        for trial in study.get_trials(deepcopy=False):
            if "replicate" in trial.user_attrs:
                made = _read(trial)
                found[made.level, made.replicate] = made  # a key keeps its first place
        return tuple(found.values())
    except (KeyError, sa.exc.OperationalError):  # stopped before its Optuna study was made
        return ()
    finally:
        storage.remove_session()
        storage.engine.dispose()


_NO_SAMPLER = optuna.samplers.RandomSampler(seed=0)
"""Nothing is asked; the default would draw a seed."""


def _read(trial: optuna.trial.FrozenTrial) -> StoredTrial:
    attrs = trial.user_attrs
    return StoredTrial(
        attrs["level"], attrs["replicate"], dict(trial.params), trial.state.name,
        attrs.get("cost"),
    )  # fmt: skip
