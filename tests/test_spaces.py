"""A space turns proposals into models and back, and asks for nothing that is moot."""

from dataclasses import fields, replace

import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution

from fsmd.config import MODELS, TOWER_SHAPES, FSMDConfig, tower_widths
from fsmd.data.schema import Schema
from fsmd.errors import UserError
from fsmd.model import FSMD, log_probabilities
from search_spaces import spaces
from search_spaces.axes import AXES, contains
from search_spaces.spaces import Choice, Space
from studies.settings import SETTINGS
from tests.test_model import rows_of, scramble

KUAIRAND = SETTINGS["kuairand"]


def made(name: str, funnel: bool = True) -> Space:
    return spaces.space(name, KUAIRAND.applied, funnel)


def proposals(space: Space, n: int, seed: int = 0) -> list[dict[str, object]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return [dict(space.suggest(study.ask())) for _ in range(n)]


@pytest.mark.parametrize("funnel", [True, False])
@pytest.mark.parametrize("name", spaces.names())
def test_every_proposal_is_a_model_and_back(name: str, funnel: bool) -> None:
    space = made(name, funnel)
    for params in proposals(space, 200):
        config = space.config(params)  # type: ignore[arg-type]
        assert space.params(config) == params
        assert funnel or not config.chain


@pytest.mark.parametrize("name", spaces.names())
def test_every_domain_is_part_of_its_whole_axis(name: str) -> None:
    for choice in made(name).choices:
        domain, whole = choice.domain, AXES[choice.name]
        assert type(domain) is type(whole)
        if isinstance(domain, CategoricalDistribution):
            assert isinstance(whole, CategoricalDistribution)
            assert set(domain.choices) <= set(whole.choices)
        elif isinstance(domain, IntDistribution):
            levels = range(domain.low, domain.high + 1, domain.step)
            assert all(contains(whole, level) for level in levels)
        else:
            assert contains(whole, float(domain.low))  # type: ignore[attr-defined]
            assert contains(whole, float(domain.high))  # type: ignore[attr-defined]


def test_each_space_holds_the_one_before_and_every_axis_is_a_field_or_coded() -> None:
    paper, architecture, full = (set(made(name).axes) for name in spaces.names())
    assert paper < architecture < full
    assert full - {field.name for field in fields(FSMDConfig)} == {"first_weight"}


def test_the_paper_space_is_the_three_figures_factorial() -> None:
    cells = list(made("paper").cells())
    assert len(cells) == 4 * 5 * 7
    assert len({made("paper").config(cell) for cell in cells}) == len(cells)


def test_an_axis_without_meaning_is_not_asked_for() -> None:
    for params in proposals(made("full"), 300):
        gated = params["sharing"] in ("experts", "extraction")
        assert ("expert_count" in params) == gated == ("gate_depth" in params)
        assert ("gate_width" in params) == (gated and params["gate_depth"] != 1)
        assert ("extraction_levels" in params) == (params["sharing"] == "extraction")
        assert ("chain" in params) == (params["sharing"] != "none") == ("balancing" in params)
        assert ("tower_shape" in params) == (params["tower_depth"] != 1)


def network(config: FSMDConfig, schema: Schema) -> tuple[float, ...]:
    """What a model says of a few rows, its widths divided so that it is built quickly."""
    small = replace(
        config, batch_norm=False, layers=tuple(w // 32 for w in config.layers),
        bottom=tuple(w // 32 for w in config.bottom), gate_width=config.gate_width // 8,
        tower_width=config.tower_width // 8,
    )  # fmt: skip
    model = FSMD(small, schema, seed=0).eval()
    scramble(model)
    with torch.no_grad():
        said = log_probabilities(model(*rows_of(schema, 5)), config.chain)
    return tuple(torch.cat(said).flatten().tolist())


@pytest.mark.parametrize("funnel", [True, False])
def test_different_proposals_are_different_networks(funnel: bool, schema: Schema) -> None:
    """Else a search would train one network twice, and find it twice: proposals and their
    neighbours on one axis, whatever that makes of the axes after it.
    """
    space = made("architecture", funnel)
    levels = {
        c.name: [
            cell[c.name] for cell in replace(space, choices=(Choice(c.name, c.domain),)).cells()
        ]
        for c in space.choices
    }
    first = {axis: there[0] for axis, there in levels.items()}
    said: dict[tuple[float, ...], dict[str, object]] = {}
    for n, params in enumerate(proposals(space, 40)):
        axis = list(params)[n % len(params)]
        for level in levels[axis]:
            asked = optuna.trial.FixedTrial({**first, **params, axis: level})
            near = dict(space.suggest(asked))
            assert said.setdefault(network(space.config(near), schema), near) == near  # type: ignore[arg-type]


def test_of_levels_that_mean_one_network_one_is_proposed_and_a_cell() -> None:
    space = made("architecture")
    (shape,) = (choice for choice in space.choices if choice.name == "tower_shape")
    for depth in (2, 3, 4):
        named = {level: shape.named(level, {"tower_depth": depth}) for level in TOWER_SHAPES}
        widths = {level: tower_widths(level, depth, 64) for level in TOWER_SHAPES}
        assert len(set(named.values())) == len(set(widths.values()))
        assert all(widths[level] == widths[named[level]] for level in TOWER_SHAPES)  # type: ignore[index]
    choices = tuple(c for c in space.choices if c.name in ("tower_depth", "tower_shape"))
    assert len(list(replace(space, choices=choices).cells())) == 1 + 3 + 4 + 4


@pytest.mark.parametrize("name", ["architecture", "full"])
def test_all_models_of_the_paper_are_known_points_as_its_studies_train_them(name: str) -> None:
    known = made(name).known
    assert set(known) == {*MODELS, "paper's best", "deep fsmd"}
    for model, config in MODELS.items():
        assert made(name).config(known[model]) == KUAIRAND.applied(config)


def test_without_a_funnel_fsmd_is_fs_and_known_once() -> None:
    known = made("architecture", funnel=False).known
    assert ("fs" in known) != ("fsmd" in known)
    assert "chain" not in made("full", funnel=False).axes


def test_the_paper_space_knows_the_papers_best_triple() -> None:
    known = made("paper").known["paper's best"]
    assert known == {"tower_shape": "diamond", "gate_depth": 3, "expert_count": 10}


def test_a_model_outside_the_space_has_no_parameters() -> None:
    space = made("paper")
    assert space.params(replace(space.base, tower_depth=4)) is None
    assert space.params(replace(space.base, expert_count=16)) is None


@given(st.floats(0.1, 0.9))
def test_the_first_tasks_share_keeps_the_sum_of_weights(share: float) -> None:
    space = made("full")
    params = {**space.known["mmoe"], "first_weight": share}
    weights = space.config(params).task_weights
    assert sum(weights) == pytest.approx(2)
    assert weights[0] / sum(weights) == pytest.approx(share)


def test_a_continuous_space_has_no_grid_and_an_unknown_one_names_the_others() -> None:
    with pytest.raises(UserError, match="learning_rate is continuous"):
        next(made("full").cells())
    with pytest.raises(UserError, match="there are paper, architecture, full"):
        made("everything")


def test_a_choice_counts_only_under_its_conditions() -> None:
    choice = Choice("gate_width", IntDistribution(1, 2), (("sharing", ("experts",)),))
    assert choice.counts({"sharing": "experts"})
    assert not choice.counts({"sharing": "none"})
    assert not choice.counts({})
