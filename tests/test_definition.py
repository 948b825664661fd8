"""Studies and searches are values: they survive JSON, whatever they hold."""

import json
from dataclasses import asdict, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmd.config import MODELS, FSMDConfig
from studies import catalog
from studies.definition import (
    Above,
    Arm,
    Best,
    Claim,
    Definition,
    Factor,
    Flat,
    NotEverywhere,
    NotWorse,
    Rule,
    Search,
    Study,
    Trades,
    definition_of,
    differing,
    factorial,
    kind_of,
    named,
    one_factor,
)
from tests import made_up


def through_json(definition: Definition) -> Definition:
    walked = json.loads(json.dumps(definition.to_dict()))
    return definition_of(kind_of(definition), walked)


@pytest.mark.parametrize("name", catalog.names())
def test_every_definition_of_the_catalog_survives_json(name: str) -> None:
    definition = catalog.get(name)
    assert through_json(definition) == definition
    assert hash(through_json(definition)) == hash(definition)


@pytest.mark.parametrize(
    "made", [made_up.towers, made_up.models, made_up.grid, made_up.knob, made_up.many]
)
def test_every_form_of_a_study_survives_json(made: Any) -> None:
    assert through_json(made()) == made()


texts = st.text(max_size=8)
values = st.one_of(
    texts, st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)
margins = st.none() | st.floats(0, 1)
rules: st.SearchStrategy[Rule] = st.one_of(
    st.builds(Above, texts, texts, texts),
    st.builds(Best, texts, texts, st.lists(texts, max_size=2).map(tuple)),
    st.builds(NotWorse, texts, texts, margins),
    st.builds(Flat, texts, margins),
    st.builds(NotEverywhere, texts, texts, margins),
    st.builds(Trades, texts, texts, margins),
)
claims = st.builds(Claim, texts, texts, texts, st.lists(rules, max_size=3).map(tuple))
widths = st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple)
arms = st.builds(
    Arm,
    name=texts,
    changes=st.lists(
        st.tuples(st.just("layers"), widths) | st.tuples(texts, values), max_size=2
    ).map(tuple),
    params=st.lists(st.tuples(texts, values), max_size=2).map(tuple),
    data=st.none() | texts,
    stream=st.integers(0, 3),
)


@settings(max_examples=20, deadline=None)
@given(
    st.builds(
        Study,
        name=texts,
        title=texts,
        question=texts,
        factor=texts,
        base=st.sampled_from([*MODELS.values(), FSMDConfig(layers=(3, 2), dropout=0.5)]),
        arms=st.lists(arms, max_size=3).map(tuple),
        reference=texts,
        claims=st.lists(claims, max_size=3).map(tuple),
        tasks=st.lists(texts, max_size=3).map(tuple),
        margin=margins,
    )
)
def test_odd_studies_survive_json(study: Study) -> None:
    assert through_json(study) == study


@settings(max_examples=20, deadline=None)
@given(
    st.builds(
        Search,
        name=texts,
        title=texts,
        question=texts,
        space=texts,
        objectives=st.lists(texts, max_size=4).map(tuple),
        max_params=st.none() | st.integers(1),
        max_latency=st.none() | st.floats(0, 1e9),
        timeout=st.none() | st.floats(0, 1e9),
    )
)
def test_odd_searches_survive_json(search: Search) -> None:
    assert through_json(search) == search


def test_what_a_search_seeks_and_how_are_all_its_fields_but_its_names() -> None:
    names = {"name", "title", "question", "data", "file"}
    assert names | {*Search.SOUGHT, *Search.METHOD} == set(asdict(catalog.get("pareto")))
    assert not set(Search.SOUGHT) & set(Search.METHOD)


# Arms


def test_one_factor_gives_an_arm_for_each_value() -> None:
    small, large = one_factor(Factor("gate_depth", (1, 3)))
    assert (small.name, large.name) == ("1", "3")
    assert small.params == small.changes == (("gate_depth", 1),)
    base = MODELS["fsmd"]
    assert large.config(base) == replace(base, gate_depth=3)


def test_a_factorial_has_every_combination_the_last_factor_changing_fastest() -> None:
    arms = factorial((Factor("fm", ("none", "shared")), Factor("gate_depth", (1, 2))))
    expected = ["none / 1", "none / 2", "shared / 1", "shared / 2"]
    assert [arm.name for arm in arms] == expected
    assert arms[1].params == (("fm", "none"), ("gate_depth", 2))


def test_named_models_stay_what_they_are_on_another_base() -> None:
    """What one of them varies all of them say."""
    base = MODELS["base"]
    mmoe, fsmd = named((("mmoe", MODELS["mmoe"]), ("fsmd", MODELS["fsmd"])), "model", base)
    assert mmoe.params == (("model", "mmoe"),)
    assert {name for name, _ in mmoe.changes} == {name for name, _ in fsmd.changes}
    for other in (base, MODELS["single_task"]):
        assert mmoe.config(other) == MODELS["mmoe"]
        assert fsmd.config(other) == MODELS["fsmd"]
    assert fsmd.config(replace(base, tower_width=16)) == replace(MODELS["fsmd"], tower_width=16)


def test_fields_that_differ_are_named_in_the_configurations_order() -> None:
    base = FSMDConfig()
    other = replace(base, gate_depth=2, fm="none")
    assert differing(other, base) == ("fm", "gate_depth")
    assert differing(base, base) == ()


def test_an_arm_that_a_study_does_not_have_is_a_key_error() -> None:
    study = made_up.towers()
    assert study.config("diamond").tower_shape == "diamond"
    with pytest.raises(KeyError, match="no such"):
        study.arm("no such")
