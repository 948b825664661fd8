"""What was read of a study and what was found, as numbers, before any words or ink."""

from dataclasses import dataclass
from functools import cached_property

import sqlalchemy as sa

from reports import ran
from reports.answer import Asked
from reports.page.model import Answer
from reports.pairs import Comparison
from reports.results import NothingYet, Scores, StudyResults, load_results
from reports.study.answer import study_answer
from reports.study.joint import JointVerdict
from reports.study.leaderboard import asked_of
from reports.study.looks import found, looks_of
from reports.study.reading import Reading
from reports.study.verdicts import Judged
from studies.definition import Study
from studies.store.looks import StoredLook
from studies.store.records import StudyRecord


@dataclass(frozen=True)
class StudyAnalysis:
    """A study, judged."""

    results: StudyResults
    reading: Reading
    comparisons: tuple[Comparison, ...]
    judged: tuple[Judged, ...]
    joint: tuple[JointVerdict, ...]
    looks: tuple[StoredLook, ...] = ()
    """Those that were made, in order."""
    have: str | None = None
    """The arm that the user has, in the reference's place in the answer."""

    @cached_property
    def asked(self) -> Asked:
        """What the answer is about, with the leaderboard."""
        return asked_of(self.results, self.have)

    @cached_property
    def answer(self) -> Answer:
        """What to use."""
        return study_answer(self.asked)

    def __repr__(self) -> str:
        verdicts = {judged.claim.id: judged.verdict for judged in self.judged}
        return f"StudyAnalysis({self.results.record.name!r}, {verdicts})"

    @property
    def study(self) -> Study:
        """The stored definition."""
        return self.results.study

    @property
    def scores(self) -> Scores:
        """The test figures."""
        return self.results.test


def analyse(engine: sa.Engine, record: StudyRecord) -> StudyAnalysis:
    """Judge a stored study; UserError if no training has ended yet."""
    return analyse_study(load_results(engine, record, record.plan.arms))


def analyse_study(results: StudyResults) -> StudyAnalysis:
    """See `analyse`."""
    if results.runs.empty:
        raise NothingYet(
            f"study {results.record.name!r} has no finished training yet; run it first: "
            f"{ran.run_command(results)}"
        )
    reading = Reading(results.study, results.tasks)
    return StudyAnalysis(results, reading, *found(results, reading), looks=looks_of(results))
