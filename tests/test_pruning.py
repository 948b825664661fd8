"""Who goes on: against a brute-force reference, and what must hold whatever the curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.front import Point, best_first, chosen, hypervolume, on_front
from studies.pruning import Curve, NoPruning, Pruner, SuccessiveHalving, TopK, pruner

GRID = st.integers(0, 6).map(lambda n: n / 8)
"""Exact in floating point, with ties."""
POINTS = st.lists(st.tuples(GRID, GRID), min_size=1, max_size=12)


def dominates(a: Point, b: Point) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and a != b


def naive_ranks(points: Sequence[Point]) -> list[int]:
    """Peel off one front after the other."""
    rank, left, n = [0] * len(points), set(range(len(points))), 0
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        for i in front:
            rank[i] = n
        left, n = left - front, n + 1
    return rank


def naive_volume(points: Sequence[Point], reference: Point) -> float:
    """Inclusion and exclusion over all subsets."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for some in combinations(points, size):
            sides = [max(0.0, min(p[k] for p in some) - reference[k]) for k in range(2)]
            total += (-1) ** (size + 1) * sides[0] * sides[1]
    return total


@given(st.lists(st.tuples(GRID, GRID), min_size=1, max_size=7))
@settings(deadline=None)
def test_hypervolume_is_that_of_the_union_of_boxes(points: list[Point]) -> None:
    reference = (0.125, 0.125)
    assert hypervolume(points, reference) == pytest.approx(naive_volume(points, reference))


def test_a_front_below_the_reference_has_no_volume() -> None:
    assert hypervolume([(0.1, 0.9)], (0.2, 0.2)) == 0
    assert hypervolume([], (0.2, 0.2)) == 0


@given(POINTS)
def test_the_front_is_what_nobody_dominates(points: list[Point]) -> None:
    want = [not any(dominates(q, p) for q in points) for p in points]
    assert on_front(points).tolist() == want


@given(POINTS, st.sampled_from([0.125, 0.25]))
def test_with_slack_only_a_clearly_better_point_takes_one_off_the_front(
    points: list[Point], slack: float
) -> None:
    want = [not any(all(q[k] > p[k] + slack for k in range(2)) for q in points) for p in points]
    assert on_front(points, slack).tolist() == want


@given(POINTS)
def test_order_is_by_rank_and_then_by_share_of_the_ranks_volume(points: list[Point]) -> None:
    order, ranks = best_first(points), naive_ranks(points)
    assert sorted(order) == list(range(len(points)))
    assert [ranks[i] for i in order] == sorted(ranks)
    low = [min(p[k] for p in points) for k in range(2)]
    spread = [max(p[k] for p in points) - low[k] or 1.0 for k in range(2)]
    worst = low[0] - 0.1 * spread[0], low[1] - 0.1 * spread[1]
    for rank in set(ranks):
        peers = [i for i in order if ranks[i] == rank]
        whole = hypervolume([points[i] for i in peers], worst)
        shares = [whole - hypervolume([points[j] for j in peers if j != i], worst) for i in peers]
        assert all(a >= b - 1e-9 for a, b in pairwise(shares))


