"""Shows a study's trainings as trials of an Optuna study in the same database.

Samplers and optuna-dashboard read these; our own tables hold the numbers. Only this file opens
Optuna's storage.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from fsmd.errors import UserError
from fsmd.tasks import MEAN, Task, targets
from fsmd.training import TrainingResult
from search_spaces import Value
from search_spaces.axes import AXES, contains
from studies.definition import Study
from studies.objectives.cost import OfTraining
from studies.objectives.objective import Objective, of_target
from studies.planner.design import Cell
from studies.store.database import creating

_OWN = ("arm", "replicate", "seed", "run", "costs")
"""User attributes of every trial of ours; the others are the cell's notes."""


@dataclass(frozen=True)
class StoredTrial:
    """The last trial of a cell. Of a search, replicate 0 is the search's own seed."""

    arm: str
    replicate: int
    params: Mapping[str, Value]
    state: str
    """RUNNING, COMPLETE, PRUNED or FAIL."""
    run_id: str
    notes: Mapping[str, Any]
    costs: Mapping[str, float]


@dataclass
class Mirror:
    """The Optuna study of one of ours; see `open_mirror`."""

    study: optuna.Study
    tasks: tuple[Task, ...]
    objectives: tuple[Objective, ...]
    axes: Mapping[str, BaseDistribution]
    end_costs: Mapping[str, OfTraining]

    @property
    def name(self) -> str:
        """Ours and Optuna's study have one name."""
        return self.study.study_name

    def open(self, cell: Cell) -> FrozenTrial:
        """The cell's running trial; a new one where there is none."""
        trial = self._trials.get(_key(cell))
        if trial is None or trial.state.is_finished():
            trial = self._trials[_key(cell)] = self._start(cell)
        return trial

    def tell(self, cell: Cell, result: TrainingResult | None) -> None:
        """Tell the trial each objective's value, or FAIL without a result; never twice."""
        state = TrialState.FAIL if result is None else TrialState.COMPLETE
        trial = self._trials.get(_key(cell))
        if trial is None or trial.state != state:
            self._end(cell, state, self.values(cell, result) if result else None)

    def prune(self, cell: Cell) -> None:
        """Tell the trial that nothing goes on with it."""
        self._end(cell, TrialState.PRUNED, None)

    def values(self, cell: Cell, result: TrainingResult) -> list[float]:
        """Each objective's value: by validation at the chosen epochs, and what it costs."""
        figures_K = [result.value("valid", task.name, task.metric) for task in self.tasks]
        ended = {key: of_training(result) for key, of_training in self.end_costs.items()}
        costs = {**ended, **cell.costs}
        return [
            costs[objective.key] if objective.is_cost else objective.value(figures_K)
            for objective in self.objectives
        ]

    def _end(self, cell: Cell, state: TrialState, values: list[float] | None) -> None:
        self._trials[_key(cell)] = self.study.tell(self.open(cell).number, values, state)

    def _start(self, cell: Cell) -> FrozenTrial:
        params = dict(cell.params)
        self.study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=params,
                distributions={name: self.axes[name] for name in params},
                user_attrs={
                    "arm": cell.arm,
                    "replicate": cell.replicate,
                    "seed": cell.training.seed,
                    "run": cell.training.id,
                    **({"costs": dict(cell.costs)} if cell.costs else {}),
                    **cell.notes,
                },
            )
        )
        return _last(self.study)[_key(cell)]

    @cached_property
    def _trials(self) -> dict[tuple[str, int], FrozenTrial]:
        """The last trial of each cell; a running one was cut off and is taken up again."""
        return _last(self.study)


def _key(cell: Cell) -> tuple[str, int]:
    return cell.arm, cell.replicate


def open_mirror(
    engine: sa.Engine,
    name: str,
    tasks: tuple[Task, ...],
    objectives: tuple[Objective, ...],
    axes: Mapping[str, BaseDistribution] = AXES,
    *,
    end_costs: Mapping[str, OfTraining] | None = None,
) -> Mirror:
    """The Optuna study of this name in the same database, made where there is none."""
    with creating(engine):
        study = optuna.create_study(
            storage=_storage(engine),
            study_name=name,
            directions=["maximize" if o.higher else "minimize" for o in objectives],
            load_if_exists=True,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.label for objective in objectives])
    return Mirror(study, tasks, objectives, _grown(engine, study, axes), end_costs or {})


def task_objectives(tasks: tuple[Task, ...]) -> tuple[Objective, ...]:
    """Of a study, whose arms are given: each task's figure alone."""
    return tuple(of_target(target) for target in targets(tasks) if target.key != MEAN)


def stored_study(engine: sa.Engine, name: str) -> optuna.Study:
    """The Optuna study of a study that was run."""
    return optuna.load_study(study_name=name, storage=_storage(engine))


