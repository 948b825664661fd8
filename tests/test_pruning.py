"""Who goes on: against a brute-force reference, and what must hold whatever the curves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmd.stats.pareto import Point, best_first, on_front
from studies.search.pruning import (
    PRUNERS,
    NoPruning,
    Pruner,
    StandingCurve,
    SuccessiveHalving,
    TopK,
)

GRID = st.integers(0, 6).map(lambda n: n / 8)
"""Exact in floating point, with ties."""


def chosen(raw: Sequence[Point]) -> Point:
    """Where a training of this raw curve stands: at the epoch of the best mean."""
    return max(raw, key=lambda point: sum(point) / len(point))


def curve(raw: Sequence[Point], state: str) -> StandingCurve:
    """What a pruner sees of a raw curve."""
    points = tuple(chosen(raw[: n + 1]) for n in range(len(raw)))
    return StandingCurve(points, state)  # type: ignore[arg-type]


def halving(
    epochs: int,
    slack: float | None = 0.001,
    evidence: int | None = 8,
    objectives: int = 2,
    eta: int = 2,
) -> SuccessiveHalving:
    """With the same slack, an AUC's margin, on each of two objectives."""
    each = None if slack is None else (slack,) * objectives
    return SuccessiveHalving(epochs, each, eta, evidence)


def dominates(a: Point, b: Point) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


def test_a_curve_is_known_at_an_epoch_once_it_came_so_far_or_ended() -> None:
    points = ((0.6, 0.6), (0.8, 0.7), (0.9, 0.7))
    assert [StandingCurve(points, "paused").at(n) for n in (1, 2, 3)] == list(points)
    assert StandingCurve(points, "ended").at(9) == points[-1]
    reached = [StandingCurve(points, state).reached(9) for state in ("paused", "running", "ended")]
    assert reached == [False, False, True]
    assert not StandingCurve((), "ended").reached(1)


# ------------------------------------------------------------------------------------------
# Promotion.
# ------------------------------------------------------------------------------------------

EPOCHS = 8


def whole_curves(objectives: int) -> st.SearchStrategy[list[list[Point]]]:
    point = st.tuples(*[GRID] * objectives)
    return st.lists(st.lists(point, min_size=2, max_size=EPOCHS), min_size=2, max_size=10)


def naive_agreement(here: Sequence[float], end: Sequence[float]) -> bool:
    """Pearson's correlation of mean ranks, at least a half."""
    if len(set(end)) == 1:
        return True
    ranks = [
        [sum(w < v for w in values) + (sum(w == v for w in values) - 1) / 2 for v in values]
        for values in (here, end)
    ]
    (a, b), middle = ranks, (len(here) - 1) / 2
    both = sum((x - middle) * (y - middle) for x, y in zip(a, b, strict=True))
    each = sum((x - middle) ** 2 for x in a) * sum((y - middle) ** 2 for y in b)
    return each > 0 and both / each**0.5 >= 0.5 - 1e-9


