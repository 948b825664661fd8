"""Optuna's studies follow our tables: made anew where they differ, refused where none of ours."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from optuna_dashboard import get_note, save_note

from fsmd.config import MODELS
from fsmd.data.schema import DataRef
from fsmd.errors import UserError
from search_spaces import Value
from studies.definition import Arm, Study
from studies.objectives import named
from studies.run import main
from studies.search.attempt import (
    AttemptState,
    cell_of,
    objectives_of,
    read_attempts,
    space_of,
)
from studies.search.confirmation import fresh_cells
from studies.search.run import search_mirror
from studies.store.database import open_engine
from studies.store.mirror import (
    FRESH,
    MEANS,
    Mirror,
    _choice,
    _domains,
    check_mirror,
    stored_studies,
    study_axes,
)
from studies.store.records import StudyRecord
from studies.store.runs import known_result
from studies.store.tables import METADATA, OF_RUNS
from tests import made_up
from tests.lab import Immediate, Lab, result_of, small_data


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    opened = open_engine(f"sqlite:///{tmp_path}/studies.db", create=True)
    yield opened
    opened.dispose()


def trials_of(engine: sa.Engine, name: str) -> list[FrozenTrial]:
    storage = optuna.storages.RDBStorage(
        f"sqlite:///{engine.url.database}",
        skip_compatibility_check=True,
        skip_table_creation=True,
    )
    try:
        return optuna.load_study(study_name=name, storage=storage).trials
    finally:
        storage.engine.dispose()


def content(trials: list[FrozenTrial]) -> list[Any]:
    return [(t.number, t.state, t.values, t.params, t.distributions, t.user_attrs) for t in trials]


# ------------------------------------------------------------------------------------------
# A study
# ------------------------------------------------------------------------------------------


ARMS = ("one", "two", "three", "four")


def study_of(values: tuple[Value, ...], name: str = "mine") -> Study:
    """An arm for each value of a knob that no list of axes knows."""
    arms = tuple(
        Arm(ARMS[i], (("gate_depth", 1 + i),), (("knob", value),))
        for i, value in enumerate(values)
    )
    return Study(name, "Mine", "?", "knob", MODELS["fsmd"], arms, "one")


def lab_of(engine: sa.Engine, folder: Path, study: Study) -> Lab:
    return Lab(engine, result_of, study, folder)


GROWTHS: tuple[tuple[tuple[Value, ...], list[Value]], ...] = (
    ((1, 0.5, 3, "red"), [1, 0.5, 3, "red"]),
    (("blue", "red", 2), ["blue", "red", 2]),
    ((True, False, 0), ["True (bool)", "False (bool)", "0 (int)"]),
    ((0.5, 2), [0.5, 2.0]),
)
"""What a knob's values are, each new arm bringing one; and how Optuna shows them in the end."""


def test_a_study_may_grow_by_values_of_any_kind(engine: sa.Engine, tmp_path: Path) -> None:
    """Optuna refuses a list of choices that grows, and another kind of number."""
    other = lab_of(engine, tmp_path, study_of((1, "1"), name="other"))
    other.run(1, Immediate())
    for i, (values, expected) in enumerate(GROWTHS):
        name = f"grows-{i}"
        for count in range(1, len(values) + 1):
            lab_of(engine, tmp_path, study_of(values[:count], name)).run(1, Immediate())
        trials = trials_of(engine, name)
        assert [repr(trial.params["knob"]) for trial in trials] == list(map(repr, expected))
        assert [trial.user_attrs["arm"] for trial in trials] == list(ARMS[: len(values)])
        assert len({str(trial.distributions) for trial in trials}) == 1
    assert [t.params for t in trials_of(engine, "other")] == [{"knob": 1}, {"knob": "1"}]


VALUES = st.one_of(
    st.sampled_from([True, False, 0, 1, 1.0, "", "1", "True"]),
    st.integers(-5, 5),
    st.floats(-5, 5),
    st.text(max_size=2),
)