def test_a_training_stands_where_its_mean_is_best() -> None:
    curve = [(0.6, 0.6), (0.8, 0.7), (0.9, 0.5)]
    assert [chosen(curve, n) for n in (1, 2, 3)] == [(0.6, 0.6), (0.8, 0.7), (0.8, 0.7)]
    assert chosen(curve) == (0.8, 0.7)


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
    curves: Sequence[Curve],
    rungs: Sequence[int],
    eta: int,
    slack: float | None,
    evidence: int | None = None,
) -> set[int]:
    """Every paused training that may go on at the highest rung that has one, from the words."""
    for rung in reversed(rungs):
        there = [i for i, c in enumerate(curves) if c.epochs >= rung or c.state == "ended"]
        stand = {i: chosen(curves[i].points[:rung]) for i in there}
        order = [there[n] for n in best_first(np.array([stand[i] for i in there]))]
        witnesses = [i for i in range(len(curves)) if evidence and (i < evidence or i % 5 == 0)]
        ended = [curves[i].points for i in witnesses if curves[i].state == "ended"]
        shown = evidence is None or (
            all(c.state == "ended" for c in curves[:evidence])
            and len([p for p in ended if len(p) > rung]) >= evidence
            and all(
                naive_agreement(
                    [chosen(p[:rung])[k] for p in ended], [chosen(p)[k] for p in ended]
                )
                for k in range(2)
            )
        )
        allowed = set(order[: len(there) // eta]) | set(witnesses) if shown else set(order)
        if slack is not None:
            allowed |= {
                i for i in there
                if not any(all(a > b + slack for a, b in zip(stand[j], stand[i], strict=True))
                           for j in there)
            }  # fmt: skip
        found = [
            i for i in order
            if i in allowed and curves[i].state == "paused"
            and max(r for r in rungs if r <= curves[i].epochs) == rung
        ]  # fmt: skip
        if found:
            return {found[0]}
    return set()


def run(rule: Pruner, whole: list[list[Point]]) -> list[Curve]:
    """A search with one worker over given curves, to its end; the curves as far as trained."""
    trained: list[int] = []

    def curves() -> list[Curve]:
        return [
            Curve(tuple(c[:n]), "ended" if n == len(c) else "paused")
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


@given(
    whole_curves(2), st.sampled_from([None, 0.0625, 0.125]), st.sampled_from([None, 3]), st.data()
)
@settings(deadline=None)
def test_promotion_agrees_with_the_words(
    whole: list[list[Point]], slack: float | None, evidence: int | None, data: st.DataObject
) -> None:
    rule = SuccessiveHalving(EPOCHS, slack=slack, evidence=evidence)
    curves = []
    for curve in whole:
        # Between rungs too: there another pruner, or a fixed study, left it.
        n = data.draw(st.integers(1, len(curve)))
        states = ["ended"] if n == len(curve) else ["paused", "running"]
        curves.append(Curve(tuple(curve[:n]), data.draw(st.sampled_from(states))))
    found = rule.promoted(curves, complete=True)
    assert ({found} if found is not None else set()) == naive_promotion(
        curves, rule.rungs, 2, slack, evidence
    )


@dataclass
class Watched:
    """A pruner whose decisions are looked at."""

    rule: SuccessiveHalving

    def until(self, epochs: int) -> int:
        return self.rule.until(epochs)

    def promoted(self, curves: Sequence[Curve], complete: bool) -> int | None:
        found = self.rule.promoted(curves, complete)
        if found is not None:
            rung = curves[found].epochs
            for i, curve in enumerate(curves):
                # A witness may go on before its betters: that is what makes it one.
                judged = not self.rule.witness(found) or self.rule.witness(i)
                if judged and curve.state == "paused" and curve.epochs == rung:
                    stand = chosen(curve.points), chosen(curves[found].points)
                    assert not dominates(*stand)
        return found


@given(whole_curves(2), st.sampled_from([None, 0.125]), st.sampled_from([None, 2]))
@settings(deadline=None)
def test_no_training_goes_on_before_one_that_dominates_it_at_the_same_rung(
    whole: list[list[Point]], slack: float | None, evidence: int | None
) -> None:
    run(Watched(SuccessiveHalving(EPOCHS, slack=slack, evidence=evidence)), whole)


@given(whole_curves(2))
@settings(deadline=None)
def test_whoever_is_on_the_front_of_a_rung_goes_on(whole: list[list[Point]]) -> None:
    rule = SuccessiveHalving(EPOCHS, slack=0.125, evidence=None)
    left = run(rule, whole)
    for rung in rule.rungs:
        there = [c for c in left if c.reached(rung)]
        front = on_front([chosen(c.points, rung) for c in there])
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
    rule = SuccessiveHalving(EPOCHS, slack=None, evidence=None)
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


def ends(left: Sequence[Curve]) -> list[bool]:
    return [curve.state == "ended" for curve in left]


def test_nobody_is_stopped_where_first_epochs_mislead() -> None:
    """Slow learners end best: the worse the first epoch, the better the last."""
    crossing = [straight(0.6 - n / 100, 0.7 + n / 100) for n in range(30)]
    assert all(ends(run(SuccessiveHalving(EPOCHS), crossing)))
    believed = ends(run(SuccessiveHalving(EPOCHS, evidence=None), crossing))
    assert not believed[-1]  # the best of all


def test_once_enough_trainings_ended_as_their_first_epochs_told_the_others_are_stopped() -> None:
    parallel = [straight(0.9 - n / 100, 0.95 - n / 100) for n in range(30)]
    left = run(SuccessiveHalving(EPOCHS), parallel)
    assert ends(left)[:8] == [True] * 8
    assert [curve.epochs for curve in left[20:]] == [EPOCHS, 1, 1, 1, 1] * 2  # with a witness


def test_evidence_from_one_kind_of_training_does_not_stop_another_for_good() -> None:
    """The paper's models come first, all with one learning rate, and then slower ones."""
    fast = [straight(0.7 - n / 200, 0.75 - n / 200) for n in range(13)]
    slow = [straight(0.55 + n / 1000, 0.8 + n / 1000) for n in range(27)]
    left = run(SuccessiveHalving(EPOCHS), fast + slow)
    assert sum(ends(left)[13:]) > 20


def test_a_rung_waits_for_the_first_trainings_whatever_ended_before_them() -> None:
    """With many workers those that stop early end first, and are not like the rest."""
    early = [Curve(tuple(straight(0.9 - n / 100, 0.95 - n / 100)), "ended") for n in range(20)]
    rule = SuccessiveHalving(2 * EPOCHS)
    assert rule.decides(2, early)
    late = Curve(tuple(straight(0.5, 0.6)), "running")
    assert not rule.decides(2, [*early[:7], late, *early[7:]])


def test_a_rung_that_all_ended_before_stops_nobody() -> None:
    told = [Curve(tuple(straight(0.9 - n / 100, 0.95 - n / 100)), "ended") for n in range(8)]
    rule = SuccessiveHalving(2 * EPOCHS)
    assert [rule.decides(rung, told) for rung in rule.rungs] == [True, True, True, False]


@pytest.mark.parametrize("seed", range(3))
def test_slow_learners_are_not_stopped_by_fast_ones_that_ended_below_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fast = [straight(0.68 + n / 1000, 0.7 + n / 1000, epochs=6) for n in range(20)]
    slow = [straight(0.6 + n / 1000, 0.74 + n / 1000, epochs=30) for n in range(20)]
    whole = [(fast + slow)[i] for i in rng.permutation(40)]
    left = run(SuccessiveHalving(30), whole)
    assert sum(len(curve.points) == 30 for curve in left) == 20


def test_one_task_that_first_epochs_mislead_on_is_enough_to_stop_nobody() -> None:
    told = [[a for a, _ in straight(0.9 - n / 100, 0.95 - n / 100)] for n in range(30)]
    misled = [[b for _, b in straight(0.6 - n / 100, 0.7 + n / 100)] for n in range(30)]
    mixed: list[list[Point]] = [
        list(zip(*both, strict=True)) for both in zip(told, misled, strict=True)
    ]
    assert all(ends(run(SuccessiveHalving(EPOCHS, slack=None), mixed)))


def test_rungs_lie_at_the_ends_of_epochs_one_two_four_and_the_last_epoch_is_none() -> None:
    assert SuccessiveHalving(30).rungs == (1, 2, 4, 8, 16)
    assert SuccessiveHalving(8).rungs == (1, 2, 4)
    assert SuccessiveHalving(1).rungs == ()
    assert SuccessiveHalving(9, eta=3).rungs == (1, 3)
    assert [SuccessiveHalving(6).until(n) for n in (0, 1, 2, 4)] == [1, 2, 4, 6]


def test_top_k_waits_for_all_and_then_takes_a_share_of_them() -> None:
    rule = TopK(EPOCHS, keep=0.5)
    points = [(0.1, 0.1), (0.4, 0.4), (0.3, 0.3), (0.2, 0.2)]
    paused = [Curve((p,), "paused") for p in points]
    assert rule.promoted(paused, complete=False) is None
    assert rule.promoted([*paused, Curve((), "running")], complete=True) is None
    assert rule.promoted(paused, complete=True) == 1
    paused[1] = Curve((points[1],) * EPOCHS, "ended")
    assert rule.promoted(paused, complete=True) == 2
    paused[2] = Curve((points[2],), "running")
    assert rule.promoted(paused, complete=True) is None
    assert (rule.until(0), rule.until(1)) == (1, EPOCHS)


def test_without_pruning_only_what_was_cut_off_goes_on() -> None:
    rule = NoPruning(EPOCHS)
    assert rule.until(3) == EPOCHS
    assert rule.promoted([Curve(((0.1, 0.1),), "ended")], complete=True) is None
    assert rule.promoted([Curve(((0.1, 0.1),), "paused")], complete=False) == 0


@pytest.mark.parametrize("name", ["halving", "topk", "none"])
def test_a_failed_training_without_a_curve_stops_nobody(name: str) -> None:
    curves = [Curve((), "ended"), Curve(((0.1, 0.1),), "paused"), Curve((), "running")]
    pruner(name, EPOCHS).promoted(curves, complete=False)
