"""Shows a study's trainings as trials of an Optuna study in the same database.

Our own tables hold the numbers; optuna-dashboard reads these trials, and nothing else does. They
are made from our tables again where they are anything else. Only this file opens Optuna's storage.
"""

import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import optuna
import sqlalchemy as sa
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from fsmd.baselines import Baseline
from fsmd.errors import UserError
from fsmd.tasks import MEAN, Task, targets
from fsmd.training import TrainingResult
from search_spaces import Value
from search_spaces.axes import AXES, contains
from studies.definition import Study
from studies.objectives.cost import OfTraining
from studies.objectives.objective import Objective, of_target
from studies.planner.design import Cell
from studies.store.engines import engine_options, guards_of
from studies.store.faults import patient, shown
from studies.store.locks import creating
from studies.store.means import Means
from studies.store.runs import known_results

_OWN = ("arm", "replicate", "seed", "run")
"""User attributes of every training's trial."""
FRESH = "{} (fresh seeds)"
"""The name of the Optuna study of a search's trainings on fresh seeds: they are no proposals, and
what is best by one lucky seed must not stand beside them. No study of ours can have this name."""
MEANS = "{} (means)"
"""Likewise of what a report compares; see `show_means`."""


_STATES: Mapping[str, TrialState] = {
    **dict.fromkeys(("done", "ended"), TrialState.COMPLETE),
    **dict.fromkeys(("failed", "lost"), TrialState.FAIL),
    "stopped": TrialState.PRUNED,
}
"""What became of a training, or of a search's attempt -> the state of its trial; else it runs."""


