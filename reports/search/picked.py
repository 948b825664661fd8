"""The picks of a search, each told of by seeds that did not choose it.

A seed moves a training's validation and test figures together, so a point that is the best by
validation looks too good on test too, on the seeds that chose it (the winner's curse). So each
seed tells of the point that a rule picks by all other seeds (cross-fitting).

Suffixes: N candidates, M objectives, K tasks, R paired seeds, T targets.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fsmd.metrics import METRICS
from fsmd.stats.estimates import ALPHA, Estimate, holm, mean_interval, p_value
from fsmd.stats.scatter import of_mixture
from fsmd.tasks import Target
from reports.results import shared_part
from reports.search.confirmed import Confirmed, fresh_figures
from reports.search.picks import Candidates, PickRule, picked
from reports.search.results import SearchResults
from studies.search.confirmation import references

Differences = tuple[tuple[str, tuple[Estimate, ...]], ...]
"""(Reference, one estimate for each target)."""


@dataclass(frozen=True)
class Told:
    """What seeds tell of what some rules pick."""

    rules: tuple[PickRule, ...]
    by_seed: tuple[str, ...]
    """For each seed the point that the rules pick by all others; of a single seed by itself."""
    differences: Differences
    """On test, each seed's of its own point."""


@dataclass(frozen=True)
class Pick:
    """An attempt, the rules that chose it by all seeds, and what is told of it.

    `told` has an entry for all rules that pick alike; none without fresh seeds.
    """

    name: str
    rules: tuple[PickRule, ...]
    told: tuple[Told, ...]


def picks_of(
    search: SearchResults, confirmed: Sequence[Confirmed], rules: Sequence[PickRule]
) -> tuple[Pick, ...]:
    """Chosen on fresh validation means; without fresh seeds on what the search saw."""
    if not confirmed and not search.all_in("ended"):
        return ()
    candidates = candidates_of(search, confirmed)
    by_name: dict[str, list[PickRule]] = {}
    for rule in rules:
        by_name.setdefault(picked(rule, candidates), []).append(rule)
    point_of = dict(zip(candidates.names, candidates.points_NM.tolist(), strict=True))
    names = sorted(by_name, key=lambda name: (point_of[name], name))
    apart = _without_each_seed(search, confirmed)
    return tuple(
        Pick(name, tuple(by_name[name]), tuple(_told(search, name, by_name[name], apart)))
        for name in names
    )


def candidates_of(
    search: SearchResults, confirmed: Sequence[Confirmed], without: int | None = None
) -> Candidates:
    """All that is known of whom a rule may pick, turned so that more is better.

    without: the place of a seed that is left out.
    """
    if confirmed:
        names = tuple(point.name for point in confirmed)
        points_NRM = np.array([point.points for point in confirmed])
        figures_NRK = fresh_figures(search, names)[..., : len(search.tasks)]  # come first
        seeds = [r for r in range(points_NRM.shape[1]) if r != without]
        points_NM, figures_NK = (
            values[:, seeds].mean(axis=1) for values in (points_NRM, figures_NRK)
        )
    else:
        ended = search.all_in("ended")
        names = tuple(attempt.name for attempt in ended)
        points_NM = np.array([a.gains for a in ended]).reshape(-1, len(search.objectives))
        figures_NK = np.array([a.stands for a in ended]).reshape(-1, len(search.tasks))
    gains = {o.key: points_NM[:, m] for m, o in enumerate(search.objectives)}
    for target in search.results.targets:
        sign = METRICS[target.metric].sign
        gains.setdefault(target.key, sign * (figures_NK @ np.array(target.weights)))
    return Candidates(names, points_NM, gains)


def shown_to_differ(picks: Sequence[Pick]) -> frozenset[int]:
    """Places of the estimates, in the order of `estimates_of`, that differ from zero.

    At 5 % for all of them together (Holm).
    """
    adjusted = holm([p_value(estimate) for estimate in estimates_of(picks)])
    return frozenset(i for i, p in enumerate(adjusted) if p is not None and p < ALPHA)


def estimates_of(picks: Sequence[Pick]) -> Iterator[Estimate]:
    """All that is told of all picks, one after the other."""
    for pick in picks:
        for told in pick.told:
            for _, estimates in told.differences:
                yield from estimates


def _without_each_seed(
    search: SearchResults, confirmed: Sequence[Confirmed]
) -> tuple[Candidates, ...]:
    """For each seed; a single one cannot be left out."""
    seeds = len(confirmed[0].points) if confirmed else 0
    if seeds == 1:
        return (candidates_of(search, confirmed),)
    return tuple(candidates_of(search, confirmed, seed) for seed in range(seeds))


def _told(
    search: SearchResults, name: str, rules: Sequence[PickRule], apart: Sequence[Candidates]
) -> Iterator[Told]:
    if not apart:
        return
    alike: dict[tuple[str, ...], list[PickRule]] = {}
    for rule in rules:
        alike.setdefault(tuple(picked(rule, each) for each in apart), []).append(rule)
    known = {*apart[0].names}
    for by_seed, of in alike.items():
        differences = tuple(
            (other, tuple(_minus(search, by_seed, other, target) for target in search.targets))
            for other in references(known)
            if other != name
        )
        yield Told(tuple(of), by_seed, differences)


def _minus(search: SearchResults, by_seed: Sequence[str], other: str, target: Target) -> Estimate:
    """Each seed's point minus a reference, on test."""
    test, (first, *more) = search.fresh_sound.test, dict.fromkeys(by_seed)
    if not more:
        return test.difference(first, other, target.key)
    paired = search.fresh_sound.valid.paired
    at_R = [test.replicates.index(replicate) for replicate in paired]
    minus_R = test.of(other, target.key)[at_R]
    each_RR = np.array([test.of(arm, target.key)[at_R] - minus_R for arm in by_seed])
    shares = {arm: number / len(by_seed) for arm, number in Counter(by_seed).items()}
    shares[other] = shares.get(other, 0.0) - 1
    sampling = shared_part(search.fresh_sound, sorted(shares), paired)
    part = sampling.variance(shares, np.array(target.weights)) if sampling else None
    metric = METRICS[target.metric]
    reach = metric.high - metric.low
    told_R = np.diagonal(each_RR)
    return mean_interval(told_R, part, within=(-reach, reach), scatter=of_mixture(each_RR))
