"""Halving in anybody's Optuna study: the rule of our searches, whatever the storage and loop."""

import runpy
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import FixedTrial, TrialState, create_trial

from fsmd.errors import UserError
from fsmd.stats.pareto import Point, best_first, on_front
from studies.search import MultiObjectiveHalving

optuna.logging.set_verbosity(optuna.logging.ERROR)
EXAMPLE = Path(__file__).parents[1] / "examples" / "halving_with_optuna.py"
STEPS = 8
Curves = Sequence[Sequence[Point]]


def study_of(*directions: Literal["minimize", "maximize"], **more: Any) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=0)
    return optuna.create_study(directions=directions, sampler=sampler, **more)


def telling(
    halving: MultiObjectiveHalving, curves: Curves, every: int = 1
) -> Callable[[optuna.Trial], Point]:
    """An objective function that tells the curve of the trial's number, to its end or its stop."""

    def objective(trial: optuna.Trial) -> Point:
        curve = curves[trial.number]
        for step in range(every, len(curve) + 1, every):
            trial.set_user_attr("steps", step)
            if halving.stops(trial, step, curve[step - 1]):
                raise optuna.TrialPruned
        return curve[-1]

    return objective


def steps_of(study: optuna.Study) -> list[int]:
    return [trial.user_attrs["steps"] for trial in study.trials]


def parallel(count: int, steps: int = STEPS) -> list[list[Point]]:
    """Each trial is worse than the one before it, from its first step to its last."""
    return [[(1 - i / 100 + s / 1000,) * 2 for s in range(steps)] for i in range(count)]


