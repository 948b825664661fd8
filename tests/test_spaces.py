"""A space turns proposals into models and back, and asks for nothing that is moot."""

from dataclasses import fields, replace

import optuna
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, IntDistribution

from fsmd.config import GATED, MODELS, TOWER_SHAPES, FSMDConfig, check_fits, tower_widths
from fsmd.data.schema import Schema
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.model import FSMD, log_probabilities
from fsmd.tasks import Task
from search_spaces.axes import AXES, WEIGHT, axis, contains
from search_spaces.space import Choice, Space
from search_spaces.spaces import SPACES, space
from tests.test_model import rows_of, scramble

KUAIRAND = TrainingSettings(2048, 0.001, 0.5, 0.0, 30, 3)
FUNNEL = (Task("click"), Task("long_view", after="click"))
UNRELATED = (Task("click"), Task("long_view"))
ONE = (Task("click"),)
FIVE = (
    *FUNNEL,
    Task("like", after="click"),
    Task("follow", after="like"),
    Task("share", weight=2.0),
)
ALL_TASKS = (FUNNEL, UNRELATED, ONE, FIVE)


def of(name: str, tasks: tuple[Task, ...] = FUNNEL) -> Space:
    return space(name, tasks, KUAIRAND)


def proposals(space: Space, n: int, seed: int = 0) -> list[dict[str, object]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed))
    return [dict(space.suggest(study.ask())) for _ in range(n)]


@pytest.mark.parametrize("tasks", ALL_TASKS)
@pytest.mark.parametrize("name", SPACES)
def test_every_proposal_is_a_model_and_back(name: str, tasks: tuple[Task, ...]) -> None:
    whole = of(name, tasks)
    funnel = any(task.after for task in tasks)
    for params in proposals(whole, 200):
        config = whole.config(params)  # type: ignore[arg-type]
        back = whole.params(config)
        assert back is not None
        weights = {axis for axis in params if axis.startswith(f"{WEIGHT}:")}
        assert len(weights) == (len(tasks) - 1 if name == "full" else 0)
        assert {k: v for k, v in back.items() if k not in weights} == {
            k: v for k, v in params.items() if k not in weights
        }
        for weight in weights:  # but for the last digit
            assert back[weight] == pytest.approx(params[weight])
        assert len(tasks) != 2 or back == params
        assert funnel or not config.chain
        check_fits(config, tasks)


@pytest.mark.parametrize("name", SPACES)
def test_every_domain_is_part_of_its_whole_axis(name: str) -> None:
    for choice in of(name, FIVE).choices:
        domain, whole = choice.domain, axis(choice.name, ())
        assert type(domain) is type(whole)
        if isinstance(domain, CategoricalDistribution):
            assert isinstance(whole, CategoricalDistribution)
            assert set(domain.choices) <= set(whole.choices)
        elif isinstance(domain, IntDistribution):
            values = range(domain.low, domain.high + 1, domain.step)
            assert all(contains(whole, value) for value in values)
        else:
            assert contains(whole, float(domain.low))  # type: ignore[attr-defined]
            assert contains(whole, float(domain.high))  # type: ignore[attr-defined]


def test_each_space_holds_the_one_before_and_every_axis_is_a_field_or_a_weight() -> None:
    paper, architecture, full = (set(of(name).axes) for name in SPACES)
    assert paper < architecture < full
    assert full - {field.name for field in fields(FSMDConfig)} == {"weight:click"}
    assert {*AXES} - {field.name for field in fields(FSMDConfig)} == {WEIGHT}


def test_a_task_that_no_search_knew_has_the_axis_of_a_weight() -> None:
    assert axis("weight:buy", (0.5,)) == AXES[WEIGHT]
    assert axis("weight:buy", ()) == AXES[WEIGHT]
    with pytest.raises(UserError, match="no axis 'buy'; there are fm"):
        axis("buy", ())
    with pytest.raises(UserError, match="no axis 'buy'; there are fm, sharing"):
        axis("buy", ())
    with pytest.raises(UserError, match=r"weight:buy=1.5 is outside its axis"):
        axis("weight:buy", (1.5,))


def test_the_paper_space_is_the_three_figures_factorial() -> None:
    combinations = list(of("paper").combinations())
    assert len(combinations) == 4 * 5 * 7
    assert len({of("paper").config(each) for each in combinations}) == len(combinations)


def test_an_axis_without_meaning_is_not_asked_for() -> None:
    for params in proposals(of("full"), 300):
        gated = params["sharing"] in GATED
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
        said = log_probabilities(model(*rows_of(schema, 5)), model.parents)
    return tuple(torch.cat(said).flatten().tolist())


