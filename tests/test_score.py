"""The combined score: a closed formula of tasks' probabilities, kept by the encoder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fsmd
from fsmd.data.description.toml import parse as parse_description
from fsmd.data.encoder import Encoder
from fsmd.data.source import Categorical, Recipe
from fsmd.errors import UserError
from fsmd.score import Term, parse
from fsmd.tasks import Task

TASKS = ("click", "buy", "long view")
ROWS = {"click": np.array([0.5, 0.1, 0.9]), "buy": np.array([0.2, 0.3, 0.0])}
DESCRIPTION = """
[data]
files = "*.csv"
[fields]
tab = "category"
[tasks]
click = "is_click"
buy = { label = "is_buy", after = "click" }
[split]
by = "fraction"
seed = 0
"""


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("click ** 1.0 * buy ** 0.5", ROWS["click"] * ROWS["buy"] ** 0.5),
        ("(2 * click - buy / 4) + 1e-3", 2 * ROWS["click"] - ROWS["buy"] / 4 + 1e-3),
        ("-click ** 2", -(ROWS["click"] ** 2)),
        ("+click * 2 ** 3", ROWS["click"] * 8),
        ("click ** -1", 1 / ROWS["click"]),
        ("1 / buy", np.array([5, 1 / 0.3, np.inf])),
        ("click\n  + buy", ROWS["click"] + ROWS["buy"]),
    ],
)
def test_a_formula_gives_what_numpy_gives(text: str, value: Any) -> None:
    np.testing.assert_allclose(parse(text, TASKS).evaluate(ROWS), value, rtol=1e-12)


def test_a_formula_is_a_tree_of_tasks_numbers_and_operators() -> None:
    formula = parse("column('long view') ** 0.5 * 2", TASKS)
    assert formula.tasks == ("long view",)
    power = Term(None, None, "**", Term(task="long view"), Term(number=0.5))
    assert formula.root == Term(None, None, "*", power, Term(number=2.0))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("clik * buy", "no task 'clik'; did you mean 'click'[?] There are click, buy, long view"),
        ("click ** buy", "an exponent must be a constant; got 'buy', column 10"),
        ("0.5 * 3", "a score must name a task"),
        ("log(click)", "a score has tasks, numbers, .*; got 'log.click.', column 1"),
        ("click // 2", "a score has tasks, numbers, .*; got 'click // 2'"),
        ("click if buy > 0 else 1", "a score has tasks, numbers"),
        ("click * 'a'", "a score has tasks, numbers, .*; got \"'a'\"|must be a number"),
        ("click +", "this is no expression"),
        ("click * (1 / 0)", "a part of constants must have a value"),
        ("__import__('os')", "no function '__import__'"),
        ("", "an expression must be a text"),
    ],
)
def test_what_is_no_formula_is_refused_with_its_part(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told) as refused:
        parse(text, TASKS)
    assert "\n" not in str(refused.value)


@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="click buy+-*/()0.5e'\n,", max_size=30))
def test_any_text_is_a_formula_or_one_line(text: str) -> None:
    try:
        found = parse(text, TASKS).evaluate(ROWS)
    except UserError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert found.shape == (3,)


def test_a_description_names_its_score_and_is_refused_with_section_and_key() -> None:
    path = Path("dataset.toml")
    score = '[score]\nformula = "click * buy ** 0.5"'
    assert parse_description(DESCRIPTION, path).recipe.score is None
    assert parse_description(DESCRIPTION + score, path).recipe.score == "click * buy ** 0.5"
    for wrong, told in (
        (score.replace("buy", "by"), r"\[score\] formula: no task 'by'; did you mean 'buy'"),
        (score.replace("formula", "formla"), r"\[score\] formla: there is no such key"),
        ("[score]", r"\[score\] formula: this must be there"),
        ("[score]\nformula = 3", r"\[score\] formula: this must be a text"),
    ):
        with pytest.raises(UserError, match=f"^dataset.toml: {told}"):
            parse_description(DESCRIPTION + wrong, path)
    recipe = Recipe("x", (Categorical("tab"),), (), (Task("click"),))
    assert replace(recipe, score="2 * click").score == "2 * click"
    with pytest.raises(UserError, match="no task 'buy'"):
        replace(recipe, score="buy")


def test_the_encoder_keeps_inputs_and_score_and_the_contents_hash_does_not_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSMD_CACHE", str(tmp_path / "cache"))
    draw = np.random.default_rng(0)
    lines = [f"{tab},{click},{click * buy}" for tab, click, buy in draw.integers(0, 2, (600, 3))]
    (tmp_path / "log.csv").write_text("tab,is_click,is_buy\n" + "\n".join(lines), "utf-8")
    text = DESCRIPTION.replace("is_buy", "is_buy > 0").replace(
        'tab = "category"', 'tab = { kind = "category", from = "tab + 1", optional = true }'
    )
    found = {}
    for name, more in (("plain", ""), ("scored", '[score]\nformula = "click * buy"')):
        path = tmp_path / f"{name}.toml"
        path.write_text(text.replace("[data]", '[data]\nname = "log"') + more, "utf-8")
        data = fsmd.load(str(path))
        encoder = Encoder.from_json((data.path / "encoder.json").read_text("utf-8"))
        assert Encoder.from_json(encoder.to_json()) == encoder
        assert [(each.name, each.expression, each.optional) for each in encoder.inputs] == [
            ("tab", "tab + 1", True)
        ]
        found[data.content_hash] = encoder.score
    assert list(found.values()) == ["click * buy"]