@dataclass
class Mirror:
    """The Optuna study of one of ours; see `open_mirror`."""

    engine: sa.Engine
    name: str
    """Ours and Optuna's study have one name."""
    tasks: tuple[Task, ...]
    objectives: tuple[Objective, ...]
    axes: Mapping[str, BaseDistribution]
    end_costs: Mapping[str, OfTraining]
    is_search: bool
    """Whether a trial's number is its attempt's, and fresh seeds are a study of their own."""
    studies: dict[str, optuna.Study]
    """By their names: the study, and that of a search's fresh seeds once there are some."""

    @property
    def study(self) -> optuna.Study:
        """Optuna's study; of a search, that of its own seed."""
        return self.studies[self.name]

    @patient
    def show(self, known: Sequence[tuple[Cell, str]]) -> None:
        """Make the trials what our tables know: these cells, and what became of each.

        Writes nothing where they are that, else all of a study anew, so that nothing is left over
        but what runs and no table of ours knows yet. A search's attempts are all known.
        """
        wanted: dict[str, list[FrozenTrial]] = {name: [] for name in self.studies}
        states = [
            (cell, _STATES.get(status, TrialState.RUNNING))
            for cell, status in known
            if self._shows(cell)
        ]
        done = [cell.training.id for cell, state in states if state == TrialState.COMPLETE]
        results = known_results(self.engine, done)
        for cell, state in states:
            trial = self._trial(cell, state, results.get(cell.training.id))
            wanted.setdefault(self._name_of(cell.replicate), []).append(trial)
        for name, trials in wanted.items():
            there = self._study(name).get_trials(deepcopy=False)
            order: Callable[[list[FrozenTrial]], list[FrozenTrial]] = list
            if not (self.is_search and name == self.name):
                trials, order = [*trials, *self._begun(there, trials)], _by_cell
            if list(map(_shown, order(there))) != list(map(_shown, order(trials))):
                _replace_trials(self.engine, self._study(name), trials)
                self._reload(name)

    def _shows(self, cell: Cell) -> bool:
        """Whether it has a trial: a search's baselines are no points of its space."""
        return not (self.is_search and isinstance(cell.training.config, Baseline))

    def open(self, cell: Cell) -> None:
        """Show that the cell is trained, by its one trial."""
        if self._shows(cell):
            self._open(cell)

    @patient
    def _open(self, cell: Cell) -> FrozenTrial:
        trial, name = self._trials.get(_key(cell)), self._name_of(cell.replicate)
        if trial is None:  # nor is there one of a try that the database cut off
            self._trials = self._read()
            trial = self._trials.get(_key(cell))
        if trial is None:
            study, running = self._study(name), self._trial(cell, TrialState.RUNNING)
            trial_id = study._storage.create_new_trial(study._study_id, running)
            self._trials[_key(cell)] = study._storage.get_trial(trial_id)
        elif trial.state.is_finished():
            _take_up(self.engine, trial)
            self._reload(name)
        return self._trials[_key(cell)]

    @patient
    def tell(self, cell: Cell, result: TrainingResult | None) -> None:
        """Tell the trial each objective's value, or FAIL without a result; never twice."""
        if not self.tells(cell, result is not None):
            values = self.values(cell, result) if result else None
            self._end(self._open(cell), TrialState.COMPLETE if result else TrialState.FAIL, values)

    def tells(self, cell: Cell, done: bool) -> bool:
        """Whether the trial says that the training is done, or else that it failed."""
        trial = self._trials.get(_key(cell))
        state = TrialState.COMPLETE if done else TrialState.FAIL
        return not self._shows(cell) or (trial is not None and trial.state == state)

    @patient
    def prune(self, cell: Cell) -> None:
        """Tell the trial that nothing goes on with it."""
        self._end(self._open(cell), TrialState.PRUNED)

    @patient
    def prune_the_rest(self, paused: Collection[Cell]) -> None:
        """Likewise whatever runs beside these cells: a kill left it, and nobody asks for it."""
        kept = set(map(_key, paused))
        for key, trial in list(self._trials.items()):
            if key not in kept and not trial.state.is_finished():
                self._end(trial, TrialState.PRUNED)

    def values(self, cell: Cell, result: TrainingResult) -> list[float]:
        """Each objective's value: by validation at the chosen epochs, and what it costs."""
        figures_K = [result.value("valid", task.name, task.metric) for task in self.tasks]
        ended = {key: of_training(result) for key, of_training in self.end_costs.items()}
        costs = {**ended, **cell.costs}
        return [
            costs[objective.key] if objective.is_cost else objective.value(figures_K)
            for objective in self.objectives
        ]

    def _end(
        self, trial: FrozenTrial, state: TrialState, values: list[float] | None = None
    ) -> None:
        key = _cell_of(trial)
        study = self._study(self._name_of(key[1]))
        self._trials[key] = study.tell(trial.number, values, state, skip_if_finished=True)

    def _trial(
        self, cell: Cell, state: TrialState, result: TrainingResult | None = None
    ) -> FrozenTrial:
        params = {name: _choice(self.axes[name], value) for name, value in cell.params}
        own = (cell.arm, cell.replicate, cell.training.seed, cell.training.id)
        return create_trial(
            state=state,
            values=self.values(cell, result) if result else None,
            params=params,
            distributions={name: self.axes[name] for name in params},
            user_attrs={
                **dict(zip(_OWN, own, strict=True)),
                **({"costs": dict(cell.costs)} if cell.costs else {}),
            },
        )

    def _begun(
        self, there: Iterable[FrozenTrial], known: Iterable[FrozenTrial]
    ) -> list[FrozenTrial]:
        """Running trials that are none of the known ones, as they could be stored today."""
        cells = {_cell_of(trial) for trial in known}
        return [
            trial
            for trial in there
            if trial.state == TrialState.RUNNING
            and _is_own(trial)
            and _cell_of(trial) not in cells
            and all(self.axes.get(name) == d for name, d in trial.distributions.items())
        ]

    def _name_of(self, replicate: int) -> str:
        """Of the Optuna study that has this replicate."""
        return FRESH.format(self.name) if self.is_search and replicate else self.name

    def _study(self, name: str) -> optuna.Study:
        if name not in self.studies:
            self.studies[name] = _opened(
                self.engine, name, _directions(self.objectives), self.labels
            )
        return self.studies[name]

    @property
    def labels(self) -> list[str]:
        """What the dashboard calls the objectives."""
        return [objective.label for objective in self.objectives]

    @cached_property
    def _trials(self) -> dict[tuple[str, int], FrozenTrial]:
        """The trial of each cell; a running one was cut off and is taken up again."""
        return self._read()

    def _read(self) -> dict[tuple[str, int], FrozenTrial]:
        studies = self.studies.values()
        trials = (trial for study in studies for trial in study.get_trials(deepcopy=False))
        return {_cell_of(trial): trial for trial in trials if _is_own(trial)}

    def _reload(self, name: str) -> None:
        """Optuna keeps what it read of trials that had ended, as if nothing could change them."""
        self.studies[name] = _load(self.engine, name)
        self._trials = self._read()