@given(st.lists(VALUES, min_size=1, max_size=6))
def test_whatever_a_knobs_values_are_its_domain_tells_them_apart(values: list[Value]) -> None:
    """True is not 1 and no text is a number; a whole number is the same fraction."""
    domain = _domains(("knob", value) for value in values)["knob"]
    shown = [domain.to_internal_repr(_choice(domain, value)) for value in values]
    numbers = not isinstance(domain, CategoricalDistribution)
    for value, place in zip(values, shown, strict=True):
        for other, its_place in zip(values, shown, strict=True):
            same = value == other and (numbers or type(value) is type(other))
            assert (place == its_place) == same


def test_a_study_shows_axes_as_wide_as_its_arms_and_a_search_as_wide_as_its_space(
    engine: sa.Engine,
) -> None:
    arms: tuple[tuple[str, Value], ...] = (
        ("tower_shape", "constant"),
        ("tower_shape", "diamond"),
        ("gate_depth", 3),
    )
    study = replace(
        study_of((1, 2, 3)),
        arms=tuple(Arm(str(i), (pair,), (pair,)) for i, pair in enumerate(arms)),
    )
    axes = study_axes(study)
    assert axes["tower_shape"] == CategoricalDistribution(("constant", "diamond"))
    assert axes["gate_depth"] == IntDistribution(3, 3)
    record = made_up.store_search(engine, made_up.paper_points(8))
    shown(engine, record)
    domains = {choice.name: choice.domain for choice in space_of(record).choices}
    for trial in trials_of(engine, record.name):
        assert trial.distributions == {name: domains[name] for name in trial.params}


# ------------------------------------------------------------------------------------------
# A search
# ------------------------------------------------------------------------------------------


def search_in(engine: sa.Engine, **options: Any) -> StudyRecord:
    """Attempts in every state, and fresh seeds of two of them."""
    attempts = made_up.paper_points(9)
    names = list(attempts)
    return made_up.store_search(
        engine,
        attempts,
        objectives=("tasks", "params", "seconds"),
        stopped=[names[1]],
        failed=[names[2]],
        running=[names[3]],
        paused=[names[4]],
        lost=[names[5]],
        confirmed=[names[0], names[8]],
        **options,
    )


def shown(engine: sa.Engine, record: StudyRecord) -> Mirror:
    """As a run of the search begins."""
    data = DataRef("planted", record.plan.data.content_hash, Path())
    mirror, attempts = search_mirror(engine, record), read_attempts(engine, record)
    own = ((cell_of(attempt, record, data), attempt.state) for attempt in attempts)
    mirror.show((*own, *fresh_cells(engine, record, data, attempts)))
    return mirror


def test_a_searchs_trials_are_its_attempts_in_their_order_and_fresh_seeds_lie_apart(
    engine: sa.Engine,
) -> None:
    record = search_in(engine)
    shown(engine, record)
    attempts, trials = read_attempts(engine, record), trials_of(engine, record.name)
    assert [t.user_attrs["arm"] for t in trials] == [a.name for a in attempts]
    assert [t.number for t in trials] == list(range(9))
    assert [t.state.name for t in trials] == [
        *("COMPLETE", "PRUNED", "FAIL", "WAITING", "WAITING", "FAIL"),
        *["COMPLETE"] * 3,
    ]
    for attempt, trial in zip(attempts, trials, strict=True):
        assert trial.params == attempt.params
        assert trial.user_attrs["run"] == attempt.training_id
        if attempt.state == AttemptState.ENDED:
            assert tuple(trial.values) == attempt.values
    fresh = trials_of(engine, FRESH.format(record.name))
    assert len(fresh) == 6
    assert {t.user_attrs["replicate"] for t in fresh} == {1, 2, 3}


def trial_rows(engine: sa.Engine, *changes: str) -> None:
    with engine.begin() as connection:
        for change in changes:
            connection.execute(sa.text(change))


