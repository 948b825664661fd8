"""Shows a study's trainings as trials of an Optuna study in the same database.

Samplers and optuna-dashboard read these; our own tables hold the numbers. Only this file opens
Optuna's storage.
"""

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
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
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from fsmd.tasks import MEAN, Task, targets
from fsmd.training import TrainingResult
from search_spaces import Value
from search_spaces.axes import AXES, contains
from studies.definition import Study
from studies.objectives.objective import Objective, of_target
from studies.planner.design import Cell
from studies.store.database import creating

_OWN = ("arm", "replicate", "seed", "run", "costs")
"""User attributes of every trial of ours; the others are the cell's notes."""


@dataclass(frozen=True)
class StoredTrial:
    """The last trial of a cell. Of a search, replicate 0 is the search's own seed."""

    number: int
    arm: str
    replicate: int
    params: Mapping[str, Value]
    state: str
    """RUNNING, COMPLETE, PRUNED (stopped by the pruner) or FAIL."""
    run_id: str
    notes: Mapping[str, Any]
    costs: Mapping[str, float]
    """Key of an objective -> its value, known before the training."""


@dataclass
class Mirror:
    """The Optuna study of one of ours; see `open_mirror`."""

    study: optuna.Study
    tasks: tuple[Task, ...]
    objectives: tuple[Objective, ...]
    axes: Mapping[str, BaseDistribution]
    """Each parameter's domain."""
    end_costs: Mapping[str, Callable[[TrainingResult], float]] = field(default_factory=dict)
    """Key of an objective -> how it is read off a training that ended."""

    @property
    def name(self) -> str:
        """Ours and Optuna's study have one name."""
        return self.study.study_name

    def open(self, cell: Cell) -> None:
        """Make sure that the cell has a running trial."""
        self._opened(cell)

    def tell(self, cell: Cell, result: TrainingResult | None) -> None:
        """Tell the trial each objective's value, or FAIL without a result; never twice."""
        state = TrialState.FAIL if result is None else TrialState.COMPLETE
        trial = self._trials.get(_key(cell))
        if trial is not None and trial.state == state:
            return
        values = None if result is None else self.values(cell, result)
        self._end(cell, state, values)

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

    def trials(self) -> tuple[StoredTrial, ...]:
        """The last trial of each cell, in the order in which the cells came."""
        return _last(self.study.get_trials(deepcopy=False))

    def _opened(self, cell: Cell) -> FrozenTrial:
        """The cell's running trial; a new one where there is none."""
        trial = self._trials.get(_key(cell))
        if trial is None or trial.state.is_finished():
            trial = self._trials[_key(cell)] = self._start(cell)
        return trial

    def _end(self, cell: Cell, state: TrialState, values: list[float] | None) -> None:
        number = self._opened(cell).number
        self._trials[_key(cell)] = self.study.tell(number, values, state)

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
        return next(
            trial
            for trial in reversed(self.study.get_trials(deepcopy=False))
            if trial.user_attrs.get("run") == cell.training.id
        )

    @cached_property
    def _trials(self) -> dict[tuple[str, int], FrozenTrial]:
        """The last trial of each cell; a running one was cut off and is taken up again."""
        return {
            (trial.user_attrs["arm"], trial.user_attrs["replicate"]): trial
            for trial in self.study.get_trials(deepcopy=False)
            if "arm" in trial.user_attrs
        }


def _key(cell: Cell) -> tuple[str, int]:
    return cell.arm, cell.replicate