def _key(cell: Cell) -> tuple[str, int]:
    return cell.arm, cell.replicate


def _cell_of(trial: FrozenTrial) -> tuple[str, int]:
    return trial.user_attrs["arm"], trial.user_attrs["replicate"]


def _is_own(trial: FrozenTrial) -> bool:
    arm, replicate = (trial.user_attrs.get(name) for name in _OWN[:2])
    own = isinstance(arm, str) and isinstance(replicate, int)
    return own and {*_OWN} <= {*trial.user_attrs}


def _by_cell(trials: Iterable[FrozenTrial]) -> list[FrozenTrial]:
    """In an order that does not depend on who was first."""
    return sorted(trials, key=lambda t: str(t.user_attrs))


def _shown(trial: FrozenTrial) -> tuple[Any, ...]:
    """All that is ours of a trial."""
    own = [trial.user_attrs.get(name) for name in (*_OWN, "costs")]
    return own, trial.state, trial.values, trial.params, trial.distributions


@patient
def open_mirror(
    engine: sa.Engine,
    name: str,
    tasks: tuple[Task, ...],
    objectives: tuple[Objective, ...],
    axes: Mapping[str, BaseDistribution] = AXES,
    *,
    end_costs: Mapping[str, OfTraining] | None = None,
    is_search: bool = False,
) -> Mirror:
    """The Optuna study of this name in the same database, made where there is none."""
    mirror = Mirror(
        engine=engine,
        name=name,
        tasks=tasks,
        objectives=objectives,
        axes=axes,
        end_costs=end_costs or {},
        is_search=is_search,
        studies={},
    )
    fresh = [FRESH.format(name)] if is_search else []
    there = _known(engine)
    for own in (name, *(other for other in fresh if other in there)):
        mirror._study(own)
    return mirror


@patient
def check_mirror(engine: sa.Engine, name: str, objectives: Sequence[Objective]) -> None:
    """Refuse a name that an Optuna study has which is none of ours; changes nothing.

    Ours are of these objectives, and each of its trials says which cell it is. Raises UserError.
    """
    tables = sa.inspect(engine).get_table_names()
    if not {"studies", "alembic_version"} <= {*tables}:  # which Optuna makes first and last
        return  # Optuna has no study here
    storage, directions, known = _storage(engine), _directions(objectives), _known(engine)
    own = {name: _OWN, FRESH.format(name): _OWN, MEANS.format(name): _OWN[:1]}
    for study in filter(known.__contains__, own):
        foreign = _foreign(engine, known[study], own[study])
        sought = storage.get_study_directions(known[study])
        if foreign or list(sought) != directions:
            what = (
                f"with trials that are none of ours (trial {foreign[0]})"
                if foreign
                else f"that seeks to {_listed(sought)}, not {_listed(directions)}"
            )
            raise UserError(
                f"the database has an Optuna study {study!r} {what}; keep this "
                "one apart with --name or another --storage, or delete that one: optuna "
                "delete-study"
            )


