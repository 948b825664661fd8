"""Optuna's rows of trials, read and written many at a time.

Optuna's own calls take forty statements for a trial, read each of all trials by objects of its
own, and count all that a study has for the number of the next one: what a trial takes grows with
those that are there. These rows are the same as Optuna's, and Optuna reads them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa
from optuna.distributions import BaseDistribution, distribution_to_json
from optuna.storages._rdb import models
from optuna.trial import TrialState

from studies.store.faults import patient

TRIALS: Any = models.TrialModel.__table__
_ATTRIBUTES: Any = models.TrialUserAttributeModel.__table__
_PARAMS: Any = models.TrialParamModel.__table__
_VALUES: Any = models.TrialValueModel.__table__
_FOREIGN: tuple[Any, ...] = (
    models.TrialSystemAttributeModel.__table__,
    models.TrialIntermediateValueModel.__table__,
)
"""What a trial may have that we never write."""
_OF_TRIALS = (*_FOREIGN, _ATTRIBUTES, _PARAMS, _VALUES, models.TrialHeartbeatModel.__table__)
_FINITE = models.TrialValueModel.TrialValueType.FINITE
_AT_ONCE = 1000
"""Trials that are inserted by one statement."""


class Content(NamedTuple):
    """All that is ours of a trial, as its rows have it: equal where the rows are."""

    attributes: tuple[tuple[str, str], ...]
    """(key, JSON), by key."""
    state: TrialState
    params: tuple[tuple[str, float | None, str], ...] = ()
    """(name, Optuna's number for the value, the JSON of its domain), in the order of the axes."""
    values: tuple[tuple[int, float | None], ...] = ()
    """(number of the objective, value)."""


class Domain(NamedTuple):
    """What a parameter can be, and as Optuna stores it: a long text, made once for all trials."""

    axis: BaseDistribution
    text: str


def domains_of(axes: Mapping[str, BaseDistribution]) -> dict[str, Domain]:
    """The domain of each parameter."""
    return {name: Domain(axis, distribution_to_json(axis)) for name, axis in axes.items()}


class Trial(NamedTuple):
    """A trial as it is stored."""

    id: int
    number: int
    content: Content

    def attribute(self, name: str) -> Any:
        """What an attribute holds; None where there is none."""
        return next(
            (json.loads(text) for key, text in self.content.attributes if key == name), None
        )


def content(
    state: TrialState,
    attributes: Mapping[str, Any],
    params: Mapping[str, Any],
    domains: Mapping[str, Domain],
    values: Sequence[float] = (),
) -> Content:
    """A trial to be stored; params: values as their domains have them."""
    return Content(
        tuple(sorted((key, json.dumps(value)) for key, value in attributes.items())),
        state,
        tuple(
            (name, domains[name].axis.to_internal_repr(value), domains[name].text)
            for name, value in params.items()
        ),
        tuple(enumerate(map(float, values))),
    )


@patient
def read_trials(engine: sa.Engine, study: int) -> list[Trial]:
    """All trials of Optuna's study of this number, in order; raises anything where one is none."""
    of_study = TRIALS.c.study_id == study
    told: dict[Any, tuple[list[Any], list[Any], list[Any]]] = {}
    known: dict[str, str] = {}  # one text for all that are equal: domains are long
    with engine.connect() as connection:
        columns = (TRIALS.c.trial_id, TRIALS.c.number, TRIALS.c.state)
        times = (TRIALS.c.datetime_start, TRIALS.c.datetime_complete)  # which may be none, too
        query = sa.select(*columns, *times).where(of_study).order_by(TRIALS.c.trial_id)
        rows = [tuple(row)[:3] for row in connection.execute(query)]
        for trial_id, *_ in rows:
            told[trial_id] = [], [], []
        for place, table, names in (
            (0, _ATTRIBUTES, ("key", "value_json")),
            (1, _PARAMS, ("param_name", "param_value", "distribution_json")),
            (2, _VALUES, ("objective", "value", "value_type")),
        ):
            own = [table.c[name] for name in ("trial_id", *names)]
            parts = sa.select(*own).join(TRIALS, TRIALS.c.trial_id == table.c.trial_id)
            ordered = parts.where(of_study).order_by(*table.primary_key)
            for trial_id, *part in connection.execute(ordered):
                if place == 2:
                    part = [part[0], part[1] if part[2] == _FINITE else None]
                else:
                    part = [known.setdefault(x, x) if type(x) is str else x for x in part]
                told[trial_id][place].append(tuple(part))
    return [
        Trial(id, number, Content(tuple(sorted(a)), state, tuple(p), tuple(sorted(v))))
        for (id, number, state), (a, p, v) in zip(rows, told.values(), strict=True)
    ]


@patient
def has_more(engine: sa.Engine, study: int) -> bool:
    """Whether a trial of the study has something that we never write."""
    with engine.connect() as connection:
        for table in _FOREIGN:
            query = sa.select(table.c.trial_id).join(TRIALS, TRIALS.c.trial_id == table.c.trial_id)
            if connection.execute(query.where(TRIALS.c.study_id == study).limit(1)).first():
                return True
    return False


def last_trial(connection: sa.Connection, study: int) -> tuple[int, int]:
    """(identity, number) of the newest; (0, -1) if there is none."""
    query = sa.select(TRIALS.c.trial_id, TRIALS.c.number).where(TRIALS.c.study_id == study)
    row = connection.execute(query.order_by(TRIALS.c.trial_id.desc()).limit(1)).one_or_none()
    return (0, -1) if row is None else (row.trial_id, row.number)


def insert_trials(
    connection: sa.Connection, study: int, contents: Iterable[Content]
) -> list[Trial]:
    """Add trials to a study behind those that are there."""
    last, number = last_trial(connection, study)
    left, added = iter(contents), list[Trial]()
    while some := list(islice(left, _AT_ONCE)):
        numbers = range(number + 1, number + 1 + len(some))
        moment = _now()
        rows = [
            {
                "study_id": study,
                "number": n,
                "state": each.state,
                "datetime_start": moment,
                "datetime_complete": moment if each.state.is_finished() else None,
            }
            for n, each in zip(numbers, some, strict=True)
        ]
        connection.execute(sa.insert(TRIALS), rows)
        ids = sa.select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study)
        ids = ids.where(TRIALS.c.trial_id > last).order_by(TRIALS.c.number)
        own = [
            Trial(*told) for told in zip(connection.scalars(ids).all(), numbers, some, strict=True)
        ]
        _insert_parts(connection, own)
        added += own
        last, number = max(trial.id for trial in own), numbers[-1]
    return added


