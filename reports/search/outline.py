"""Puts the report of a search together: numbers -> the page, summary.json, lines, the entry."""

from collections.abc import Iterable, Iterator
from typing import Any

from fsmd.metrics import METRICS
from fsmd.stats.front import DRAWS
from reports import ran, words
from reports.answer import answer_entry, answer_in_words
from reports.board import board_table
from reports.index import entry_of
from reports.page.cells import ends
from reports.page.figure_kind import kinds_in, views_of
from reports.page.model import Answer, Fact, IndexEntry, Report, Section
from reports.pairs import pairs_of
from reports.results import turned
from reports.search import figures, tables
from reports.search.analysis import SearchAnalysis, analyse, not_trained_again
from reports.search.answer import search_answer
from reports.search.axis_importance import FEWEST_TRAININGS, AxisImportance
from reports.search.cautions import cautions
from reports.search.confirmed import Confirmed
from reports.search.figures import hypervolume
from reports.search.leaderboard import asked_of
from reports.search.picked import Pick
from reports.search.results import OUTCOMES, SearchResults, in_words, outcome_of, own_fields
from studies.store.means import Mean, Means

__all__ = ["analyse", "entry", "lines", "means", "page", "summary"]

NOT_EXCLUDED = 0.05
"""Probability above which a point behind the front is named with it."""


def page(analysis: SearchAnalysis) -> Report:
    """The whole report as a value; where nothing ended, without any figure."""
    return ran.report_of(
        analysis.results,
        headline=headline(analysis),
        answer=answer(analysis),
        pairs=pairs_of(
            analysis.search.fresh_sound.test, lambda target: METRICS[target.metric].margin
        ),
        notices=cautions(analysis),
        sections=tuple(_sections(analysis)),
        facts=_facts(analysis.search),
        base_table=tables.space_table(analysis.search),
        reading=_reading(analysis),
    )


def _sections(analysis: SearchAnalysis) -> Iterator[Section]:
    every = (tables.attempts_table(analysis.search),)
    kinds = kinds_in(figures)
    board = asked_of(analysis)
    if board.board.standings:
        yield Section(
            "Leaderboard",
            figures=views_of(kinds, "leaderboard", analysis),
            tables=(board_table(board, "configuration"),),
        )
    if not analysis.front:
        yield Section("All configurations", tables=every, folded=True)
        return
    yield Section(
        f"The {analysis.search.sought}",
        sentences=(*findings(analysis), *_not_trained_again(analysis)),
        figures=views_of(kinds, "front", analysis),
        tables=(tables.front_table(analysis), tables.axes_table(analysis)),
        folded=bool(analysis.confirmed),  # without them, there is no leaderboard above
    )
    differences = tables.difference_table(analysis)
    yield Section(
        "Chosen points",
        sentences=_pick_sentences(analysis),
        figures=views_of(kinds, "picks", analysis),
        tables=(differences,) if differences else (),
        folded=True,
        blocks=tuple(_to_take_home(analysis)),
    )
    yield Section(
        "What the search spent",
        figures=views_of(kinds, "spent", analysis),
        tables=(tables.epochs_table(analysis),),
        folded=True,
    )
    importance = tables.importance_table(analysis.importance)
    yield Section(
        "What matters",
        sentences=() if importance else (_too_few_for_importance(analysis.importance),),
        figures=views_of(kinds, "axes", analysis),
        tables=(importance,) if importance else (),
        folded=importance is not None,
    )
    views = views_of(kinds, "all", analysis)
    yield Section("All configurations", figures=views, tables=every, folded=True)


# Sentences


def headline(analysis: SearchAnalysis) -> str:
    """One line under the title: what was tried, and what it cost."""
    search, spent = analysis.search, analysis.spent
    numbers = ((len(search.all_in(outcome)), said) for outcome, said in OUTCOMES.items())
    went = "".join(f", {number} {said}" for number, said in numbers if number)
    fresh = f", {search.fresh_epochs:,} more on fresh seeds" if search.fresh_epochs else ""
    at_most = f"at most {spent.saved_at_most:,}"
    fairly = spent.saved_fairly
    by_stopping = at_most if fairly is None else f"about {fairly:,} ({at_most})"
    saved = [
        *([f"{by_stopping} by stopping"] if spent.saved_at_most else []),
        *([f"{spent.saved_by_patience:,} by early stopping"] if spent.saved_by_patience else []),
    ]
    return (
        f"{words.capital(ran.on_what(search.results))}: "
        f"{words.count(len(search.attempts), 'configuration')} of the space "
        f"{search.space.name}{went}. {words.count(spent.total, 'epoch')} "
        f"spent{fresh}{f'; saved: {words.listed(saved)}' if saved else ''}."
    )