@patient
def show_means(engine: sa.Engine, name: str, means: Means) -> None:
    """A second Optuna study: a trial for each arm, told its mean over seeds.

    So that what Optuna finds best is best by more than one seed's luck, as in the report. There
    is no such study where there is nothing to show.
    """
    own, known = MEANS.format(name), _known(engine)
    if not means.of_arms:
        if own in known:
            _storage(engine).delete_study(known[own])
        return
    domains = _domains(pair for mean in means.of_arms for pair in mean.params.items())
    directions = [_direction(higher) for higher in means.higher]
    study = _opened(engine, own, directions, list(means.labels))
    wanted = [
        create_trial(
            values=list(mean.values),
            params=dict(mean.params),
            distributions={name: domains[name] for name in mean.params},
            user_attrs={"arm": mean.arm, **mean.said},
        )
        for mean in means.of_arms
    ]

    def shown(trial: FrozenTrial) -> tuple[Any, ...]:
        return trial.user_attrs, trial.values, trial.params, trial.distributions

    if list(map(shown, study.get_trials(deepcopy=False))) != list(map(shown, wanted)):
        _replace_trials(engine, study, wanted)


def task_objectives(tasks: tuple[Task, ...]) -> tuple[Objective, ...]:
    """Of a study, whose arms are given: each task's figure alone."""
    return tuple(of_target(target) for target in targets(tasks) if target.key != MEAN)


@patient
def stored_studies(engine: sa.Engine, name: str) -> dict[str, optuna.Study]:
    """The Optuna studies of a study that was run, by their names, its own first."""
    there = _known(engine)
    own = (name, FRESH.format(name), MEANS.format(name))
    return {each: _load(engine, each) for each in own if each in there}


