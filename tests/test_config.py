"""`FSMDConfig` holds what the paper says and refuses what no model has."""

import json
from dataclasses import asdict, replace

import pytest

from fsmd.config import MODELS, FSMDConfig, check_fits, fitted, tower_widths
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.tasks import Task


@pytest.mark.parametrize(
    ("shape", "widths"),
    [
        ("constant", (128, 128, 128)),
        ("increasing", (64, 128, 256)),
        ("decreasing", (256, 128, 64)),
        ("diamond", (64, 128, 64)),
    ],
)
def test_tower_widths_of_depth_three_are_the_papers(shape: str, widths: tuple[int, ...]) -> None:
    assert tower_widths(shape, 3, 128) == widths


def test_the_skeletons_decreasing_tower_of_depth_two_is_256_128() -> None:
    assert tower_widths("decreasing", 2, 128) == (256, 128)
    assert FSMDConfig().tower_dims == (256, 128)


def test_the_eleven_models_are_the_papers_cells() -> None:
    cells = {name: (c.fm, c.sharing, c.chain) for name, c in MODELS.items()}
    assert cells == {
        "single_task": ("none", "none", False),
        "deepfm": ("shared", "none", False),
        "wide_deep": ("linear", "none", False),
        "shared_bottom": ("none", "bottom", False),
        "esmm": ("none", "embeddings", True),
        "mmoe": ("none", "experts", False),
        "ple": ("none", "extraction", False),
        "base": ("shared", "bottom", False),
        "fg": ("shared", "experts", False),
        "fs": ("shared", "extraction", False),
        "fsmd": ("shared", "extraction", True),
    }
    assert MODELS["ple"].extraction_levels == 2
    assert MODELS["fs"].extraction_levels == 1


@pytest.mark.parametrize(
    ("change", "rule", "alternative"),
    [
        ({"expert_count": 7}, "`expert_count` must be even", "use 6 or 8"),
        ({"expert_count": 1}, "`expert_count` must be even", "use 2, or"),
        ({"expert_count": 0}, "`expert_count` must be a whole number", "got 0"),
        ({"tower_shape": "pyramid"}, "`tower_shape` must be one of", "diamond"),
        ({"fm": "yes"}, "`fm` must be one of", "shared"),
        ({"sharing": "all"}, "`sharing` must be one of", "extraction"),
        ({"gate_depth": 1.5}, "`gate_depth` must be a whole number", "1.5"),
        ({"dropout": 1.0}, "`dropout` must lie between 0 and 0.99", "1.0"),
        ({"learning_rate": float("nan")}, "`learning_rate` must be a number above 0", "nan"),
        ({"weight_decay": -0.1}, "`weight_decay` must be at least 0", "-0.1"),
        ({"weight_decay": 1}, "`weight_decay` must be at least 0 and below 1", "1"),
        ({"learning_rate": 0.0}, "`learning_rate` must be a number above 0", "0.0"),
        ({"layers": ()}, "`layers` must hold at least one width", "none"),
        ({"layers": (8, 0)}, "`layers` must hold whole numbers", "(8, 0)"),
        ({"task_weights": (0.0, 0.0)}, "`task_weights` must be >= 0", "(0.0, 0.0)"),
        ({"tower_width": 2, "tower_depth": 7}, "`tower_width` 2 is too small", "at least"),
        ({"sharing": "bottom", "extraction_levels": 2}, "`extraction_levels` above 1", "bottom"),
        ({"sharing": "bottom", "bottom": (8,)}, "`bottom` stands in front of experts", "layers"),
        ({"batch_size": 1}, "`batch_size` must be at least 2", "1"),
        ({"learning_rate": "a"}, "`learning_rate` must be a number", "'a'"),
        ({"dropout": "a"}, "`dropout` must lie between 0 and 0.99", "'a'"),
        ({"dropout": 0.999995}, "`dropout` must lie between 0 and 0.99", "0.999995"),
        ({"task_weights": ("a", "b")}, "`task_weights` must be numbers", "'a'"),
        ({"layers": 5}, "`layers` must be a tuple", "5"),
        ({"batch_norm": "no"}, "`batch_norm` must be True or False", "'no'"),
        ({"own_experts": 9}, "`own_experts` must be a whole number from 1", "(8)"),
        ({"sharing": "experts", "own_experts": 2}, "`own_experts` needs", "'experts'"),
        ({"gate": "open"}, "`gate` must be one of learned, equal", "open"),
        ({"pretrain": "gan"}, "`pretrain` must be one of none, dae", "gan"),
        ({"pretrain_fields": ("a",)}, "`pretrain_fields` needs pretrain='dae'", "none"),
        ({"pretrain_epochs": 0}, "`pretrain_epochs` must be a whole number", "0"),
        ({"balancing": "luck"}, "`balancing` must be one of fixed, uncertainty", "luck"),
        (
            {"task_weights": (1.0, 0.0), "balancing": "gradnorm"},
            "`balancing`='gradnorm' needs every task's weight above 0",
            "fixed",
        ),
        (
            {"sharing": "none", "chain": False, "balancing": "pcgrad"},
            "`balancing`='pcgrad' works on what the tasks share",
            "fixed",
        ),
    ],
)
def test_nonsense_is_refused_with_the_rule_and_the_value(
    change: dict[str, object], rule: str, alternative: str
) -> None:
    with pytest.raises(UserError) as refusal:
        replace(FSMDConfig(), **change)  # type: ignore[arg-type]
    message = str(refusal.value)
    assert rule in message
    assert alternative in message
    assert "\n" not in message


