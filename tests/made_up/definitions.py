"""Definitions of made-up studies, one of each form, whose claims name the given tasks."""

from collections.abc import Sequence
from dataclasses import replace

from fsmd.baselines import Config
from fsmd.config import MODELS, FSMDConfig
from fsmd.tasks import MEAN, Task, names
from studies.definition import (
    Above,
    Arm,
    Best,
    Claim,
    Factor,
    Flat,
    NotEverywhere,
    NotWorse,
    Rule,
    Study,
    Trades,
    factorial,
    named,
    one_factor,
)
from tests.made_up.tasks import tasks


def of_network(config: Config) -> FSMDConfig:
    """A configuration that is no baseline's."""
    assert isinstance(config, FSMDConfig)
    return config


_SMALL = FSMDConfig(layers=(8,), tower_width=8, tower_depth=2, expert_count=4)


def _claims(of: Sequence[Task], arm: str, other: str) -> tuple[Claim, ...]:
    """A claim for each kind of rule, and one of two rules."""
    task = of[0].name
    rules: tuple[tuple[Rule, ...], ...] = (
        (Above(task, arm, other),),
        (Best(MEAN, arm),),
        (Best(of[-1].name, arm, among=(arm, other)),),
        (NotWorse(MEAN, arm, 0.002),),
        (Flat(task),),
        (NotEverywhere(arm, other),),
        (Trades(arm, other, 0.0005),),
        (Above(task, arm, other), NotWorse(of[-1].name, arm)),
    )
    return tuple(
        Claim(f"made-up-{i}", f"Made-up claim {i} of {arm}.", "made up", each)
        for i, each in enumerate(rules, start=1)
    )


def _study(
    name: str,
    factor: str,
    base: FSMDConfig,
    arms: tuple[Arm, ...],
    reference: str,
    of: Sequence[Task],
    data: str = "planted",
) -> Study:
    other = next(arm.name for arm in arms if arm.name != reference)
    return Study(
        name=name,
        title=f"Made-up {name}",
        question=f"What does {factor} do?",
        factor=factor,
        base=base,
        arms=arms,
        reference=reference,
        claims=_claims(of, reference, other),
        data=data,
        about="",
        tasks=names(of),
    )


def towers(of: Sequence[Task] = tasks(2)) -> Study:
    """One factor with four values, a name each: tower shapes."""
    factor = Factor("tower_shape", ("constant", "increasing", "decreasing", "diamond"))
    return _study("towers", "tower shape", _SMALL, one_factor(factor), "diamond", of)


def counts(of: Sequence[Task] = tasks(2)) -> Study:
    """One factor with five whole numbers: expert counts."""
    factor = Factor("expert_count", (2, 4, 6, 8, 10))
    return _study("counts", "experts", _SMALL, one_factor(factor), "8", of)


def models(of: Sequence[Task] = tasks(2)) -> Study:
    """Models of the paper, which lie on a plane."""
    chosen = ("single_task", "shared_bottom", "mmoe", "ple", "base", "fs", "fsmd")
    configs = tuple(
        (name, replace(MODELS[name], layers=(8,), tower_width=8, expert_count=4))
        for name in chosen
    )
    return _study("models", "model", _SMALL, named(configs, "model", _SMALL), "base", of)


def grid(of: Sequence[Task] = tasks(2)) -> Study:
    """A factorial of three factors: 4 x 3 x 2 arms."""
    factors = (
        Factor("tower_shape", ("constant", "increasing", "decreasing", "diamond")),
        Factor("gate_depth", (1, 2, 3)),
        Factor("expert_count", (2, 4)),
    )
    reference = "diamond / 1 / 4"
    return _study(
        "grid", "tower shape / gate depth / experts", _SMALL, factorial(factors), reference, of
    )


def small_grid(of: Sequence[Task] = tasks(2)) -> Study:
    """Eight arms of the grid, which are still a factorial of three factors."""
    values = {"constant", "diamond", "1", "2", "4"}
    kept = [arm for arm in grid(of).arms if {*arm.name.split(" / ")} <= values]
    return replace(grid(of), name="small_grid", arms=tuple(kept))


def knob(of: Sequence[Task] = tasks(2)) -> Study:
    """Three models along a knob of the data: an arm brings its own data set."""
    arms = []
    for conflict in (0.0, 0.5, 1.0):
        for model in ("single_task", "mmoe", "fs"):
            config = MODELS[model]
            changes = (
                ("fm", config.fm),
                ("sharing", config.sharing),
                ("chain", config.chain),
                ("extraction_levels", config.extraction_levels),
            )
            data = f"planted:conflict={conflict:g}"
            params = (("model", model), ("conflict", conflict))
            arms.append(Arm(f"{model} @ {conflict:g}", changes, params, data))
    reference = "single_task @ 0"
    data = "planted:conflict=0"
    return _study("knob", "model @ conflict", _SMALL, tuple(arms), reference, of, data)


def many(of: Sequence[Task] = tasks(2), count: int = 24) -> Study:
    """One factor with more values than are named one by one: embedding sizes from 1."""
    factor = Factor("embedding_size", tuple(range(1, count + 1)))
    return _study("many", "embedding size", _SMALL, one_factor(factor), "4", of)