def _opened(
    engine: sa.Engine,
    name: str,
    directions: list[StudyDirection],
    labels: list[str],
) -> optuna.Study:
    study = optuna.create_study(
        storage=_storage(engine),
        study_name=name,
        directions=directions,
        sampler=_no_sampler(),
        load_if_exists=True,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            if study.metric_names != labels:
                study.set_metric_names(labels)
        except UserError:
            raise
        except ValueError as error:
            raise UserError(
                f"Optuna cannot read its study {name!r} ({error}); delete it, then it is made "
                "again: optuna delete-study"
            ) from error
    try:
        study.get_trials(deepcopy=False)
    except UserError:
        raise
    except Exception:  # Optuna raises anything for rows that it cannot read; they are made again
        _replace_trials(engine, study, ())
    return study


@patient
def _known(engine: sa.Engine) -> dict[str, int]:
    """Name and number of each Optuna study; Optuna would read all that is stored of each."""
    _storage(engine)
    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT study_name, study_id FROM studies"))
        return {row.study_name: row.study_id for row in rows}


@patient
def _foreign(engine: sa.Engine, study_id: int, attributes: Sequence[str]) -> list[int]:
    """Numbers of a study's trials that lack one of these, whatever else is stored of them."""
    trials = sa.table("trials", *map(sa.column, ("trial_id", "study_id", "number")))
    has = sa.table("trial_user_attributes", *map(sa.column, ("trial_id", "key")))
    own = (has.c.trial_id == trials.c.trial_id) & has.c.key.in_(attributes)
    count = sa.select(sa.func.count()).select_from(has).where(own).scalar_subquery()
    foreign = (trials.c.study_id == study_id) & (count < len(attributes))
    with engine.connect() as connection:
        numbers = sa.select(trials.c.number).where(foreign).order_by(trials.c.number)
        return list(connection.scalars(numbers))


def _load(engine: sa.Engine, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=_storage(engine), sampler=_no_sampler())


def _no_sampler() -> optuna.samplers.BaseSampler:
    """Nothing is asked of it; the default would draw a seed."""
    return optuna.samplers.RandomSampler(seed=0)


def _directions(objectives: Iterable[Objective]) -> list[StudyDirection]:
    return [_direction(objective.higher) for objective in objectives]


def _direction(higher: bool) -> StudyDirection:
    return StudyDirection.MAXIMIZE if higher else StudyDirection.MINIMIZE


def _listed(directions: Iterable[StudyDirection]) -> str:
    return " and ".join(direction.name.lower() for direction in directions)


_OF_TRIALS = (
    *("trial_user_attributes", "trial_system_attributes", "trial_params", "trial_values"),
    *("trial_intermediate_values", "trial_heartbeats"),
)
"""Optuna's tables that hold what a trial has."""


@patient
def _replace_trials(engine: sa.Engine, study: optuna.Study, trials: Iterable[FrozenTrial]) -> None:
    """Optuna deletes only whole studies, with what a person noted there; so this deletes rows.

    Trials are numbered by the rows before them, so these count from 0.
    """
    own = "SELECT trial_id FROM trials WHERE study_id = :study"
    with engine.begin() as connection:
        for table in _OF_TRIALS:
            delete = sa.text(f"DELETE FROM {table} WHERE trial_id IN ({own})")
            connection.execute(delete, {"study": study._study_id})
        delete = sa.text("DELETE FROM trials WHERE study_id = :study")
        connection.execute(delete, {"study": study._study_id})
    study.add_trials(trials)


@patient
def _take_up(engine: sa.Engine, trial: FrozenTrial) -> None:
    """Let a trial that has ended run again; Optuna would start another one, with a new number."""
    own = {"trial": trial._trial_id}
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM trial_values WHERE trial_id = :trial"), own)
        running = "UPDATE trials SET state = 'RUNNING', datetime_complete = NULL"
        connection.execute(sa.text(f"{running} WHERE trial_id = :trial"), own)


_STORAGES = WeakKeyDictionary[sa.Engine, RDBStorage]()


def _storage(engine: sa.Engine) -> RDBStorage:
    """Optuna's, in the same database; makes its tables. Its connections end with the engine's."""
    if engine in _STORAGES:
        return _STORAGES[engine]
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    driver, options = f"{engine.url.drivername}://", engine_options(engine.url, guards_of(engine))
    try:
        with creating(engine):
            storage = RDBStorage(driver, options)
        sa.event.listen(engine, "engine_disposed", _close)
        return _STORAGES.setdefault(engine, storage)
    except RuntimeError as error:
        raise UserError(
            f"another version of Optuna made its tables of {shown(engine.url)!r}: {error}"
        ) from error


def _close(engine: sa.Engine) -> None:
    storage = _STORAGES.pop(engine, None)
    if storage is not None:
        storage.remove_session()
        storage.engine.dispose()


def study_axes(study: Study) -> dict[str, BaseDistribution]:
    """The domain of each parameter that sets a study's arms apart."""
    return _domains(pair for arm in study.arms for pair in arm.params)


def _domains(pairs: Iterable[tuple[str, Value]]) -> dict[str, BaseDistribution]:
    """What just holds the values of each parameter."""
    values: dict[str, list[Value]] = {}
    for name, value in pairs:
        own = values.setdefault(name, [])
        if not any(type(known) is type(value) and known == value for known in own):
            own.append(value)  # True is not 1
    return {name: _domain(name, tuple(own)) for name, own in values.items()}


def _choice(domain: BaseDistribution, value: Value) -> Value:
    """The value as the domain has it."""
    if not isinstance(domain, CategoricalDistribution):
        return value
    return _typed(value) if _typed(value) in domain.choices else value


def _typed(value: Value) -> str:
    return f"{value!r} ({type(value).__name__})"


def _domain(name: str, values: tuple[Value, ...]) -> BaseDistribution:
    """As narrow as the values, of the kind of the axis of this name where it holds them all."""
    axis = AXES.get(name)
    if axis is not None and not all(contains(axis, value) for value in values):
        axis = None
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values) or isinstance(axis, CategoricalDistribution):
        # Optuna takes True for 1, and 1 for 1.0: these are told apart as text.
        alike = len(set(values)) < len(values)
        return CategoricalDistribution(tuple(map(_typed, values)) if alike else values)
    low, high = min(numbers), max(numbers)
    if all(isinstance(value, int) for value in numbers):
        return IntDistribution(int(low), int(high))
    return FloatDistribution(low, high, log=isinstance(axis, FloatDistribution) and axis.log)