def _insert_parts(connection: sa.Connection, trials: Sequence[Trial]) -> None:
    parts: tuple[tuple[Any, list[dict[str, Any]]], ...] = (
        (
            _ATTRIBUTES,
            [
                {"trial_id": trial.id, "key": key, "value_json": text}
                for trial in trials
                for key, text in trial.content.attributes
            ],
        ),
        (
            _PARAMS,
            [
                {
                    "trial_id": trial.id,
                    "param_name": name,
                    "param_value": number,
                    "distribution_json": domain,
                }
                for trial in trials
                for name, number, domain in trial.content.params
            ],
        ),
        (
            _VALUES,
            [
                row
                for trial in trials
                for row in _value_rows(trial.id, [value for _, value in trial.content.values])
            ],
        ),
    )
    for table, rows in parts:
        if rows:
            connection.execute(sa.insert(table), rows)


def _value_rows(trial: int, values: Sequence[float | None]) -> list[dict[str, Any]]:
    return [
        {"trial_id": trial, "objective": i, "value": value, "value_type": _FINITE}
        for i, value in enumerate(values)
    ]


def end_trial(
    connection: sa.Connection, trial: int, state: TrialState, values: Sequence[float]
) -> None:
    """Tell a trial how it ended, or that it waits; one that has ended stays as it is."""
    open_ = TRIALS.c.state.in_((TrialState.RUNNING, TrialState.WAITING))
    ends = {"state": state, "datetime_complete": _now() if state.is_finished() else None}
    update = sa.update(TRIALS).where(TRIALS.c.trial_id == trial, open_).values(ends)
    if connection.execute(update).rowcount and values:
        connection.execute(sa.insert(_VALUES), _value_rows(trial, list(map(float, values))))


def take_up(connection: sa.Connection, trial: int) -> None:
    """Let a trial that ended or waits run; Optuna would start another one, with a new number."""
    connection.execute(sa.delete(_VALUES).where(_VALUES.c.trial_id == trial))
    again = {"state": TrialState.RUNNING, "datetime_complete": None}
    connection.execute(sa.update(TRIALS).where(TRIALS.c.trial_id == trial).values(again))


def delete_trials(connection: sa.Connection, study: int) -> None:
    """All of a study; Optuna deletes only whole studies, with what a person noted there."""
    own = sa.select(TRIALS.c.trial_id).where(TRIALS.c.study_id == study)
    for table in _OF_TRIALS:
        connection.execute(sa.delete(table).where(table.c.trial_id.in_(own)))
    connection.execute(sa.delete(TRIALS).where(TRIALS.c.study_id == study))


def _now() -> datetime:
    """As Optuna stores moments."""
    return datetime.now(UTC).replace(tzinfo=None)
