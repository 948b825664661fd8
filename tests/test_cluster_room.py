"""What is sent to a cluster's workers, against a naive statement of what they can do."""

import random

import pytest

pytest.importorskip("distributed")

from studies.workers.room import Capacity, Need, Room


def fits(need: Need, capacity: Capacity, doing: list[Need]) -> bool:
    all_ = [*doing, need]
    return (
        len(all_) <= capacity.threads
        and sum(each.gpu for each in all_) <= capacity.gpus
        and sum(each.memory for each in all_) <= capacity.memory
    )


def can_all_be_done(
    waiting: list[Need], places: dict[str, Capacity], doing: dict[str, list[Need]]
) -> bool:
    """By trying each worker for each."""
    if not waiting:
        return True
    need, *rest = waiting
    return any(
        can_all_be_done(rest, places, {**doing, name: [*doing[name], need]})
        for name, place in places.items()
        if fits(need, place, doing[name])
    )


class Cluster:
    """Workers that begin what they are sent wherever there is room, and end it in any order."""

    def __init__(self, draw: random.Random) -> None:
        self._draw = draw
        self.places = {
            name: Capacity(draw.randint(0, 1), float(draw.randint(1, 6)), draw.randint(1, 3))
            for name in "ABC"[: draw.randint(1, 3)]
        }
        self.doing = {name: list[Need]() for name in self.places}
        self.waiting = list[Need]()

    def can(self, need: Need) -> bool:
        return any(fits(need, place, []) for place in self.places.values())

    def idle(self, need: Need) -> list[str]:
        return [name for name, place in self.places.items() if fits(need, place, self.doing[name])]

    @property
    def sent(self) -> list[tuple[Need, str]]:
        begun = [(need, name) for name, needs in self.doing.items() for need in needs]
        return [*((need, "") for need in self.waiting), *begun]

    def begin(self) -> None:
        for need in list(self.waiting):
            if able := self.idle(need):
                self.doing[self._draw.choice(able)].append(need)
                self.waiting.remove(need)

    def end_one(self) -> bool:
        if busy := [needs for needs in self.doing.values() if needs]:
            needs = self._draw.choice(busy)
            needs.pop(self._draw.randrange(len(needs)))
        return bool(busy)

    def has_room_for_all(self) -> bool:
        waiting = [need for need in self.waiting if self.can(need)]
        return can_all_be_done(waiting, self.places, self.doing)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_workers_get_what_they_can_do_and_are_never_idle_for_what_nobody_can(
    seed: int, late: bool
) -> None:
    """Begun at once, or when all was sent that could be.

    - No more is sent than the workers can do at once, beside what no worker can do.
    - Of that no more than one on a GPU and one beside it: a person is told once of each.
    - None is idle while something waits that it can do, and that needs no less than all that any
      does.
    - What somebody can do comes to its end, whatever waits before it.
    """
    draw = random.Random(seed)
    cluster = Cluster(draw)
    to_do = [Need(draw.random() < 0.2, draw.randint(1, 7)) for _ in range(12)]

    def sendable() -> Need | None:
        room = Room(cluster.places, cluster.sent)
        if len(cluster.sent) >= room.slots(min(to_do, default=Need())):
            return None
        return next((need for need in to_do if room.has(need)), None)

    while True:
        while need := sendable():
            had_room = cluster.has_room_for_all()
            to_do.remove(need)
            cluster.waiting.append(need)
            assert cluster.has_room_for_all() or not had_room
            if not late:
                cluster.begin()
                assert not any(map(cluster.can, cluster.waiting))
        cluster.begin()
        unmet = [need.gpu for need in cluster.waiting if not cluster.can(need)]
        assert len(unmet) == len(set(unmet))
        begun = [need for need, name in cluster.sent if name]
        for need in () if late else to_do:
            is_smaller = any(need.gpu < each.gpu or need.memory < each.memory for each in begun)
            assert is_smaller or not cluster.idle(need)
        if not cluster.end_one():
            break
    assert not any(map(cluster.can, (*to_do, *cluster.waiting)))


def test_a_small_worker_has_work_beside_one_that_alone_can_do_what_was_sent() -> None:
    """However large what waits for the large one is, and though that one is busy."""
    places = {"small": Capacity(0, 1.0, 1), "large": Capacity(0, 2.0, 1)}
    huge, small = Need(memory=2), Need(memory=1)
    room = Room(places, [(huge, "large")])
    assert (room.has(huge), room.has(small), room.slots(Need())) == (False, True, 1 + 1)
    room = Room(places, [(small, "large"), (huge, "")])
    assert (room.has(huge), room.has(small)) == (False, True)


def test_for_what_is_overdue_room_is_kept_once_beside_what_may_go_on_elsewhere() -> None:
    """It waits at a worker, which begins nothing else until it has room."""
    places = {"A": Capacity(0, 2.0, 2), "B": Capacity(0, 1.0, 1)}
    large, small, huge = (Need(memory=memory) for memory in (2, 1, 3))
    sent = [(small, "A"), (small, "A"), (small, "B")]
    assert not Room(places, sent).has(large)
    assert Room(places, sent).has(large, overdue=True)
    assert Room(places, sent).slots(Need()) == 3
    waits = Room(places, [*sent, (large, "")])
    assert not waits.has(large, overdue=True)
    assert waits.slots(Need()) == 3
    assert Room(places, [*sent[:2], (large, "")]).has(small)
    assert Room(places, [(huge, "")]).has(huge, overdue=True) is False  # nobody can do it


def test_what_is_about_to_begin_is_counted_largest_first_where_it_leaves_least() -> None:
    one, two, three = (Need(memory=memory) for memory in (1, 2, 3))
    places = {"A": Capacity(0, 3.0, 2), "B": Capacity(0, 2.0, 2)}
    assert Room(places, [(two, "")]).has(three)
    room = Room(places, [(one, ""), (two, "")])
    assert (room.has(three), room.has(two)) == (False, True)


def test_what_waits_for_a_gpu_or_for_memory_is_one_each() -> None:
    huge, gpu = Need(memory=9), Need(gpu=True)
    room = Room({"A": Capacity(0, 1.0, 1)}, [(huge, "")])
    assert (room.has(huge), room.has(gpu), room.has(Need())) == (False, True, True)