def findings(analysis: SearchAnalysis) -> tuple[str, ...]:
    """What the fresh seeds show of the front, a sentence each."""
    if not analysis.confirmed:
        return ()
    return (_front_on_fresh_seeds(analysis), *_how_much_too_good(analysis))


def _front_on_fresh_seeds(analysis: SearchAnalysis) -> str:
    confirmed = analysis.confirmed
    number = len(confirmed)
    points = ", ".join(_with_probability(p, number) for p in confirmed if p.on_front)
    near = [p for p in confirmed if not p.on_front and p.probability > NOT_EXCLUDED]
    others = ", ".join(_with_probability(point, number) for point in near)
    open_ = f" Not excluded: {others}." if others else ""
    return (
        f"Over {words.count(len(analysis.seeds), 'fresh seed')} the {analysis.search.sought} of "
        f"{words.count(number, 'confirmed point')} is {points}.{open_} "
        f"The search's own: {words.listed(analysis.front)}."
    )


def _with_probability(point: Confirmed, points: int) -> str:
    if point.probability != point.probability or points == 1:
        return point.name
    return f"{point.name} (probability {tables.probability(point, points)})"


def _how_much_too_good(analysis: SearchAnalysis) -> tuple[str, ...]:
    if not analysis.shrinkage:
        return ()
    search, gains = analysis.search, []
    sought = {objective.key for objective in search.objectives}
    targets = [target for target in search.targets if target.key in sought]
    for estimate, target in zip(analysis.shrinkage, search.targets, strict=True):
        metric = METRICS[target.metric]
        if target in targets:
            gain = words.difference(turned(estimate, metric.sign), metric.digits + 1)
            gains.append(f"{gain} {words.on_target(target.key)}")
    if not gains:
        return ()
    return (
        "Better on the search's seed than on fresh ones, on average over its front: validation "
        f"{words.measured(targets)} {words.listed(gains)}.",
    )


def _not_trained_again(analysis: SearchAnalysis) -> tuple[str, ...]:
    """Which of the paper's models are missing among the confirmed points, and why."""
    missing = not_trained_again(analysis)
    if not missing or not (analysis.confirmed or analysis.search.fresh_failed):
        return ()
    listed = "; ".join(
        f"{words.listed(names)} ({OUTCOMES[outcome]})" for outcome, names in missing.items()
    )
    return (f"Of the paper's models these were not trained again: {listed}.",)


def _pick_sentences(analysis: SearchAnalysis) -> tuple[str, ...]:
    basis = "what the search saw"
    if analysis.confirmed:
        basis = f"means over {words.count(len(analysis.seeds), 'fresh seed')}"
    mixed = len({task.metric for task in analysis.search.tasks}) > 1
    units = (
        " Figures of different metrics are added in units of the smallest difference that matters."
    )
    return (
        f"Picked on validation, by {basis}; test chose nothing.{_told_apart(analysis)}"
        f"{units if mixed else ''}",
        *map(_pick_sentence, reversed(analysis.picks)),
    )


def _pick_sentence(pick: Pick) -> str:
    why = "; ".join(f"{rule.name}: {rule.why}" for rule in pick.rules)
    return f"{pick.name} \u2013 {why}."


def _told_apart(analysis: SearchAnalysis) -> str:
    """Which seeds chose, and which told."""
    if len(analysis.seeds) < 2 or not any(t.differences for p in analysis.picks for t in p.told):
        return ""
    return (
        " All of these seeds chose. Each told, by its test figures below, of the point that the "
        "other seeds picked."
    )


def _to_take_home(analysis: SearchAnalysis) -> Iterator[Fact]:
    """The picks as Python, and the command that makes a model of the first one."""
    search = analysis.search
    for pick in reversed(analysis.picks):
        own = own_fields(search.attempt(pick.name).config, search.space.axes)
        fields = ", ".join(f"{name}={value!r}" for name, value in own.items())
        yield Fact(f"{pick.name}, to paste", f"FSMDConfig({fields})")
    for pick in analysis.picks[-1:]:
        yield ran.export_command(search.results, pick.name)


