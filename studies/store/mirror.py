"""Shows a study's trainings as trials of an Optuna study in the same database.

Our own tables hold the numbers; optuna-dashboard reads these trials, and nothing else does. They
are made from our tables again where they are anything else. Only this file opens Optuna's storage.
"""

import json
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple
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
from optuna.trial import TrialState

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
from studies.store.runs import chosen_results, known_results
from studies.store.trials import (
    Content,
    Domain,
    Trial,
    content,
    delete_trials,
    domains_of,
    end_trial,
    has_more,
    insert_trials,
    last_trial,
    read_trials,
    take_up,
)

_OWN = ("arm", "replicate", "seed", "run")
"""User attributes of every training's trial."""
FRESH = "{} (fresh seeds)"
"""The name of the Optuna study of a search's trainings on fresh seeds: they are no proposals, and
what is best by one lucky seed must not stand beside them. No study of ours can have this name."""
MEANS = "{} (means)"
"""Likewise of what a report compares; see `show_means`."""


_AT_ONCE = 500
"""Trainings whose figures are in memory at once."""

_STATES: Mapping[str, TrialState] = {
    **dict.fromkeys(("done", "ended"), TrialState.COMPLETE),
    **dict.fromkeys(("failed", "lost"), TrialState.FAIL),
    "stopped": TrialState.PRUNED,
}
"""What became of a training, or of a search's attempt -> the state of its trial; else it waits for
a worker, of this run or of a later one."""


