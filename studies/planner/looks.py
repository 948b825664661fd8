"""Where the next seeds go: look by look, to the arms of which something is open.

What is trained follows from the stated looks and from what the looks so far said, and from
nothing else. So a study that is stopped anywhere and run again trains what it would have trained
without the stop.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from fsmd.data.schema import DataRef
from fsmd.stats.looks import due
from studies.planner.design import Cell, cells
from studies.store.looks import StoredLook
from studies.store.records import StudyRecord

if TYPE_CHECKING:
    from studies.planner.planner import Tally  # loads Optuna, which no report needs

Why = Literal["decided", "limited", "failed", "last", "cut"]
"""Why no more seeds are trained: all is decided; what is open no seed would decide; what is open
has no training that did not fail; the last stated look was made; or the trainings of the next look
are not all there."""


class Looked(NamedTuple):
    """How a run that goes look by look went."""

    tally: "Tally"
    made: tuple[StoredLook, ...]
    """All looks, those of earlier runs too."""
    why: Why


def reference_of(record: StudyRecord) -> str:
    """The reference, as it is trained where several arms are one model."""
    reference = record.study.reference
    return dict(record.plan.same).get(reference, reference)


def seeds_of(
    record: StudyRecord, made: Sequence[StoredLook], to_come: int | None = None
) -> dict[str, int]:
    """Arm -> how many seeds it has when all looks are made, and after them one at `to_come`.

    The first look has every arm. Each later one has the reference, the arms that the look before
    asks for, and arms that came to the study since then.
    """
    seeds = dict.fromkeys((arm.name for arm in record.plan.arms), 0)
    asked, judged = set(seeds), set[str]()
    looks = [(look.seeds, set(look.arms), set(look.asked)) for look in made]
    if to_come is not None:
        looks.append((to_come, set(seeds), set()))
    for count, arms, then in looks:
        wanted = asked | {reference_of(record)} | (arms - judged)
        seeds |= dict.fromkeys(wanted & arms & set(seeds), count)
        asked, judged = then, arms
    return seeds


def cells_at(
    record: StudyRecord,
    refs: Mapping[str, DataRef],
    made: Sequence[StoredLook],
    to_come: int,
) -> tuple[Cell, ...]:
    """All cells of a study when the next look is made, those of the looks before it too."""
    seeds = seeds_of(record, made, to_come)
    return tuple(c for c in cells(record, refs, to_come) if c.replicate < seeds[c.arm])


def next_look(record: StudyRecord, made: Sequence[StoredLook]) -> int | Why:
    """The seeds of the next stated look, or why there is none."""
    last = made[-1] if made else None
    to_come = [n for n in record.looks if last is None or n > last.seeds]
    if last is None or {arm.name for arm in record.plan.arms} - set(last.arms):
        return to_come[0] if to_come else "last"
    if not last.asked:
        if last.limited:
            return "limited"
        return "failed" if last.lacks_figures else "decided"
    return to_come[0] if to_come else "last"


@dataclass(frozen=True)
class LookByLook:
    """Trains the seeds of one look after the other, and judges at each; keeps no state."""

    record: StudyRecord
    refs: Mapping[str, DataRef]
    train: Callable[[Sequence[Cell]], "Tally"]
    """Brings cells to their end, as `Planner.run` does."""
    judge: Callable[[int], StoredLook]
    """Makes and stores the look at so many seeds, whose trainings have all ended."""

    def run(self, made: Sequence[StoredLook]) -> Looked:
        """Go on after the looks that were made, until there is no next one or time is up."""
        from studies.planner.planner import Tally

        looks, trained, failed = list(made), 0, 0
        while not isinstance(to_come := next_look(self.record, looks), str):
            planned = cells_at(self.record, self.refs, looks, to_come)
            tally = self.train(planned)
            trained += tally.trained
            failed = tally.failed
            tally = tally._replace(
                trained=trained, known=max(0, len(planned) - trained - tally.cut)
            )
            if tally.lost or tally.cut:
                return Looked(tally, tuple(looks), "cut")
            looks.append(self.judge(to_come))
        known = sum(seeds_of(self.record, looks).values()) - trained
        return Looked(Tally(known, trained, failed, 0), tuple(looks), to_come)

    def at(self, seeds: int, made: Sequence[StoredLook], there: int = 0) -> Looked:
        """Train every arm with so many seeds, and make the looks that are due until there.

        there: seeds that any arm had before.
        """
        tally = self.train(cells(self.record, self.refs, seeds))
        looks = list(made)
        if tally.lost or tally.cut:
            return Looked(tally, tuple(looks), "cut")
        for n in due(self.record.looks, [look.seeds for look in looks], seeds, there):
            looks.append(self.judge(n))
        return Looked(tally, tuple(looks), "last")


# In words


def told_of(record: StudyRecord, look: StoredLook) -> str:
    """A line on a look that was made: `look 1 of 4, at 5 seeds: 3 of 27 comparisons decided`."""
    is_stated = look.seeds in record.looks
    place = f" {record.looks.index(look.seeds) + 1} of {len(record.looks)}" if is_stated else ""
    told = f"look{place}, at {look.seeds} seeds: {look.decided} of {len(look.planned)}"
    claims = sum(said.decided for said in look.claims)
    told += f" comparisons and {claims} of {len(look.claims)} claims decided"
    return f"{told}; open, where more seeds may decide: {len(look.asked)} of {len(look.arms)} arms"


WHY: Mapping[Why, str] = {
    "decided": "all is decided",
    "limited": "what is open no number of seeds would decide, as the test set is the limit "
    "or no seed changes it",
    "failed": "what is open is of arms of which all trainings failed",
    "last": "that was the last look",
    "cut": "the next look has not all of its trainings yet, so nothing new was judged",
}
"""Why a run look by look ended, in words."""