def naive_promotion(
    raws: Sequence[tuple[Sequence[Point], str]],
    rungs: Sequence[int],
    eta: int,
    slack: float | None,
    evidence: int | None = None,
) -> set[int]:
    """Every paused training that may go on at the highest rung that has one, from the words."""
    objectives = len(raws[0][0][0])
    for rung in reversed(rungs):
        there = [i for i, (raw, state) in enumerate(raws) if len(raw) >= rung or state == "ended"]
        stand = {i: chosen(raws[i][0][:rung]) for i in there}
        order = [there[n] for n in best_first(np.array([stand[i] for i in there]))]
        witnesses = [i for i in range(len(raws)) if evidence and (i < evidence or i % 5 == 0)]
        ended = [raws[i][0] for i in witnesses if raws[i][1] == "ended"]
        shown = evidence is None or (
            all(state == "ended" for _, state in raws[:evidence])
            and len([p for p in ended if len(p) > rung]) >= evidence
            and all(
                naive_agreement(
                    [chosen(p[:rung])[k] for p in ended], [chosen(p)[k] for p in ended]
                )
                for k in range(objectives)
            )
        )
        allowed = set(order[: len(there) // eta]) | set(witnesses) if shown else set(order)
        if slack is not None:
            allowed |= {
                i
                for i in there
                if not any(
                    all(a > b + slack for a, b in zip(stand[j], stand[i], strict=True))
                    for j in there
                )
            }
        found = [
            i
            for i in order
            if i in allowed
            and raws[i][1] == "paused"
            and max(r for r in rungs if r <= len(raws[i][0])) == rung
        ]
        if found:
            return {found[0]}
    return set()


def run(rule: Pruner, whole: list[list[Point]]) -> list[StandingCurve]:
    """A search with one worker over given curves, to its end; the curves as far as trained."""
    trained: list[int] = []

    def curves() -> list[StandingCurve]:
        return [
            curve(c[:n], "ended" if n == len(c) else "paused")
            for c, n in zip(whole, trained, strict=False)
        ]

    for _ in range(1000):
        complete = len(trained) == len(whole)
        i = rule.promoted(curves(), complete)
        if i is None and complete:
            return curves()
        if i is None:
            trained.append(0)
            i = len(trained) - 1
        assert curves()[i].state == "paused" or trained[i] == 0
        trained[i] = min(rule.until(trained[i]), len(whole[i]))
    raise AssertionError("the search does not end")


@pytest.mark.parametrize("objectives", [1, 2, 3])
@given(data=st.data())
@settings(deadline=None)
def test_promotion_agrees_with_the_words(objectives: int, data: st.DataObject) -> None:
    whole = data.draw(whole_curves(objectives))
    slack = data.draw(st.sampled_from([None, 0.0625, 0.125]))
    evidence = data.draw(st.sampled_from([None, 3]))
    rule = halving(EPOCHS, slack, evidence, objectives)
    raws: list[tuple[Sequence[Point], str]] = []
    for each in whole:
        # Between rungs too: there another pruner, or a fixed study, left it.
        n = data.draw(st.integers(1, len(each)))
        states = ["ended"] if n == len(each) else ["paused", "running"]
        raws.append((each[:n], data.draw(st.sampled_from(states))))
    found = rule.promoted([curve(*raw) for raw in raws], complete=True)
    assert ({found} if found is not None else set()) == naive_promotion(
        raws, rule.rungs, 2, slack, evidence
    )


@dataclass
class Watched:
    """A pruner whose decisions are looked at."""

    rule: SuccessiveHalving

    def until(self, epochs: int) -> int:
        return self.rule.until(epochs)

    def promoted(self, curves: Sequence[StandingCurve], complete: bool) -> int | None:
        found = self.rule.promoted(curves, complete)
        if found is not None:
            rung = curves[found].epochs
            for i, curve in enumerate(curves):
                # A witness may go on before its betters: that is what makes it one.
                judged = not self.rule.witness(found) or self.rule.witness(i)
                if judged and curve.state == "paused" and curve.epochs == rung:
                    stand = curve.stands, curves[found].stands
                    assert not dominates(*stand)
        return found


@given(whole_curves(2), st.sampled_from([None, 0.125]), st.sampled_from([None, 2]))
@settings(deadline=None)
def test_no_training_goes_on_before_one_that_dominates_it_at_the_same_rung(
    whole: list[list[Point]], slack: float | None, evidence: int | None
) -> None:
    run(Watched(halving(EPOCHS, slack, evidence)), whole)


@given(whole_curves(2))
@settings(deadline=None)
def test_whoever_is_on_the_front_of_a_rung_goes_on(whole: list[list[Point]]) -> None:
    rule = halving(EPOCHS, slack=0.125, evidence=None)
    left = run(rule, whole)
    for rung in rule.rungs:
        there = [c for c in left if c.reached(rung)]
        front = on_front([c.at(rung) for c in there])
        for curve, best in zip(there, front, strict=True):
            assert not best or curve.state == "ended" or curve.epochs > rung


@given(st.lists(st.permutations(range(EPOCHS)), min_size=2, max_size=10))
@settings(deadline=None)
def test_with_one_objective_it_is_asynchronous_successive_halving(
    shapes: list[list[int]],
) -> None:
    """ASHA as its paper states it: promote the top 1/eta of a rung, the highest rung first."""
    values: list[list[Point]] = [
        [(n + i / 100,) for n in shape] for i, shape in enumerate(shapes)
    ]  # no ties
    rule = halving(EPOCHS, slack=None, evidence=None)
    left = run(rule, values)

    rungs: dict[int, dict[int, float]] = {1: {}, 2: {}, 4: {}, EPOCHS: {}}
    promoted: dict[int, set[int]] = {rung: set() for rung in rungs}
    started = 0

    def job() -> tuple[int, int] | None:
        for rung, after in ((4, EPOCHS), (2, 4), (1, 2)):
            best = sorted(rungs[rung], key=lambda i: -rungs[rung][i])[: len(rungs[rung]) // 2]
            for i in best:
                if i not in promoted[rung]:
                    promoted[rung].add(i)
                    return i, after
        return None

    while True:
        found = job()
        if found is None:
            if started == len(values):
                break
            found, started = (started, 1), started + 1
        i, rung = found
        rungs[rung][i] = max(v for (v,) in values[i][:rung])
    reached = [max(rung for rung in rungs if i in rungs[rung]) for i in range(len(values))]
    assert [curve.epochs for curve in left] == reached


def straight(start: float, end: float, epochs: int = EPOCHS) -> list[Point]:
    steps = np.linspace(start, end, epochs).tolist()
    return [(value, value) for value in steps]


def ends(left: Sequence[StandingCurve]) -> list[bool]:
    return [curve.state == "ended" for curve in left]


def test_nobody_is_stopped_where_first_epochs_mislead() -> None:
    """Slow learners end best: the worse the first epoch, the better the last."""
    crossing = [straight(0.6 - n / 100, 0.7 + n / 100) for n in range(30)]
    assert all(ends(run(halving(EPOCHS), crossing)))
    believed = ends(run(halving(EPOCHS, evidence=None), crossing))
    assert not believed[-1]  # the best of all


def test_once_enough_trainings_ended_as_their_first_epochs_told_the_others_are_stopped() -> None:
    parallel = [straight(0.9 - n / 100, 0.95 - n / 100) for n in range(30)]
    left = run(halving(EPOCHS), parallel)
    assert ends(left)[:8] == [True] * 8
    assert [curve.epochs for curve in left[20:]] == [EPOCHS, 1, 1, 1, 1] * 2  # with a witness


def test_evidence_from_one_kind_of_training_does_not_stop_another_for_good() -> None:
    """The paper's models come first, all with one learning rate, and then slower ones."""
    fast = [straight(0.7 - n / 200, 0.75 - n / 200) for n in range(13)]
    slow = [straight(0.55 + n / 1000, 0.8 + n / 1000) for n in range(27)]
    left = run(halving(EPOCHS), fast + slow)
    assert sum(ends(left)[13:]) > 20


def test_a_rung_waits_for_the_first_trainings_whatever_ended_before_them() -> None:
    """With many workers those that stop early end first, and are not like the rest."""
    early = [curve(straight(0.9 - n / 100, 0.95 - n / 100), "ended") for n in range(20)]
    rule = halving(2 * EPOCHS)
    assert rule.decides(2, early)
    late = curve(straight(0.5, 0.6), "running")
    assert not rule.decides(2, [*early[:7], late, *early[7:]])


def test_a_training_that_is_stopped_for_good_is_not_waited_for_and_is_no_evidence() -> None:
    rule = halving(16)
    ended = [curve([(n / 10, n / 10)] * 16, "ended") for n in range(10)]
    gone = curve([(0.1, 0.2)], "stopped")
    assert not rule.decides(1, [gone, *ended[:9]])
    assert rule.decides(1, [gone, *ended])  # the last one is at place 10, the eighth witness


def test_a_rung_that_all_ended_before_stops_nobody() -> None:
    told = [curve(straight(0.9 - n / 100, 0.95 - n / 100), "ended") for n in range(8)]
    rule = halving(2 * EPOCHS)
    assert [rule.decides(rung, told) for rung in rule.rungs] == [True, True, True, False]


@pytest.mark.parametrize("seed", range(3))
def test_slow_learners_are_not_stopped_by_fast_ones_that_ended_below_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fast = [straight(0.68 + n / 1000, 0.7 + n / 1000, epochs=6) for n in range(20)]
    slow = [straight(0.6 + n / 1000, 0.74 + n / 1000, epochs=30) for n in range(20)]
    whole = [(fast + slow)[i] for i in rng.permutation(40)]
    left = run(halving(30), whole)
    assert sum(len(curve.points) == 30 for curve in left) == 20


def test_one_task_that_first_epochs_mislead_on_is_enough_to_stop_nobody() -> None:
    told = [[a for a, _ in straight(0.9 - n / 100, 0.95 - n / 100)] for n in range(30)]
    misled = [[b for _, b in straight(0.6 - n / 100, 0.7 + n / 100)] for n in range(30)]
    mixed: list[list[Point]] = [
        list(zip(*both, strict=True)) for both in zip(told, misled, strict=True)
    ]
    assert all(ends(run(halving(EPOCHS, slack=None), mixed)))


def test_rungs_lie_at_the_ends_of_epochs_one_two_four_and_the_last_epoch_is_none() -> None:
    assert halving(30).rungs == (1, 2, 4, 8, 16)
    assert halving(8).rungs == (1, 2, 4)
    assert halving(1).rungs == ()
    assert halving(9, eta=3).rungs == (1, 3)
    assert [halving(6).until(n) for n in (0, 1, 2, 4)] == [1, 2, 4, 6]


def test_top_k_waits_for_all_and_then_takes_a_share_of_them() -> None:
    rule = TopK(EPOCHS, keep=0.5)
    points = [(0.1, 0.1), (0.4, 0.4), (0.3, 0.3), (0.2, 0.2)]
    paused = [StandingCurve((p,), "paused") for p in points]
    assert rule.promoted(paused, complete=False) is None
    assert rule.promoted([*paused, StandingCurve((), "running")], complete=True) is None
    assert rule.promoted(paused, complete=True) == 1
    paused[1] = StandingCurve((points[1],) * EPOCHS, "ended")
    assert rule.promoted(paused, complete=True) == 2
    paused[2] = StandingCurve((points[2],), "running")
    assert rule.promoted(paused, complete=True) is None
    assert (rule.until(0), rule.until(1)) == (1, EPOCHS)


def test_without_pruning_only_what_was_cut_off_goes_on() -> None:
    rule = NoPruning(EPOCHS)
    assert rule.until(3) == EPOCHS
    assert rule.promoted([StandingCurve(((0.1, 0.1),), "ended")], complete=True) is None
    assert rule.promoted([StandingCurve(((0.1, 0.1),), "paused")], complete=False) == 0


@pytest.mark.parametrize("name", ["halving", "topk", "none"])
def test_a_failed_training_without_a_curve_stops_nobody(name: str) -> None:
    curves = [
        StandingCurve((), "ended"),
        StandingCurve(((0.1, 0.1),), "paused"),
        StandingCurve((), "running"),
    ]
    PRUNERS[name](EPOCHS, (0.001, 0.001)).promoted(curves, complete=False)


def test_each_objective_has_its_own_slack() -> None:
    """A cost has no noise to allow for: being a little dearer is enough to be beaten."""
    rule = SuccessiveHalving(EPOCHS, slack=(0.01, 0.0), evidence=None)
    best, near = (0.70, -1.0), (0.695, -2.0)
    for point, goes_on in ((near, True), ((0.68, -2.0), False), ((0.68, -1.0), True)):
        curves = [StandingCurve((best,) * EPOCHS, "ended"), StandingCurve((point,), "paused")]
        assert (rule.promoted(curves, complete=True) == 1) == goes_on
