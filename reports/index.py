"""The list of all studies and searches of a database: what each asked, and what was found."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from reports import words
from reports.page.model import Index, IndexEntry
from studies.store.records import StudyRecord

_PLURAL = {
    "holds": "hold",
    "leans towards": "lean towards holding",
    "open": "are open",
    "leans against": "lean against it",
    "fails": "fail",
}


def index_of(entries: Sequence[IndexEntry]) -> Index:
    """The list, with what it comes to."""
    verdicts = [claim.verdict for entry in entries for claim in entry.claims]
    counts = ", ".join(f"{verdicts.count(verdict)} {said}" for verdict, said in _PLURAL.items())
    reported = sum(not entry.unfinished for entry in entries)
    headline = (
        f"{words.count(len(entries), 'study', 'studies')} in the database, {reported} with a "
        f"report; of {words.count(len(verdicts), 'claim')}, {counts}."
    )
    return Index("All studies", headline, tuple(entries))


def entry_of(record: StudyRecord, **found: Any) -> IndexEntry:
    """A study or a search, with what was found (fields of `IndexEntry`)."""
    asked = record.definition
    return IndexEntry(record.name, asked.title, asked.question, record.plan.data.name, **found)


def without_report(name: str, reason: str, record: StudyRecord | None = None) -> IndexEntry:
    """A study or a search that has no report, and why; without a record it cannot be read."""
    entry = entry_of(record) if record else IndexEntry(name, name, "", "")
    return replace(entry, unfinished=words.capital(reason.removesuffix(".")) + ".")