def stored_trials(engine: sa.Engine, name: str) -> tuple[StoredTrial, ...]:
    """The last trial of each cell, in the order of the first ones; changes nothing."""
    if not sa.inspect(engine).has_table("studies"):
        return ()  # stopped before Optuna made its tables
    storage = RDBStorage(_url(engine), skip_table_creation=True)
    try:
        # Nothing is asked of the sampler; the default would draw a seed.
        sampler = optuna.samplers.RandomSampler(seed=0)
        study = optuna.load_study(study_name=name, storage=storage, sampler=sampler)
        return tuple(map(_read, _last(study).values()))
    except (KeyError, sa.exc.OperationalError):  # stopped before its Optuna study was made
        return ()
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _last(study: optuna.Study) -> dict[tuple[str, int], FrozenTrial]:
    """(arm, replicate) -> the last trial of this cell, in the order of the first ones."""
    return {
        (trial.user_attrs["arm"], trial.user_attrs["replicate"]): trial
        for trial in study.get_trials(deepcopy=False)
        if "arm" in trial.user_attrs
    }


def _read(trial: FrozenTrial) -> StoredTrial:
    attrs = trial.user_attrs
    return StoredTrial(
        arm=attrs["arm"],
        replicate=attrs["replicate"],
        params=trial.params,
        state=trial.state.name,
        run_id=attrs["run"],
        notes={name: value for name, value in attrs.items() if name not in _OWN},
        costs=attrs.get("costs", {}),
    )


def _storage(engine: sa.Engine) -> RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    connect = {"timeout": 60} if engine.dialect.name == "sqlite" else {}
    return RDBStorage(_url(engine), engine_kwargs={"connect_args": connect})


def _url(engine: sa.Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def study_axes(study: Study) -> dict[str, BaseDistribution]:
    """The domain of each parameter that sets a study's arms apart."""
    values: dict[str, dict[Value, None]] = {}
    for name, value in (pair for arm in study.arms for pair in arm.params):
        values.setdefault(name, {})[value] = None
    return {name: _domain(name, tuple(own)) for name, own in values.items()}


def _domain(name: str, values: tuple[Value, ...]) -> BaseDistribution:
    """The axis of this name where it holds the values; else what just holds them."""
    axis = AXES.get(name)
    if axis is not None and all(contains(axis, value) for value in values):
        return axis
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values):
        return CategoricalDistribution(values)
    low, high = min(numbers), max(numbers)
    if all(isinstance(value, int) for value in numbers):
        return IntDistribution(int(low), int(high))
    log = isinstance(axis, FloatDistribution) and axis.log  # which no stored axis may change
    return FloatDistribution(low, high, log=log)


def _grown(
    engine: sa.Engine, study: optuna.Study, axes: Mapping[str, BaseDistribution]
) -> Mapping[str, BaseDistribution]:
    """The axes, each with what is stored of it.

    Optuna refuses a categorical axis that grew, and fractions where whole numbers were. It stores
    a choice as its place in the list, and any number as a fraction, so that a longer list or
    another kind of number leaves the stored values what they are.
    """
    grown, stored = dict(axes), dict[str, BaseDistribution]()
    for trial in study.get_trials(deepcopy=False):
        stored.update(trial.distributions)
    for name, before in stored.items():
        if name in axes:
            grown[name] = wider = _wider(name, before, axes[name])
            categorical = isinstance(wider, CategoricalDistribution) and wider != before
            if categorical or type(wider) is not type(before):
                _replace_domain(engine, study.study_name, name, distribution_to_json(wider))
    return grown


def _wider(name: str, before: BaseDistribution, domain: BaseDistribution) -> BaseDistribution:
    """A domain with the stored and the new values, stored choices first."""
    if isinstance(before, CategoricalDistribution) and isinstance(domain, CategoricalDistribution):
        added = [choice for choice in domain.choices if choice not in before.choices]
        return CategoricalDistribution((*before.choices, *added))
    if type(before) is type(domain):
        return domain
    numbers = IntDistribution | FloatDistribution
    if isinstance(before, numbers) and isinstance(domain, numbers):
        return FloatDistribution(min(before.low, domain.low), max(before.high, domain.high))
    raise UserError(
        f"the values of {name!r} must stay all numbers or not all, as they are stored; keep this "
        "study apart with --name"
    )


def _replace_domain(engine: sa.Engine, study: str, name: str, domain: str) -> None:
    update = sa.text(
        "UPDATE trial_params SET distribution_json = :domain WHERE param_name = :name AND "
        "trial_id IN (SELECT trial_id FROM trials WHERE study_id = "
        "(SELECT study_id FROM studies WHERE study_name = :study))"
    )
    with engine.begin() as connection:
        connection.execute(update, {"domain": domain, "name": name, "study": study})