@pytest.mark.parametrize("objectives", [1, 2, 3])
@given(data=st.data())
@settings(deadline=None, max_examples=25)
def test_who_stops_agrees_with_the_words_in_either_direction(
    objectives: int, data: st.DataObject
) -> None:
    """Without evidence, one trial after the other."""
    point = st.tuples(*[st.integers(0, 6).map(lambda n: n / 8)] * objectives)
    whole = st.lists(point, min_size=1, max_size=STEPS)
    curves = data.draw(st.lists(whole, min_size=1, max_size=8))
    signs = data.draw(st.tuples(*[st.sampled_from([1, -1])] * objectives))
    slack = data.draw(st.sampled_from([None, 0.0, 0.125]))
    halving = MultiObjectiveHalving(STEPS, slack, evidence=None)
    study = study_of(*("maximize" if sign == 1 else "minimize" for sign in signs))
    seen: list[tuple[Sequence[Point], bool]] = []
    for curve in curves:
        trial, stops = study.ask(), False
        for step, gains in enumerate(curve, start=1):
            values = tuple(sign * gain for sign, gain in zip(signs, gains, strict=True))
            stops = halving.stops(trial, step, values)
            others = [c[min(step, len(c)) - 1] for c, ended in seen if ended or len(c) >= step]
            there = np.array([*others, gains])
            best = best_first(there)[: max(1, len(there) // 2)]
            guarded = slack is not None and on_front(there, slack)[-1]
            assert stops == (step in (1, 2, 4) and len(others) not in best and not guarded)
            if stops:
                break
        seen.append((curve[:step], not stops))
        study.tell(trial, None if stops else values, TrialState.PRUNED if stops else None)
        kept = {n: study.trials[-1].user_attrs.get(f"halving:{n}") for n in (1, 2, 4)}
        assert kept[max(n for n in kept if n <= step)] is not None


@pytest.mark.parametrize("jobs", [1, 3])
def test_what_is_stopped_is_pruned_and_keeps_its_last_values(jobs: int) -> None:
    curves = parallel(30)
    study = study_of("maximize", "maximize")
    study.optimize(telling(MultiObjectiveHalving(STEPS), curves), n_trials=30, n_jobs=jobs)
    stopped = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert 10 < len(stopped) < 20
    for trial in stopped:
        last = trial.user_attrs["steps"]
        kept = [trial.number, *curves[trial.number][last - 1]]
        assert trial.user_attrs[f"halving:{last}"] == kept
    assert [trial.number for trial in study.best_trials] == [0]


def test_nobody_is_stopped_where_first_steps_mislead() -> None:
    crossing = [[(0.6 - i / 100 + s * i / 200,) * 2 for s in range(STEPS)] for i in range(30)]
    study = study_of("maximize", "maximize")
    study.optimize(telling(MultiObjectiveHalving(STEPS), crossing), n_trials=30)
    assert steps_of(study) == [STEPS] * 30


def test_processes_on_one_storage_judge_by_all_trials_and_a_loaded_study_goes_on(
    tmp_path: Path,
) -> None:
    storage = f"sqlite:///{tmp_path}/optuna.db"
    study_of("maximize", "minimize", study_name="ours", storage=storage)
    script = f"""
import optuna
from studies.search import MultiObjectiveHalving
study = optuna.load_study(study_name="ours", storage={storage!r})
halving = MultiObjectiveHalving(4)
def objective(trial):
    for step in (1, 2, 3, 4):
        halving.stops(trial, step, (-trial.number, trial.number))
    return -trial.number, trial.number
study.optimize(objective, n_trials=8)
"""
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    study = optuna.load_study(study_name="ours", storage=storage)
    worse: list[list[Point]] = [[(-n, n)] * 4 for n in range(10)]
    study.optimize(telling(MultiObjectiveHalving(4), worse), n_trials=2)
    assert [trial.state for trial in study.trials[8:]] == [TrialState.PRUNED] * 2
    assert study.trials[9].user_attrs == {"halving:1": [9, -9.0, 9.0], "steps": 1}


def test_a_trial_that_tells_some_steps_is_judged_at_the_first_after_a_rung() -> None:
    study = study_of("maximize", "maximize")
    halving = MultiObjectiveHalving(12, evidence=None)
    study.optimize(telling(halving, parallel(6, steps=12), every=3), n_trials=6)
    assert steps_of(study) == [12, 3, 3, 3, 3, 3]
    assert {*study.trials[0].user_attrs} == {"steps", *(f"halving:{n}" for n in (1, 2, 4, 8))}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_trial_that_has_diverged_stops_and_counts_for_no_other(value: float) -> None:
    curves: list[list[Point]] = [[(0.5, value)] * 8, *parallel(3)]
    study = study_of("maximize", "maximize")
    study.optimize(telling(MultiObjectiveHalving(8, evidence=None), curves), n_trials=4)
    assert steps_of(study) == [1, 8, 1, 1]


@pytest.mark.parametrize("diverges_at", [None, 1, 4])
def test_a_first_trial_that_never_ends_does_not_switch_the_halving_off(
    diverges_at: int | None,
) -> None:
    """It diverges, or the objective function itself prunes it."""
    curves = parallel(20)
    if diverges_at is not None:
        curves[3][diverges_at - 1] = (float("nan"),) * 2
    halving = MultiObjectiveHalving(STEPS)

    def objective(trial: optuna.Trial) -> Point:
        if trial.number == 3 and diverges_at is None:
            halving.stops(trial, 1, curves[3][0])
            raise optuna.TrialPruned
        return telling(halving, curves)(trial)

    study = study_of("maximize", "maximize")
    study.optimize(objective, n_trials=20)
    pruned = [trial.number for trial in study.trials if trial.state == TrialState.PRUNED]
    # Trials 10 and 15 are witnesses; the 10th takes the place of the third.
    assert pruned == [3, 11, 12, 13, 14, 16, 17, 18, 19]


def test_a_trial_that_optuna_tries_again_is_judged_by_what_it_tells_itself() -> None:
    halving = MultiObjectiveHalving(STEPS)
    study = study_of("maximize", "maximize")
    study.optimize(telling(halving, parallel(8)), n_trials=8)
    died = study.ask()
    assert not halving.stops(died, 4, (2.0, 2.0))
    study.tell(died, state=TrialState.FAIL)
    # Optuna's retry callbacks do so.
    copied = study.trials[-1].user_attrs
    study.add_trial(create_trial(state=TrialState.WAITING, user_attrs=copied))
    again = study.ask()
    assert again.user_attrs["halving:1"] == [8, 2.0, 2.0]
    assert halving.stops(again, 1, (0.0, 0.0))
    assert again.user_attrs["halving:1"] == [9, 0.0, 0.0]


def test_trials_that_failed_or_came_from_elsewhere_stop_nobody() -> None:
    halving = MultiObjectiveHalving(8, evidence=None)
    study = study_of("maximize", "maximize")
    study.add_trial(create_trial(values=[2.0, 2.0]))  # its last values are no first ones
    failed = study.ask()
    halving.stops(failed, 1, (3.0, 3.0))
    study.tell(failed, state=TrialState.FAIL)
    assert not halving.stops(study.ask(), 1, (1.0, 1.0))
    assert halving.stops(study.ask(), 1, (0.5, 0.5))


def test_each_objective_may_have_its_own_slack() -> None:
    halving = MultiObjectiveHalving(8, slack=(0.1, 0.0), evidence=None)
    study = study_of("maximize", "minimize")
    assert not halving.stops(study.ask(), 1, (0.9, 10))
    assert not halving.stops(study.ask(), 1, (0.85, 11))
    assert halving.stops(study.ask(), 1, (0.75, 11))


def test_without_a_study_nothing_stops() -> None:
    """So the objective function can be called again with the parameters that were found."""
    halving = MultiObjectiveHalving(8, evidence=None)
    assert not halving.stops(FixedTrial({}), 1, (0.1,))
    study = study_of("maximize")
    study.optimize(telling(halving, [[(1.0,)]]), n_trials=1)
    assert not halving.stops(study.best_trial, 1, (0.1,))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ({"steps": 0}, "steps must be a whole number, at least 1; got 0"),
        ({"steps": 8, "eta": 1}, "eta must be a whole number, at least 2; got 1"),
        ({"steps": 8, "evidence": 0}, "evidence must be a whole number, at least 1; got 0"),
        ({"steps": 8, "slack": (0.1,)}, "slack must be one number or 2; got"),
        ({"steps": 8, "step": 0}, "step must be at least 1, the first; got 0"),
        ({"steps": 8, "values": (1.0,)}, "values must be 2 numbers, one for each objective"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make: dict[str, Any], message: str) -> None:
    step, values = make.pop("step", 1), make.pop("values", (1.0, 2.0))
    trial = study_of("maximize", "maximize").ask()
    with pytest.raises(UserError, match=message.replace("(", r"\(")):
        MultiObjectiveHalving(**make).stops(trial, step, values)


def test_the_example_stops_trials_and_finds_networks_that_no_other_beats(
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = runpy.run_path(str(EXAMPLE))["main"](trials=10)
    assert "of 10 trials stopped" in capsys.readouterr().out
    assert {trial.state for trial in study.trials} == {TrialState.PRUNED, TrialState.COMPLETE}
    assert min(trial.values[0] for trial in study.best_trials) < 0.1