def open_mirror(
    engine: sa.Engine,
    name: str,
    tasks: tuple[Task, ...],
    objectives: tuple[Objective, ...],
    axes: Mapping[str, BaseDistribution] = AXES,
    *,
    end_costs: Mapping[str, Callable[[TrainingResult], float]] | None = None,
) -> Mirror:
    """The Optuna study of this name in the same database, made where there is none."""
    maximise, minimise = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    with creating(engine):
        study = optuna.create_study(
            storage=_storage(engine),
            study_name=name,
            directions=[maximise if o.higher else minimise for o in objectives],
            load_if_exists=True,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([objective.label for objective in objectives])
    grown = _grown(engine, study, axes)
    return Mirror(study, tasks, objectives, grown, end_costs or {})


def task_objectives(tasks: tuple[Task, ...]) -> tuple[Objective, ...]:
    """Of a study, whose arms are given: each task's figure alone."""
    return tuple(of_target(target) for target in targets(tasks) if target.key != MEAN)


def stored_study(engine: sa.Engine, name: str) -> optuna.Study:
    """The Optuna study of a study that was run."""
    return optuna.load_study(study_name=name, storage=_storage(engine))


def stored_trials(engine: sa.Engine, name: str) -> tuple[StoredTrial, ...]:
    """As `Mirror.trials`, of a stored study and without changing anything."""
    if not sa.inspect(engine).has_table("studies"):
        return ()  # stopped before Optuna made its tables
    with _reading(engine) as storage:
        try:
            study = optuna.load_study(study_name=name, storage=storage, sampler=_NO_SAMPLER)
            return _last(study.get_trials(deepcopy=False))
        except (KeyError, sa.exc.OperationalError):  # stopped before its Optuna study was made
            return ()


_NO_SAMPLER = optuna.samplers.RandomSampler(seed=0)
"""Nothing is asked; the default would draw a seed."""


def _last(trials: Iterable[FrozenTrial]) -> tuple[StoredTrial, ...]:
    last: dict[tuple[str, int], StoredTrial] = {}
    for trial in trials:
        if "arm" in trial.user_attrs:
            read = _read(trial)
            last[read.arm, read.replicate] = read  # a key keeps its first place
    return tuple(last.values())


def _read(trial: FrozenTrial) -> StoredTrial:
    attrs = trial.user_attrs
    return StoredTrial(
        number=trial.number,
        arm=attrs["arm"],
        replicate=attrs["replicate"],
        params=dict(trial.params),
        state=trial.state.name,
        run_id=attrs["run"],
        notes={name: value for name, value in attrs.items() if name not in _OWN},
        costs=attrs.get("costs", {}),
    )


def _storage(engine: sa.Engine) -> RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    connect = {"timeout": 60} if engine.dialect.name == "sqlite" else {}
    return RDBStorage(
        engine.url.render_as_string(hide_password=False),
        engine_kwargs={"connect_args": connect},
    )


@contextmanager
def _reading(engine: sa.Engine) -> Iterator[RDBStorage]:
    url = engine.url.render_as_string(hide_password=False)
    storage = RDBStorage(url, skip_table_creation=True)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


# ------------------------------------------------------------------------------------------
# Domains
# ------------------------------------------------------------------------------------------


def study_axes(study: Study) -> dict[str, BaseDistribution]:
    """The domain of each parameter that sets a study's arms apart."""
    values: dict[str, list[Value]] = {}
    for arm in study.arms:
        for name, value in arm.params:
            values.setdefault(name, []).append(value)
    return {name: _domain(name, list(dict.fromkeys(own))) for name, own in values.items()}


def _domain(name: str, values: list[Value]) -> BaseDistribution:
    """The axis of this name where it holds the values; else what just holds them."""
    axis = AXES.get(name)
    if axis is not None and all(contains(axis, value) for value in values):
        return axis
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values):
        return CategoricalDistribution(values)
    if all(isinstance(value, int) for value in numbers):
        return IntDistribution(int(min(numbers)), int(max(numbers)))
    log = isinstance(axis, FloatDistribution) and axis.log  # which no stored axis may change
    return FloatDistribution(min(numbers), max(numbers), log=log)


def _grown(
    engine: sa.Engine, study: optuna.Study, axes: Mapping[str, BaseDistribution]
) -> Mapping[str, BaseDistribution]:
    """The axes, where stored choices come first and new ones are added behind them.

    Optuna refuses a categorical axis that grew. It stores a choice as its place in the list, so
    that a longer list leaves the stored values what they are.
    """
    stored: dict[str, BaseDistribution] = {}
    for trial in study.get_trials(deepcopy=False):
        stored.update(trial.distributions)
    grown = dict(axes)
    for name, domain in axes.items():
        before = stored.get(name)
        if not isinstance(before, CategoricalDistribution) or before == domain:
            continue
        assert isinstance(domain, CategoricalDistribution)
        added = [choice for choice in domain.choices if choice not in before.choices]
        longer = CategoricalDistribution((*before.choices, *added))
        if added:
            _replace_domain(engine, study.study_name, name, distribution_to_json(longer))
        grown[name] = longer
    return grown


def _replace_domain(engine: sa.Engine, study: str, name: str, domain: str) -> None:
    update = sa.text(
        "UPDATE trial_params SET distribution_json = :domain WHERE param_name = :name AND "
        "trial_id IN (SELECT trial_id FROM trials WHERE study_id = "
        "(SELECT study_id FROM studies WHERE study_name = :study))"
    )
    with engine.begin() as connection:
        connection.execute(update, {"domain": domain, "name": name, "study": study})