def _too_few_for_importance(importance: AxisImportance) -> str:
    return (
        f"{words.count(importance.trainings, 'training')} ended or were stopped: below "
        f"{FEWEST_TRAININGS}, or where too few ended, an axis's importance is mostly chance."
    )


# What ran, and how to read it


def _facts(search: SearchResults) -> tuple[Fact, ...]:
    """What is a search's own, then as of a study."""
    objectives = words.listed(
        f"{in_words(o)} ({'maximised' if o.higher else 'minimised'})" for o in search.objectives
    )
    ways = "; then ".join(
        words.listed(f"{n} {words.plain(v)}" for n, v in way.items() if v is not None)
        for way in search.record.methods
    )
    sought = search.record.search
    limits = ("parameters", sought.max_params), ("milliseconds per 1,000 rows", sought.max_latency)
    kept = words.listed(f"{most:,} {name}" for name, most in limits if most is not None)
    facts = {
        "Space": search.space.name,
        "Objectives": objectives,
        "At most": kept,
        "Search": ways or "not known",
    }
    own = tuple(Fact(label, value) for label, value in facts.items() if value)
    return (*own, *ran.what_ran(search.results))


def _reading(analysis: SearchAnalysis) -> tuple[str, ...]:
    importance, asked = analysis.importance, asked_of(analysis)
    growth = hypervolume.summarize(analysis)
    return (
        *(answer_in_words(asked) if analysis.confirmed or asked.board.standings else ()),
        "A point dominates another if it is at least as good on every objective and better on "
        "one; the front is what nothing dominates. The search trains each configuration on one "
        "seed and may stop it early: only what ended by itself is on its front. A model stands "
        "at the epoch of its best mean validation figures.",
        "The best of many noisy values looks better than it is (the winner's curse), so the "
        "front, and what lies just behind it, was trained again on fresh seeds. Shrinkage is the "
        "search's value minus the fresh mean; its interval is of the fresh mean alone.",
        *(_about_the_front(analysis) if analysis.confirmed else ()),
        "Of a chosen point, each seed tells what the others chose, so that it does not look "
        "too good, as the leaderboard's first does.",
        "Adjusted: differences of chosen points for each other; a mean in bold on the leaderboard "
        "for all points and targets. Intervals, probabilities and importances are of one each; "
        "nothing is adjusted for looking again with more seeds.",
        *((hypervolume.corner_in_words(growth),) if growth else ()),
        *(_about_importance(importance) if importance.shares else ()),
    )


def _about_the_front(analysis: SearchAnalysis) -> Iterator[str]:
    yield (
        f"P({analysis.search.sought}): the share of {DRAWS:,} draws of all true means in which "
        "nothing dominates the point. How far points lie apart and how much seeds scatter is "
        "learnt from all, so that of near-ties the best is not taken for better than it is "
        "(docs/front.md)."
    )


def _about_importance(importance: AxisImportance) -> tuple[str, ...]:
    expected = "if no axis mattered, about one bar in 20 would pass its mark"
    if importance.exact:
        return (
            "Importance is exact: an axis's share is that of its main effect in the total sum of "
            "squares, for the front in that of the non-domination ranks. An axis without effect "
            f"stays below the mark in 19 of 20 cases (F test); {expected}.",
        )
    return (
        "Importance is estimated (PED-ANOVA, Watanabe et al. 2023): how differently the best "
        "tenth of the trainings, at least five, lies on an axis from all. A stopped training "
        f"counts as not among the best. An axis below its mark has shown nothing; {expected}.",
    )


# Numbers for files, lines for the terminal, the entry in the list of all