INCOME = (Task("income"), Task("marital"))


def test_a_chain_without_a_funnel_is_refused_by_the_tasks_names() -> None:
    with pytest.raises(UserError, match="none of income, marital does"):
        check_fits(MODELS["fsmd"], INCOME)
    with pytest.raises(UserError, match="none of income does"):
        check_fits(MODELS["fsmd"], INCOME[:1])
    check_fits(MODELS["fs"], INCOME)


def test_fsmd_without_a_funnel_is_fs() -> None:
    funnel = (Task("click"), Task("long_view", after="click"))
    assert fitted(MODELS["fsmd"], (Task("click"), Task("like"))) == MODELS["fs"]
    assert fitted(MODELS["fsmd"], funnel) == MODELS["fsmd"]


def test_of_a_single_task_esmm_is_a_network_for_one_task() -> None:
    assert fitted(MODELS["esmm"], (Task("click"),)) == MODELS["single_task"]


def test_a_wrong_number_of_task_weights_is_refused_and_none_leaves_them_to_the_tasks() -> None:
    tasks = (Task("a"), Task("b"), Task("c"))
    with pytest.raises(UserError, match="one weight for each of the tasks a, b, c, or none"):
        check_fits(replace(MODELS["fs"], task_weights=(1.0, 1.0)), tasks)
    check_fits(MODELS["fs"], tasks)
    check_fits(replace(MODELS["fs"], task_weights=(1.0, 0.0, 2.0)), tasks)


def test_what_a_configuration_leaves_open_comes_from_the_data_and_what_it_sets_stays() -> None:
    settings = TrainingSettings(batch_size=64, learning_rate=0.1, dropout=0.3, weight_decay=0.2)
    config = FSMDConfig(dropout=0.0, batch_size=128)
    assert config.left_open == ("learning_rate", "weight_decay")
    filled = settings.applied(config)
    assert filled.left_open == ()
    assert (filled.dropout, filled.batch_size) == (0.0, 128)
    assert (filled.learning_rate, filled.weight_decay) == (0.1, 0.2)
    assert settings.applied(filled) == filled


@pytest.mark.parametrize("name", MODELS)
def test_a_configuration_survives_json(name: str) -> None:
    config = MODELS[name]
    assert FSMDConfig.from_dict(json.loads(json.dumps(asdict(config)))) == config


def test_equal_configurations_are_one_in_json_whole_numbers_or_not() -> None:
    whole = FSMDConfig(dropout=0, learning_rate=1, weight_decay=0, task_weights=(1, 2))
    same = FSMDConfig(dropout=0.0, learning_rate=1.0, weight_decay=0.0, task_weights=(1.0, 2.0))
    assert whole == same
    assert whole.to_json() == same.to_json()


def test_an_unknown_field_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"no field 'gate_layers' in FSMDConfig.*gate_depth"):
        FSMDConfig.from_dict({"gate_layers": 2})


def test_an_increasing_and_a_decreasing_tower_do_not_collide() -> None:
    up = replace(FSMDConfig(), tower_shape="increasing").to_json()
    down = replace(FSMDConfig(), tower_shape="decreasing").to_json()
    assert up != down