LAST = "(SELECT MAX(trial_id) FROM trials WHERE study_id = 1)"
FIRST = "(SELECT MIN(trial_id) FROM trials WHERE study_id = 1)"
CHILDREN = ("trial_user_attributes", "trial_params", "trial_values")
TAMPERINGS = {
    "a trial deleted": (
        *(f"DELETE FROM {child} WHERE trial_id = {FIRST}" for child in CHILDREN),
        f"DELETE FROM trials WHERE trial_id = {FIRST}",
    ),
    "a value edited": (f"UPDATE trial_values SET value = 0.99 WHERE trial_id = {LAST}",),
    "a parameter edited": (f"UPDATE trial_params SET param_value = 0 WHERE trial_id = {LAST}",),
    "a state edited": ("UPDATE trials SET state = 'FAIL'",),
    "values deleted": ("DELETE FROM trial_values",),
    "a domain edited": (
        "UPDATE trial_params SET distribution_json = replace(distribution_json, '3', '4')",
    ),
    "the arms changed": (
        "UPDATE trial_user_attributes SET value_json = '\"x\"' WHERE key = 'arm'",
    ),
    "replicates changed": (
        "UPDATE trial_user_attributes SET value_json = '0' WHERE key = 'replicate'",
    ),
    "a state that is none": (f"UPDATE trials SET state = 'PAUSED' WHERE trial_id = {FIRST}",),
    "an attribute that is no JSON": (
        f"UPDATE trial_user_attributes SET value_json = 'x' WHERE trial_id = {LAST}",
    ),
    "an arm that is a list": (
        "UPDATE trial_user_attributes SET value_json = '[1]' WHERE key = 'arm'",
    ),
    "a domain of another version": (
        f"UPDATE trial_params SET distribution_json = '{{}}' WHERE trial_id = {FIRST}",
    ),
    "a replicate that is text": (
        f"UPDATE trial_user_attributes SET value_json = '\"1\"' WHERE trial_id = {LAST} "
        "AND key = 'replicate'",
    ),
    "seeds deleted": ("DELETE FROM trial_user_attributes WHERE key = 'seed'",),
    "all trials deleted": (
        *(f"DELETE FROM {child}" for child in CHILDREN),
        "DELETE FROM trials",
    ),
}


def test_whatever_befell_optunas_trials_they_become_again_what_our_tables_say(
    engine: sa.Engine,
) -> None:
    record = search_in(engine)
    names = (record.name, FRESH.format(record.name))
    save_note(shown(engine, record).study, "my own words")
    before = [content(trials_of(engine, name)) for name in names]
    for what, changes in TAMPERINGS.items():
        trial_rows(engine, *changes)
        mirror = shown(engine, record)
        assert [content(trials_of(engine, name)) for name in names] == before, what
        assert get_note(mirror.study) == "my own words"
    trial_rows(engine, "UPDATE studies SET study_name = 'other ' || study_id")
    shown(engine, record)
    assert [content(trials_of(engine, name)) for name in names] == before


def test_what_optuna_cannot_read_of_a_study_is_told_in_a_line_and_of_others_costs_nothing(
    engine: sa.Engine,
) -> None:
    record = search_in(engine)
    shown(engine, record)
    trial_rows(
        engine,
        "INSERT INTO studies (study_name) VALUES ('theirs')",
        "INSERT INTO study_system_attributes (study_id, key, value_json) "
        "SELECT study_id, 'x', 'y' FROM studies WHERE study_name = 'theirs'",
    )
    check_mirror(engine, record.name, objectives_of(record))
    assert [*stored_studies(engine, record.name)] == [record.name, FRESH.format(record.name)]
    shown(engine, record)
    trial_rows(engine, "UPDATE study_system_attributes SET value_json = 'x'")
    with pytest.raises(UserError, match=f"cannot read its study '{record.name}'.*delete-study"):
        shown(engine, record)


def test_what_is_as_it_should_be_is_not_written_again(engine: sa.Engine) -> None:
    record = search_in(engine)
    before = shown(engine, record).study.trials
    assert shown(engine, record).study.trials == before


def test_optunas_connections_are_few_and_end_with_the_engine(engine: sa.Engine) -> None:
    there = set[int]()

    def came(connection: Any, _: Any) -> None:
        there.add(id(connection))

    def went(connection: Any, _: Any) -> None:
        there.discard(id(connection))

    sa.event.listen(sa.pool.Pool, "connect", came)
    sa.event.listen(sa.pool.Pool, "close", went)
    try:
        record = search_in(engine)
        for _ in range(3):
            shown(engine, record)
            stored_studies(engine, record.name)
            check_mirror(engine, record.name, objectives_of(record))
        assert len(there) <= 2
        engine.dispose()
        assert not there
    finally:
        sa.event.remove(sa.pool.Pool, "connect", came)
        sa.event.remove(sa.pool.Pool, "close", went)


