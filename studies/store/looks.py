"""Reads and writes the looks at a study, each with what it said.

A look is written once, when the study has its number of seeds: what it said stays said, whatever
is trained again later.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import sqlalchemy as sa

from fsmd.stats.estimates import ALPHA
from studies.reading import check_time, of_study, read_row, stored_at
from studies.store.faults import patient
from studies.store.tables import LOOKS, as_stored

Word = Literal["better", "worse", "equivalent", "undecided"]
Verdict = Literal["holds", "leans towards", "open", "leans against", "fails"]
Joint = Literal["dominates", "dominated", "seesaw", "equivalent", "undecided"]


@dataclass(frozen=True, slots=True)
class SaidTest:
    """A test as it was made at the look that it comes from."""

    raw: float | None
    """Its p-value; None where it could not be made."""
    p: float | None
    """Adjusted for the others of its family."""
    seeds: int
    """The look: the one that decided, else the last one that tested it."""
    alpha: float
    """That look's level."""

    @property
    def shows(self) -> bool:
        """Whether it decides."""
        return self.p is not None and self.p < self.alpha


@dataclass(frozen=True, slots=True)
class SaidOfPair:
    """`arm` minus `other` on a target, as measured."""

    arm: str
    other: str
    target: str
    mean: float | None
    low: float | None
    high: float | None
    replicates: int
    """Paired."""
    differs: SaidTest
    equal: SaidTest
    word: Word


@dataclass(frozen=True)
class SaidOfClaim:
    """The verdict on a claim, from the look that decided it, else from this one."""

    id: str
    asks: tuple[str, ...]
    """As it was judged (`Study.asks`): of anything else, nothing was said."""
    verdict: Verdict
    p_holds: float
    p_fails: float
    seeds: int
    alpha: float

    @property
    def decided(self) -> bool:
        """Whether it is shown to hold or to fail."""
        return self.verdict in ("holds", "fails")


@dataclass(frozen=True)
class SaidOfTasks:
    """What `arm` does to `other` on all tasks at once."""

    arm: str
    other: str
    p: Mapping[str, float]
    verdict: Joint
    seeds: int
    alpha: float
    """What p had to be below."""


@dataclass(frozen=True)
class StoredLook:
    """A look: when it was made, what it may be wrong with, and what it said."""

    seeds: int
    alpha: float
    """0 where no error was left: nothing new is decided."""
    made_at: str
    """When the last of its trainings ended."""
    comparisons: tuple[SaidOfPair, ...]
    claims: tuple[SaidOfClaim, ...]
    pairs: tuple[SaidOfTasks, ...]
    arms: tuple[str, ...]
    asked: tuple[str, ...]
    """Arms that more seeds may decide something of: `--replicates auto` gives them the next."""
    limited: tuple[str, ...]
    """Arms of which something is open that no number of seeds would decide."""

    def __post_init__(self) -> None:
        """Raise ValueError for what no look said."""
        check_time("column made_at", self.made_at)
        if self.seeds < 1 or not 0 <= self.alpha <= ALPHA:
            raise ValueError(
                f"a look has a seed at least, and a level from 0 to {ALPHA:g}; got {self.seeds} "
                f"and {self.alpha:g}"
            )
        for name in ("asked", "limited"):
            if unknown := set(getattr(self, name)) - set(self.arms):
                raise ValueError(f"column {name} must have arms of the look; got {min(unknown)!r}")

    @property
    def decided(self) -> int:
        """How many of its comparisons are decided, of those that are planned."""
        return sum(said.word != "undecided" for said in self.planned)

    @property
    def planned(self) -> tuple[SaidOfPair, ...]:
        """Its comparisons, without those of arms that were taken out of the study."""
        known = {*self.arms}
        return tuple(said for said in self.comparisons if {said.arm, said.other} <= known)

    @property
    def lacks_figures(self) -> bool:
        """Whether something is open of which all trainings failed."""
        return any(s.word == "undecided" and not s.replicates for s in self.planned)


@patient
def read_looks(engine: sa.Engine, study: str) -> tuple[StoredLook, ...]:
    """The looks at a study, in the order of their seeds; StoredError for what is none."""
    query = as_stored(LOOKS).where(LOOKS.c.study == study).order_by(LOOKS.c.seeds)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    looks = []
    with of_study(study):
        for row in rows:
            with stored_at(f"the look at {row.seeds} seeds, of {LOOKS.name}"):
                looks.append(read_row(StoredLook, row._mapping))
        with stored_at(LOOKS.name):
            spent = sum(look.alpha for look in looks)
            if spent > ALPHA * (1 + 1e-9):
                raise ValueError(f"levels must not add up to more than {ALPHA:g}; got {spent:g}")
    return tuple(looks)


@patient
def insert_look(engine: sa.Engine, study: str, look: StoredLook) -> None:
    """Store a look that was made."""
    values = {name: asdict(look)[name] for name in vars(look)}
    key = {"study": study, "seeds": look.seeds}
    with engine.begin() as connection:
        connection.execute(sa.delete(LOOKS).filter_by(**key))  # of a try that was cut off
        connection.execute(sa.insert(LOOKS).values(**{**values, **key}))
