"""What workers have room for, as arithmetic on values; see `studies.workers.cluster`."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor
from typing import NamedTuple

from studies.workers.remote import MEMORY

GPU = "GPU"
"""Dask's resource: how many."""
UNLIMITED = 2.0**62


class Need(NamedTuple):
    """What a call needs of its worker; in order of how much."""

    gpu: bool = False
    memory: int = 0
    """Bytes."""

    @property
    def resources(self) -> dict[str, float]:
        """As Dask has them."""
        return {name: n for name, n in ((GPU, int(self.gpu)), (MEMORY, self.memory)) if n}


class Capacity(NamedTuple):
    """What a worker offers, or has left; in order of how much."""

    gpus: int
    memory: float
    """Bytes for all that it does at once."""
    threads: int

    def at_once(self, need: Need) -> int:
        """How many such calls it can do at a time."""
        fit = self.memory // need.memory if need.memory else self.threads
        return int(min(self.gpus if need.gpu else self.threads, self.threads, fit))

    def without(self, need: Need) -> "Capacity":
        """What such a call leaves."""
        return Capacity(
            max(0, self.gpus - need.gpu),
            max(0.0, self.memory - need.memory),
            max(0, self.threads - 1),
        )


@dataclass(frozen=True)
class Room:
    """Workers, and the calls that were sent to them and are not done.

    The rule: a call is sent where a worker has room for it now, beside what that one has begun and
    what is about to begin; one that is overdue also where a worker will have room, which begins
    nothing else until then. What no worker can do takes no room: of it one call on a GPU and one
    beside it are sent, so that they are told of and waited for. While there is no worker, all is.
    """

    places: Mapping[str, Capacity]
    """Address of each worker -> what it offers."""
    sent: Sequence[tuple[Need, str]] = ()
    """Each with the address of the worker that has begun it, or of none."""
    most: int = 0
    """Calls at once that were asked for: where all workers can do a call, others may come that can
    too. 0: as many as there is room for.
    """

    @cached_property
    def _kinds(self) -> set[Capacity]:
        return {*self.places.values()}

    def _can(self, need: Need) -> bool:
        return any(place.at_once(need) for place in self._kinds)

    @cached_property
    def unmet(self) -> list[Need]:
        """What was sent and no worker can do."""
        return [need for need, _ in self.sent if self.places and not self._can(need)]

    @cached_property
    def least(self) -> Need | None:
        """The smallest that was sent and a worker can do."""
        return min((need for need, _ in self.sent if self._can(need)), default=None)

    @cached_property
    def _left(self) -> Counter[Capacity]:
        """What workers have left, when all that was sent and has room has begun.

        The largest first, each where it leaves least. -> how many of them have that.
        """
        left = dict(self.places)
        for need, worker in self.sent:
            if worker in left:
                left[worker] = left[worker].without(need)
        places = Counter(left.values())
        for need in sorted((need for need, at in self.sent if at not in left), reverse=True):
            fit = [each for each, count in places.items() if count and each.at_once(need)]
            if fit:
                places[min(fit)] -= 1
                places[min(fit).without(need)] += 1
        return +places

    def has(self, need: Need, overdue: bool = False) -> bool:
        """Whether to send such a call now."""
        if not self.places:
            return True
        if not self._can(need):
            return all(each.gpu != need.gpu for each in self.unmet)
        if any(place.at_once(need) for place in self._left):
            return True
        may_come = all(place.at_once(need) for place in self._kinds)
        if may_come and len(self.sent) - len(self.unmet) < self.most:
            return True
        if not overdue:
            return False
        as_large = sum(each >= need and self._can(each) for each, _ in self.sent)
        return as_large < sum(place.at_once(need) for place in self.places.values())

    def slots(self, least: Need) -> int:
        """How many calls to have under way: those that have room. Beside them what no worker can
        do, and one for each worker that can do nothing of what was sent, as many again at most, or
        two: one waits for a GPU and one for memory, and the only place is for another.

        least: the smallest that is to come, where nothing was sent that a worker can do.
        """
        here, beside, least = self.most, len(self.unmet), self.least or least
        if not here and self.places:
            places, left = self.places.values(), self._left.elements()
            begun = sum(place.threads for place in places)
            here = begun + sum(place.at_once(least) - place.threads for place in left)
            useless = [each for each in places if not each.at_once(least)]
            beside += sum(each.at_once(Need(least.gpu)) > 0 for each in useless)
        return max(1, here) + min(beside, max(here, 2))


def lack(places: Collection[Capacity], needs: Iterable[Need]) -> str:
    """What no worker has, and how to start one that does; empty where each need is met."""
    for need in needs:
        if any(place.at_once(need) for place in places):
            continue
        size = f"{ceil(need.memory / 1e8) / 10:.1f}GB"  # as an option it has to be enough
        offered = [place.memory for place in places if place.gpus or not need.gpu]
        if not offered:
            return (
                f"no worker offers a GPU; start some with `dask worker --resources {GPU}=1`, or "
                "give --device cpu"
            )
        has = f"{floor(max(offered) / 1e8) / 10:.1f}GB"
        return (
            f"a training takes up to {size} of memory, and no worker has more than {has}; start "
            f"one with `dask worker --memory-limit {size}`"
        )
    return ""