def test_a_search_whose_rows_of_ours_were_deleted_begins_anew(engine: sa.Engine) -> None:
    shown(engine, search_in(engine))
    with engine.begin() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(sa.delete(table))
    record = made_up.store_search(engine, made_up.paper_points(2))
    objectives = ("tasks", "params", "seconds")
    with pytest.raises(UserError, match="maximize and maximize and minimize and minimize, not "):
        check_mirror(engine, record.name, objectives_of(record))
    check_mirror(engine, record.name, named(objectives, record.plan.tasks))
    with engine.begin() as connection:
        for table in reversed(METADATA.sorted_tables):
            connection.execute(sa.delete(table))
    record = made_up.store_search(engine, made_up.paper_points(2), objectives=objectives)
    shown(engine, record)
    assert [t.number for t in trials_of(engine, record.name)] == [0, 1]
    assert trials_of(engine, FRESH.format(record.name)) == []


def test_a_stopped_or_failed_attempt_that_goes_on_keeps_its_trial(engine: sa.Engine) -> None:
    """Optuna would start another trial, and every later number would be another."""
    record = search_in(engine)
    mirror, attempts = shown(engine, record), read_attempts(engine, record)
    data = DataRef("planted", record.plan.data.content_hash, Path())
    for i in (1, 2, 5):
        mirror.open(cell_of(attempts[i], record, data))
        assert trials_of(engine, record.name)[i].state == TrialState.RUNNING
    mirror.prune(cell_of(attempts[1], record, data))
    mirror.tell(cell_of(attempts[2], record, data), None)
    mirror.tell(cell_of(attempts[5], record, data), known_result(engine, attempts[0].training_id))
    trials = trials_of(engine, record.name)
    assert [t.number for t in trials] == list(range(9))
    assert [trials[i].state.name for i in (1, 2, 5)] == ["PRUNED", "FAIL", "COMPLETE"]


# ------------------------------------------------------------------------------------------
# Studies that are none of ours
# ------------------------------------------------------------------------------------------

FOREIGN: dict[str, tuple[list[str], dict[str, Any]]] = {
    "one objective": (["maximize"], {}),
    "two that minimise": (["minimize", "minimize"], {}),
    "one of each": (["maximize", "minimize"], {}),
    "three": (["maximize"] * 3, {}),
    "trials of its own": (["maximize", "maximize"], {"x": 1}),
    "a trial with an arm of its own": (["maximize", "maximize"], {"arm": "diamond"}),
}


def test_a_foreign_optuna_study_of_the_name_is_refused_before_anything_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("studies.session.load", lambda *_: small_data())
    storage = optuna.storages.RDBStorage("sqlite:///studies.db")
    names = {f"{i}": way for i, way in enumerate(FOREIGN.values())}
    foreign = {
        **names,
        **{pattern.format("x"): names["4"] for pattern in (FRESH, MEANS)},
    }
    for name, (directions, attributes) in foreign.items():
        sought = [StudyDirection[direction.upper()] for direction in directions]
        study = optuna.create_study(study_name=name, storage=storage, directions=sought)
        values = [0.5] * len(directions)
        study.add_trial(create_trial(values=values, user_attrs=attributes))
    engine = open_engine("sqlite:///studies.db", create=True)
    before = {name: content(trials_of(engine, name)) for name in foreign}
    for name in foreign:
        for asked in ("tower_shape", "pareto"):
            asked_name = name.partition(" ")[0]
            assert main([asked, "--data", "planted", "--name", asked_name]) == 2
            err = capsys.readouterr().err.strip()
            assert err.count("\n") == 0
            assert "has an Optuna study" in err
            assert "--name" in err
    with engine.connect() as connection:
        for table in {*METADATA.sorted_tables} - {*OF_RUNS}:
            assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == 0
    assert {name: content(trials_of(engine, name)) for name in foreign} == before
    engine.dispose()
