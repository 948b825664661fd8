"""Studies and searches are values: they survive JSON, whatever they hold."""

import json
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmd.config import MODELS, FSMDConfig
from fsmd.errors import UserError
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
from studies.planner.design import check
from tests import made_up
from tests.made_up.definitions import of_network


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
        margins=st.sampled_from(((), (("auc", 0.5), ("log_loss", 0.0)))),
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
    names = {"name", "title", "question", "data", "auto", "file"}
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
    assert of_network(study.config("diamond")).tower_shape == "diamond"
    with pytest.raises(KeyError, match="no such"):
        study.arm("no such")


# What a file of one's own may hold

_STUDY = made_up.towers()
_ARM: Any = _STUDY.arms[0]
_CLAIM: Any = _STUDY.claims[0]
_ABOVE = _CLAIM.rules[0]
_WRONG: tuple[dict[str, Any], ...] = (
    *({field: value} for field in ("name", "title", "data", "reference") for value in (None, 7)),
    *({"title": value} for value in ("a\nb", "a\x00b", "\x1b[31m", "a\u202eb", "a\udc80", b"a")),
    *({"arms": value} for value in (("a", "b"), "ab", iter(_STUDY.arms), None)),
    *({"margins": (("auc", value),)} for value in (-1.0, float("nan"), float("inf"), "0.1", True)),
    *({"margins": value} for value in (0.1, (("acu", 0.1),), (("auc", 0.1), ("auc", 0.2)))),
    *({"tasks": value} for value in ("click", (1,), None)),
    *({"claims": value} for value in ("better", ("better",), _STUDY.claims[0])),
    *({"claims": (replace(_CLAIM, rules=rules),)} for rules in ((), _ABOVE, ("x",))),
    {"claims": (_STUDY.claims[0],) * 2},
    {"claims": (Claim("c", "t", "s", (Flat("mean", -0.1),)),)},
    {"base": "fsmd"},
    {"arms": tuple(replace(_STUDY.arms[0], name=str(i)) for i in range(1001))},
    *(
        {"arms": (replace(_ARM, **{field: value}), *_STUDY.arms[1:])}
        for field, value in (
            *(("params", ((("a", wrong),))) for wrong in (object(), float("nan"), (1, 2))),
            *(("changes", wrong) for wrong in ({"gate_depth": 1}, (("gate;depth", 1),))),
            *(("data", 3), ("stream", "x"), ("name", 1)),
        )
    ),
)


@pytest.mark.parametrize("changes", _WRONG, ids=map(str, range(len(_WRONG))))
def test_a_study_with_a_value_that_none_can_have_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        check(replace(_STUDY, **changes))


@pytest.mark.parametrize("field", [each.name for each in fields(Search)])
def test_a_search_with_a_value_of_another_type_is_refused(field: str) -> None:
    search: Any = catalog.get("pareto")
    for value in (object(), [object()], {"x": 1}, b"x", float("nan"), "a\udc80"):
        with pytest.raises(UserError):
            check(replace(search, **{field: value}))


def test_a_factorial_that_takes_all_memory_is_refused() -> None:
    with pytest.raises(UserError, match="at most 10,000 arms; got 1,000,000,000"):
        factorial((Factor("tower_width", tuple(range(1000))),) * 3)


@pytest.mark.parametrize(
    "line", ["raise GeneratorExit", "class Skip(BaseException): 0\nraise Skip"]
)
def test_whatever_a_file_raises_it_is_faulty(tmp_path: Path, line: str) -> None:
    (tmp_path / "own.py").write_text(line)
    with pytest.raises(UserError, match=r"own\.py is faulty: .* \(line \d\)$"):
        catalog.get(str(tmp_path / "own.py"))


def test_a_fault_is_told_with_the_line_of_the_users_file_that_led_to_it(tmp_path: Path) -> None:
    """Not with that of the toolkit which refused it."""
    text = "from studies import *\nf = Factor('tower_width', (1,) * 200)\n\nfactorial((f, f, f))"
    (tmp_path / "own.py").write_text(text)
    with pytest.raises(UserError, match=r"at most 10,000 arms; got 8,000,000 \(line 4\)$"):
        catalog.get(str(tmp_path / "own.py"))


def test_a_file_that_goes_to_another_folder_does_not_take_the_command_there(
    tmp_path: Path,
) -> None:
    (tmp_path / "own.py").write_text("import os\nos.chdir('/')\n")
    before = Path.cwd()
    with pytest.raises(UserError):
        catalog.get(str(tmp_path / "own.py"))
    assert Path.cwd() == before
