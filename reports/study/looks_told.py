"""Looks in words: which one this is, what it decided, and what the next would decide and cost."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fsmd.stats.estimates import ALPHA
from fsmd.stats.looks import ahead
from fsmd.stats.power import POWER
from reports import words
from reports.page.cells import table
from reports.page.model import Section, Table
from reports.study.analysis import StudyAnalysis
from reports.study.looks import seeds_ended
from studies.planner.looks import WHY, next_look, seeds_of
from studies.store.looks import StoredLook
from studies.timing import spoken


def stands_at(analysis: StudyAnalysis) -> str:
    """Which look the verdicts are of, with its level."""
    stated = analysis.results.record.looks
    last = analysis.looks[-1] if analysis.looks else None
    have = max(seeds_ended(analysis.results).values(), default=0)
    planned = f"the study states {'looks' if len(stated) > 1 else 'one look'} at {_listed(stated)}"
    if last is None:
        return (
            f"Nothing is judged yet: {planned}, and {words.count(have, 'seed')} "
            f"{'is' if have == 1 else 'are'} there."
        )
    judged = (
        "is judged at the next look"
        if ahead(last.seeds, stated)
        else "no look is left to judge it"
    )
    between = (
        f" What has been trained since then is in the estimates, and {judged}."
        if have > last.seeds
        else ""
    )
    if last.alpha == 0:
        return (
            f"Verdicts are of the looks until {_seeds(analysis.looks[-2:-1])}: {planned}, and "
            f"behind the last one no error is left, so that the {last.seeds} seeds decide nothing "
            f"new. What they show is descriptive.{between}"
        )
    place = (
        f"look {stated.index(last.seeds) + 1} of {len(stated)} (at {_listed(stated)})"
        if last.seeds in stated
        else f"a look that was not stated ({planned}) and takes its part from the next one"
    )
    return (
        f"Verdicts are of {place}, at {last.seeds} seeds. That any verdict of one table is false "
        f"has a chance of at most {words.number(last.alpha, 2)} at this look, and of {ALPHA:g} "
        f"over all looks.{between}"
    )


def section(analysis: StudyAnalysis) -> Section | None:
    """The looks; None where there was, and will be, only one."""
    stated = analysis.results.record.looks
    if len(stated) == 1 and len(analysis.looks) < 2:
        return None
    return Section("Looks", tuple(_what_next(analysis)), tables=(_table(analysis),))


def _what_next(analysis: StudyAnalysis) -> Iterator[str]:
    results, looks = analysis.results, analysis.looks
    last = looks[-1] if looks else None
    to_come = next_look(results.record, looks)
    if isinstance(to_come, str):
        yield f"No more seeds are trained by --replicates auto: {WHY[to_come]}."
        return
    more = _missing(analysis, to_come)
    arms = sum(count > 0 for count in more.values())
    took = _seconds(analysis, more)
    cost = f", about {spoken(took)} of one worker" if took else ""
    is_all = last is None or len(last.asked) == len(last.arms)
    of_arms = f"of {words.count(arms, 'arm')}" if is_all else f"of the {arms} arms that go on"
    yield (
        f"The next look, at {to_come} seeds, takes "
        f"{words.count(sum(more.values()), 'more training')} {of_arms}{cost}. --replicates auto "
        "trains there the reference, and the arms of which something is open that more seeds may "
        "decide."
    )
    if expected := _would_decide(analysis):
        yield expected
    if last is not None and last.limited:
        yield (
            f"No number of seeds would decide what is open of {words.listed(last.limited)}: the "
            "test set is the limit, or no seed changes it."
        )


def _would_decide(analysis: StudyAnalysis) -> str:
    """How many open comparisons each look to come would decide, if the estimates were true."""
    needed = [c.needed.seeds for c in analysis.comparisons if c.word == "undecided"]
    before = analysis.looks[-1].seeds if analysis.looks else 0
    looks = ahead(before, analysis.results.record.looks)
    at = {look.seeds: needed.count(look.seeds) for look in looks}
    told = [f"{count} at {seeds} seeds" for seeds, count in at.items() if count]
    open_ = f"{words.count(len(needed), 'open comparison')}"
    if not needed or not looks:
        return ""
    if not told:
        return f"If the estimates were true, no look to come would probably decide any of {open_}."
    return (
        f"If the estimates were true, of {open_} {words.listed(told)} would be decided with "
        f"{100 * POWER:g} % chance."
    )


def _missing(analysis: StudyAnalysis, to_come: int) -> Mapping[str, int]:
    """Arm -> how many trainings the next look takes."""
    planned = seeds_of(analysis.results.record, analysis.looks, to_come)
    have = seeds_ended(analysis.results)
    return {arm: max(0, count - have.get(arm, 0)) for arm, count in planned.items()}


def _seconds(analysis: StudyAnalysis, more: Mapping[str, int]) -> float:
    """Of so many more trainings of each arm; 0 where no training has ended."""
    done = analysis.results.done
    if done.empty:
        return 0.0
    of_any = float(done["seconds"].median())
    medians: Any = done.groupby("arm")["seconds"].median().to_dict()
    of_arm: Mapping[str, float] = medians
    return sum(count * of_arm.get(arm, of_any) for arm, count in more.items())


def _table(analysis: StudyAnalysis) -> Table:
    stated = analysis.results.record.looks
    rows = [_row(look, look.seeds in stated) for look in analysis.looks]
    before = analysis.looks[-1].seeds if analysis.looks else 0
    for look in ahead(before, stated):
        rows.append((f"{look.seeds} seeds", words.number(look.alpha, 3), *(4 * [words.DASH])))
    caption = (
        "Looks at this study: the chance of any false verdict of a family there, and what was "
        f"decided by then. Together they may be wrong with {ALPHA:g}; 95 % intervals are as if "
        "there were one look."
    )
    columns = (
        *("look", "level", "made", "comparisons decided", "claims decided"),
        "arms with something open",
    )
    return table("looks", caption, columns, rows)


def _row(look: StoredLook, is_stated: bool) -> tuple[str, ...]:
    claims = sum(said.decided for said in look.claims)
    return (
        f"{look.seeds} seeds{'' if is_stated else ', not stated'}",
        words.number(look.alpha, 3) if look.alpha else "none left",
        look.made_at[:10],
        f"{look.decided} of {len(look.planned)}",
        f"{claims} of {len(look.claims)}" if look.claims else words.DASH,
        f"{len({*look.asked, *look.limited})} of {len(look.arms)}",
    )


def entry(looks: Sequence[StoredLook], stated: Sequence[int]) -> list[dict[str, object]]:
    """For JSON: each look that was made, and what was decided by then."""
    return [
        {
            "replicates": look.seeds,
            "stated": look.seeds in stated,
            "alpha": look.alpha,
            "made_at": look.made_at,
            "comparisons_decided": look.decided,
            "claims_decided": sum(said.decided for said in look.claims),
            "open": list(look.asked),
            "limited_by_test_set": list(look.limited),
        }
        for look in looks
    ]


def in_words(stated: Sequence[int], made: Sequence[StoredLook]) -> str:
    """How looks are to be read."""
    if len(stated) == 1:
        others = [look.seeds for look in made if look.alpha > 0 and look.seeds not in stated]
        part = f"what {_listed(others)}, which were not stated, left" if others else "all"
        return (
            f"The study states one look, at {stated[0]} seeds, which has {part} of the {ALPHA:g} "
            "that verdicts of a family may be wrong with. Between looks nothing is judged, "
            "however often a report is built."
        )
    levels = words.listed(words.number(look.alpha, 2) for look in ahead(0, stated))
    return (
        f"The study is judged at looks that were stated before it ran: {_listed(stated)}. The "
        f"chance of any false verdict in a family is {levels} there, which adds up to {ALPHA:g}. "
        "Between looks nothing is judged, however often a report is built; a run with "
        "another number of seeds is a look of its own, with the part that it takes from the next. "
        "What a look decided stays decided, of a claim while it asks the same; better or worse "
        "may become equivalent, where a later look shows the difference to be too small to "
        "matter. Where the next seeds go may be decided by test verdicts: it is the stated rule "
        "by which the study stops, and chooses no model."
    )


def _listed(seeds: Sequence[int]) -> str:
    return f"{words.listed(map(str, seeds))} seeds"


def _seeds(looks: Sequence[StoredLook]) -> str:
    return f"the one at {looks[-1].seeds} seeds" if looks else "this one"