class _Known(NamedTuple):
    """A trial, and what became of it."""

    id: int
    state: TrialState


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
    _trials: dict[tuple[str, int], _Known] = field(default_factory=dict, init=False)
    """The trial of each cell; one that waits, or that a kill left running, is taken up again."""
    _last: dict[str, int] = field(default_factory=dict, init=False)
    """The newest trial of each study that is known here."""

    @property
    def study(self) -> optuna.Study:
        """Optuna's study; of a search, that of its own seed."""
        return self.studies[self.name]

    @patient
    def show(self, known: Sequence[tuple[Cell, str]]) -> None:
        """Make the trials what our tables know: these cells, and what became of each.

        Writes nothing where they are that, else all of a study anew, so that nothing is left over
        but what was begun and no table of ours knows yet. A search's attempts are all known.
        What a kill left running waits: it is taken for that.
        """
        wanted: dict[str, list[Content]] = {name: [] for name in self.studies}
        states = [
            (cell, _STATES.get(status, TrialState.WAITING))
            for cell, status in known
            if self._shows(cell)
        ]
        for start in range(0, len(states), _AT_ONCE):
            some = states[start : start + _AT_ONCE]
            done = [cell.training.id for cell, state in some if state == TrialState.COMPLETE]
            results = chosen_results(self.engine, done, self.tasks)
            # Of others it is told what is wrong with them.
            results |= known_results(self.engine, [id for id in done if id not in results])
            for cell, state in some:
                trial = self._content(cell, state, results.get(cell.training.id))
                wanted.setdefault(self._name_of(cell.replicate), []).append(trial)
        for name, trials in wanted.items():
            there = self._read(name)
            order: Callable[[Iterable[Content]], list[Content]] = list
            if not (self.is_search and name == self.name):
                trials, order = [*trials, *self._begun(there, trials)], _by_cell
            numbered = [trial.number for trial in there] == list(range(len(there)))
            shown = [_at_rest(trial.content) for trial in there]
            if not numbered or order(shown) != order(trials):
                there = _replace_trials(self.engine, self._study(name), trials)
            self._keep(name, there)

    def _shows(self, cell: Cell) -> bool:
        """Whether it has a trial: a search's baselines are no points of its space."""
        return not (self.is_search and isinstance(cell.training.config, Baseline))

    def open(self, cell: Cell) -> None:
        """Show that the cell is trained, by its one trial."""
        if self._shows(cell):
            self._open(cell)

    @patient
    def _open(self, cell: Cell) -> _Known:
        name, own = self._name_of(cell.replicate), self._trials.get(_key(cell))
        if own is None:
            study = self._study(name)
            running = self._content(cell, TrialState.RUNNING)
            with self.engine.begin() as connection:
                last, _ = last_trial(connection, study._study_id)
                is_known = last <= self._last.get(name, 0)
                if is_known:
                    added = insert_trials(connection, study._study_id, [running])
            if not is_known:  # it is of a try that the database cut off
                self._keep(name, self._read(name))
                return self._open(cell)
            self._keep(name, added)
        elif own.state != TrialState.RUNNING:
            with self.engine.begin() as connection:
                take_up(connection, own.id)
            self._trials[_key(cell)] = own._replace(state=TrialState.RUNNING)
        return self._trials[_key(cell)]

    @patient
    def tell(self, cell: Cell, result: TrainingResult | None) -> None:
        """Tell the trial each objective's value, or FAIL without a result; never twice."""
        if not self.tells(cell, result is not None):
            values = self.values(cell, result) if result else ()
            self._open(cell)
            self._end(_key(cell), TrialState.COMPLETE if result else TrialState.FAIL, values)

    def tells(self, cell: Cell, done: bool) -> bool:
        """Whether the trial says that the training is done, or else that it failed."""
        trial = self._trials.get(_key(cell))
        state = TrialState.COMPLETE if done else TrialState.FAIL
        return not self._shows(cell) or (trial is not None and trial.state == state)

    @patient
    def prune(self, cell: Cell) -> None:
        """Tell the trial that nothing goes on with it."""
        self._open(cell)
        self._end(_key(cell), TrialState.PRUNED)

    @patient
    def rest(self, kept: Collection[Cell]) -> None:
        """Let nothing run at the end of a run: these cells wait for a later one.

        What else did not end is told PRUNED: a kill left it, and nobody asks for it.
        """
        waiting = set(map(_key, kept))
        for key, trial in list(self._trials.items()):
            if key not in waiting:
                self._end(key, TrialState.PRUNED)
            elif trial.state == TrialState.RUNNING:
                self._end(key, TrialState.WAITING)

    def values(self, cell: Cell, result: TrainingResult) -> list[float]:
        """Each objective's value: by validation at the chosen epochs, and what it costs."""
        figures_K = [result.value("valid", task.name, task.metric) for task in self.tasks]
        ended = {key: of_training(result) for key, of_training in self.end_costs.items()}
        costs = {**ended, **cell.costs}
        return [
            costs[objective.key] if objective.is_cost else objective.value(figures_K)
            for objective in self.objectives
        ]

    @patient
    def _end(self, key: tuple[str, int], state: TrialState, values: Sequence[float] = ()) -> None:
        trial = self._trials[key]
        if not trial.state.is_finished():
            with self.engine.begin() as connection:
                end_trial(connection, trial.id, state, values)
            self._trials[key] = trial._replace(state=state)

    def _content(
        self, cell: Cell, state: TrialState, result: TrainingResult | None = None
    ) -> Content:
        own = (cell.arm, cell.replicate, cell.training.seed, cell.training.id)
        return content(
            state,
            {
                **dict(zip(_OWN, own, strict=True)),
                **({"costs": dict(cell.costs)} if cell.costs else {}),
            },
            {name: _choice(self.axes[name], value) for name, value in cell.params},
            self._domains,
            self.values(cell, result) if result else (),
        )

    @cached_property
    def _domains(self) -> Mapping[str, Domain]:
        return domains_of(self.axes)

    def _begun(self, there: Iterable[Trial], known: Iterable[Content]) -> list[Content]:
        """What did not end, is none of the known ones, and could be stored today, as it waits."""
        cells = {_cell_of(trial) for trial in known}
        domains = {name: domain.text for name, domain in self._domains.items()}
        return [
            _at_rest(trial.content)
            for trial in there
            if not trial.content.state.is_finished()
            and _is_own(trial.content)
            and _cell_of(trial.content) not in cells
            and all(domains.get(name) == domain for name, _, domain in trial.content.params)
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

    def _read(self, name: str) -> list[Trial]:
        """All trials of one of the studies; none where one cannot be, as all are made again."""
        study = self._study(name)
        try:
            if has_more(self.engine, study._study_id):
                study.get_trials(deepcopy=False)  # Optuna must be able to read that, too
            return read_trials(self.engine, study._study_id)
        except UserError:
            raise
        except Exception:  # Optuna raises anything for rows that it cannot read
            return _replace_trials(self.engine, study, ())

    def _keep(self, name: str, trials: Sequence[Trial]) -> None:
        """Remember which trial each cell has."""
        for trial in trials:
            if _is_own(trial.content):
                self._trials[_cell_of(trial.content)] = _Known(trial.id, trial.content.state)
            self._last[name] = max(self._last.get(name, 0), trial.id)


def _key(cell: Cell) -> tuple[str, int]:
    return cell.arm, cell.replicate


def _cell_of(trial: Content) -> tuple[str, int]:
    """(arm, replicate) of a trial of ours."""
    told = dict(trial.attributes)
    return json.loads(told["arm"]), json.loads(told["replicate"])


def _at_rest(trial: Content) -> Content:
    """As it is while nothing runs."""
    runs = trial.state == TrialState.RUNNING
    return trial._replace(state=TrialState.WAITING) if runs else trial


def _by_cell(trials: Iterable[Content]) -> list[Content]:
    """In an order that does not depend on who was first."""
    return sorted(trials, key=lambda trial: trial.attributes)


def _is_own(trial: Content) -> bool:
    """Whether it says which cell it is."""
    told = dict(trial.attributes)
    if not {*_OWN} <= {*told}:
        return False
    try:
        arm, replicate = _cell_of(trial)
    except ValueError:
        return False
    return isinstance(arm, str) and isinstance(replicate, int)


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
    pairs = (pair for mean in means.of_arms for pair in mean.params.items())
    domains = domains_of(_domains(pairs))
    directions = [_direction(higher) for higher in means.higher]
    study = _opened(engine, own, directions, list(means.labels))
    wanted = [
        content(
            TrialState.COMPLETE,
            {"arm": mean.arm, **mean.said},
            mean.params,
            domains,
            mean.values,
        )
        for mean in means.of_arms
    ]
    try:
        there = [trial.content for trial in read_trials(engine, study._study_id)]
    except UserError:
        raise
    except Exception:  # whatever a row raises that cannot be
        there = []
    if there != wanted:
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


@patient
def _replace_trials(
    engine: sa.Engine, study: optuna.Study, trials: Iterable[Content]
) -> list[Trial]:
    """Let these be all trials of a study, counted from 0; what a person noted there stays."""
    with engine.begin() as connection:
        delete_trials(connection, study._study_id)
        return insert_trials(connection, study._study_id, trials)


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