def summary(analysis: SearchAnalysis) -> dict[str, Any]:
    """The content of summary.json; low and high are null where there is no interval."""
    search, spent = analysis.search, analysis.spent
    return {
        "study": search.record.name,
        "data": search.record.plan.data.name,
        "space": search.space.name,
        "answer": answer_entry(asked_of(analysis), answer(analysis)),
        "configurations": {outcome: len(search.all_in(outcome)) for outcome in OUTCOMES},
        "tried": [
            {
                "level": attempt.name,
                "params": dict(attempt.params),
                "state": outcome_of(attempt),
                "epochs": attempt.epochs,
                "parameters": attempt.parameters,
                "valid": _by_target(search, search.figures(attempt)),
            }
            for attempt in search.attempts
        ],
        "front": list(analysis.front),
        "seeds": list(analysis.seeds),
        "confirmed": [_confirmed_entry(search, point) for point in analysis.confirmed],
        "shrinkage": _by_target(search, map(ends, analysis.shrinkage)),
        "picks": [
            {
                "level": pick.name,
                "rules": [rule.name for rule in pick.rules],
                "config": own_fields(search.attempt(pick.name).config, search.space.axes),
                "told": [
                    {
                        "rules": [rule.name for rule in told.rules],
                        "picked_without_each_seed": list(told.by_seed),
                        "minus": {
                            other: _by_target(search, map(ends, estimates))
                            for other, estimates in told.differences
                        },
                    }
                    for told in pick.told
                ],
            }
            for pick in analysis.picks
        ],
        "epochs": {
            "search": spent.total,
            "confirmation": search.fresh_epochs,
            "saved_by_stopping_at_most": spent.saved_at_most,
            "saved_by_stopping_fairly": spent.saved_fairly,
            "saved_by_early_stopping": spent.saved_by_patience,
        },
        "hypervolume": {
            "reference": _as_measured(search, analysis.growth.reference),
            "final": analysis.growth.volumes[-1] if analysis.growth.volumes else 0.0,
        },
    }


def _confirmed_entry(search: SearchResults, point: Confirmed) -> dict[str, Any]:
    attempt = search.attempt(point.name)
    costs = zip(search.costs, point.costs, strict=True)
    return {
        "level": point.name,
        "params": dict(attempt.params),
        "parameters": attempt.parameters,
        "searched": _by_target(search, point.searched),
        "valid": _by_target(search, map(ends, point.fresh)),
        "shrinkage": _by_target(search, map(ends, point.shrinkage)),
        "test": _by_target(search, map(ends, point.test)),
        "costs": {cost.key: ends(estimate) for cost, estimate in costs},
        "probability": _number(point.probability),
        "on_front": point.on_front,
    }


def _by_target(search: SearchResults, values: Iterable[Any]) -> dict[str, Any]:
    """Empty where there are no values."""
    keys = (target.key for target in search.targets)
    return dict(zip(keys, values, strict=False))


def _as_measured(search: SearchResults, gains: Iterable[float]) -> list[float]:
    """Of each objective; empty where there are no gains."""
    return [o.gain(gain) for o, gain in zip(search.objectives, gains, strict=False)]


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if value != value else value


def answer(analysis: SearchAnalysis) -> Answer:
    """What to use."""
    return search_answer(analysis, asked_of(analysis))


def lines(analysis: SearchAnalysis) -> tuple[str, ...]:
    """The answer and the picks, for a terminal and for the dashboard's note."""
    picks = (
        f"{', '.join(rule.name for rule in pick.rules)}: {pick.name} "
        f"({', '.join(f'{axis}={value}' for axis, value in params.items())})"
        for pick in analysis.picks
        for params in [analysis.search.attempt(pick.name).params]
    )
    return (headline(analysis), *answer(analysis).lines, *picks)


def means(analysis: SearchAnalysis) -> Means:
    """What the dashboard shows of each confirmed configuration."""
    search = analysis.search
    return Means(
        labels=tuple(objective.label for objective in search.objectives),
        higher=tuple(objective.higher for objective in search.objectives),
        over=f"{words.count(len(analysis.seeds), 'fresh seed')}, on validation",
        of_arms=tuple(
            Mean(
                arm=point.name,
                params=search.attempt(point.name).params,
                values=tuple(_as_measured(search, point.point)),
                said={
                    f"P({search.sought})": _number(point.probability),
                    f"the {search.sought}": point.on_front,
                },
            )
            for point in analysis.confirmed
        ),
    )


def entry(analysis: SearchAnalysis) -> IndexEntry:
    """The search in the list of all studies."""
    return entry_of(
        analysis.search.record,
        replicates=len(analysis.seeds),
        headline=headline(analysis),
        answer=answer(analysis),
    )