@pytest.mark.parametrize("tasks", [FUNNEL, UNRELATED])
def test_different_proposals_are_different_networks(
    tasks: tuple[Task, ...], schema: Schema
) -> None:
    """Else a search would train one network twice, and find it twice: proposals and their
    neighbours on one axis, whatever that makes of the axes after it.
    """
    space = of("architecture", tasks)
    values = {}
    for c in space.choices:
        alone = replace(space, choices=(Choice(c.name, c.domain),))
        values[c.name] = [each[c.name] for each in alone.combinations()]
    first = {axis: own[0] for axis, own in values.items()}
    said: dict[tuple[float, ...], dict[str, object]] = {}
    for n, params in enumerate(proposals(space, 40)):
        axis = list(params)[n % len(params)]
        for value in values[axis]:
            asked = optuna.trial.FixedTrial({**first, **params, axis: value})
            near = dict(space.suggest(asked))
            assert said.setdefault(network(space.config(near), schema), near) == near  # type: ignore[arg-type]


def test_of_values_that_mean_one_network_one_is_proposed_and_in_a_grid() -> None:
    space = of("architecture")
    (shape,) = (choice for choice in space.choices if choice.name == "tower_shape")
    for depth in (2, 3, 4):
        named = {value: shape.named(value, {"tower_depth": depth}) for value in TOWER_SHAPES}
        widths = {value: tower_widths(value, depth, 64) for value in TOWER_SHAPES}
        assert len(set(named.values())) == len(set(widths.values()))
        assert all(widths[value] == widths[str(named[value])] for value in TOWER_SHAPES)
    choices = tuple(c for c in space.choices if c.name in ("tower_depth", "tower_shape"))
    assert len(list(replace(space, choices=choices).combinations())) == 1 + 3 + 4 + 4


@pytest.mark.parametrize("tasks", [FUNNEL, FIVE])
@pytest.mark.parametrize("name", ["architecture", "full"])
def test_all_models_of_the_paper_are_known_points_as_its_studies_train_them(
    name: str, tasks: tuple[Task, ...]
) -> None:
    whole = of(name, tasks)
    known = whole.known
    assert set(known) == {*MODELS, "paper's best", "deep fsmd"}
    for model, config in MODELS.items():
        assert whole.config(known[model]) == KUAIRAND.applied(config)


def test_without_a_funnel_fsmd_is_fs_and_known_once() -> None:
    known = of("architecture", UNRELATED).known
    assert ("fs" in known) != ("fsmd" in known)
    assert "chain" not in of("full", UNRELATED).axes


def test_the_paper_space_knows_the_papers_best_triple() -> None:
    known = of("paper").known["paper's best"]
    assert known == {"tower_shape": "diamond", "gate_depth": 3, "expert_count": 10}


def test_a_model_outside_the_space_has_no_parameters() -> None:
    space = of("paper")
    assert space.params(replace(space.base, tower_depth=4)) is None
    assert space.params(replace(space.base, expert_count=16)) is None


@given(st.lists(st.floats(0.1, 0.9), min_size=1, max_size=4))
def test_a_weight_is_a_share_of_what_is_left_and_the_weights_are_one_on_average(
    shares: list[float],
) -> None:
    tasks = FIVE[: len(shares) + 1]
    whole = of("full", tasks)
    own = {f"weight:{task.name}": share for task, share in zip(tasks, shares, strict=False)}
    weights = whole.config({**whole.known["mmoe"], **own}).task_weights
    if not weights:
        assert {**whole.known["mmoe"], **own} == whole.known["mmoe"]  # the tasks' own
        return
    left = float(len(tasks))
    assert sum(weights) == pytest.approx(left)
    for weight, share in zip(weights, shares, strict=False):
        assert weight / left == pytest.approx(share)
        left -= weight


def test_the_tasks_own_weights_are_no_weights_of_the_model() -> None:
    """So that a search's model and a study's are one training."""
    tasks = (Task("click", weight=3.0), Task("long_view", after="click"))
    whole = of("full", tasks)
    assert whole.known["mmoe"]["weight:click"] == 0.75
    assert whole.config(whole.known["mmoe"]).task_weights == ()
    other = {**whole.known["mmoe"], "weight:click": 0.5}
    assert whole.config(other).task_weights == (1.0, 1.0)
    assert whole.params(whole.config(other)) == other


def test_one_task_has_nothing_to_weigh_or_balance() -> None:
    assert not {"weight:click", "balancing", "chain"} & set(of("full", ONE).axes)


def test_what_a_known_model_sets_itself_stays() -> None:
    dry = replace(MODELS["mmoe"], dropout=0.25)
    whole = replace(of("full"), models=(("dry", dry), ("mmoe", MODELS["mmoe"])))
    assert whole.config(whole.known["dry"]).dropout == 0.25
    assert whole.config(whole.known["mmoe"]).dropout == KUAIRAND.dropout


def test_a_continuous_space_has_no_grid_and_an_unknown_one_names_the_others() -> None:
    with pytest.raises(UserError, match="learning_rate is continuous"):
        next(of("full").combinations())
    with pytest.raises(UserError, match="there are paper, architecture, full"):
        of("everything")


def test_a_choice_counts_only_under_its_conditions() -> None:
    choice = Choice("gate_width", IntDistribution(1, 2), (("sharing", ("experts",)),))
    assert choice.counts({"sharing": "experts"})
    assert not choice.counts({"sharing": "none"})
    assert not choice.counts({})
