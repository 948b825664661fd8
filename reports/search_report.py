"""Puts the report of a search together: numbers -> ReportModel, summary, lines."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reports import facts, search_tables, search_views, words
from reports.axis_importance import FEWEST, Importance, importance
from reports.estimates import Estimate
from reports.front import DRAWS
from reports.model import Fact, IndexEntry, ReportModel, Section, numbered
from reports.search_analysis import Confirmed, Pick, SearchAnalysis, confirmation_epochs
from reports.search_results import SearchResults, own_fields
from studies.pareto import MOST, NAME, QUESTION, TITLE, SearchOptions, stored_name
from studies.planning import METHODS
from studies.search import SEARCH

NOT_EXCLUDED = 0.05
"""Probability above which a point behind the front is told with it."""


def assemble_search(analysis: SearchAnalysis) -> ReportModel:
    """The whole report as a value; where nothing ended, without any figure."""
    found = analysis.found
    made = importance(found)
    sections, tables = numbered([s for s in _sections(analysis, made) if s is not None])
    return ReportModel(
        study=found.record.name,
        title=TITLE,
        question=QUESTION,
        headline=headline(analysis),
        notices=(*findings(analysis), *_cautions(analysis)),
        claims=(),
        paper=(),
        sections=sections,
        failures=facts.failures(found.results.runs),
        facts=_facts(analysis),
        base_table=replace(search_tables.space_table(found), number=tables + 1),
        commands=_commands(found),
        reading=_reading(analysis, made),
    )


def _sections(analysis: SearchAnalysis, made: Importance) -> Iterator[Section | None]:
    found = analysis.found
    every = (search_tables.configurations_table(found),)
    if not analysis.front:
        yield Section("All configurations", tables=every, folded=True)
        return
    yield Section(
        "The front", _front_sentences(analysis), (search_views.front_view(analysis),),
        (search_tables.front_table(analysis), search_tables.axes_table(analysis)),
    )  # fmt: skip
    differences = search_tables.difference_table(analysis)
    yield Section(
        "Chosen points", _pick_sentences(analysis),
        tables=(differences,) if differences else (), blocks=_to_paste(analysis),
    )  # fmt: skip
    growth = search_views.hypervolume_view(analysis)
    yield Section("What the search spent", figures=(growth,) if growth else (),
                  tables=(search_tables.epochs_table(analysis),))  # fmt: skip
    yield _what_matters(made)
    parallel = search_views.parallel_view(analysis)
    yield Section("All configurations", figures=(parallel,) if parallel else (), tables=every,
                  folded=True)  # fmt: skip


def _what_matters(made: Importance) -> Section:
    if not made.shares:
        return Section("What matters", (
            f"{words.count(made.trainings, 'training')} ended or were stopped: below {FEWEST}, or "
            "where too few ended, the importance of an axis is mostly chance, so none is told.",
        ))  # fmt: skip
    table, view = search_tables.importance_table(made), search_views.importance_view(made)
    return Section("What matters", figures=(view,) if view else (),
                   tables=(table,) if table else (), folded=True)  # fmt: skip


# Sentences


def headline(analysis: SearchAnalysis) -> str:
    """One line under the title: what was tried, and what it cost."""
    found, s = analysis.found, analysis.spent
    states = ((len(found.all_in("ended")), "trained to the end"),
              (len(found.all_in("stopped")), "stopped early"),
              (len(found.all_in("paused")), "not finished"),
              (len(found.all_in("failed")), "failed"))  # fmt: skip
    told = ", ".join(f"{number} {state}" for number, state in states if number)
    saved = f"{s.saved_fairly:,.0f}" if s.saved_fairly == s.saved_fairly else "none"
    confirmation = confirmation_epochs(found)
    fresh = f", {confirmation:,} more on fresh seeds" if confirmation else ""
    return (
        f"On {found.record.data}, tasks {words.listed(found.tasks)}: "
        f"{words.count(len(found.configurations), 'configuration')} of the space "
        f"{found.space.name}, {told}. {words.count(s.total, 'epoch')} spent{fresh}; {saved} saved "
        f"by stopping (at most {s.saved_at_most:,}), {s.saved_by_patience:,} by early stopping."
    )


def findings(analysis: SearchAnalysis) -> tuple[str, ...]:
    """What was found, a sentence each."""
    if not analysis.front:
        return ()
    if not analysis.confirmed:
        again = ("No fresh seed is complete at every point" if len(analysis.found.fresh.runs)
                 else "None of its points was trained again")  # fmt: skip
        return (
            f"The front is what the search saw, on one seed: {words.listed(analysis.front)}. "
            f"{again}, so it looks better than it is.",
        )
    return (_after(analysis), *_shrunk(analysis))


def _after(analysis: SearchAnalysis) -> str:
    number = len(analysis.confirmed)
    points = ", ".join(_told(c, number) for c in analysis.confirmed if c.on_front)
    near = [c for c in analysis.confirmed if not c.on_front and c.probability > NOT_EXCLUDED]
    others = ", ".join(_told(c, number) for c in near)
    open_ = f" Not excluded: {others}." if others else ""
    return (
        f"Over {words.count(len(analysis.seeds), 'fresh seed')} the front of "
        f"{words.count(number, 'confirmed point')} is {points}.{open_} "
        f"The search's own: {words.listed(analysis.front)}."
    )


def _told(point: Confirmed, points: int) -> str:
    if point.probability != point.probability or points == 1:
        return point.level
    return f"{point.level} (probability {search_tables.probability(point, points)})"


def _shrunk(analysis: SearchAnalysis) -> tuple[str, ...]:
    if not analysis.shrinkage:
        return ()
    told = words.listed(
        f"{words.difference(e)} on {task}"
        for e, task in zip(analysis.shrinkage, analysis.found.tasks, strict=True)
    )
    return (f"The search saw its front above what fresh seeds show by {told} in validation AUC, "
            "on average over its points.",)  # fmt: skip


def _cautions(analysis: SearchAnalysis) -> tuple[str, ...]:
    found = analysis.found
    told = []
    valid = found.fresh_valid
    if valid.trained and not valid.paired:
        told.append("Fresh seeds were begun, but none is complete at every point yet: the same "
                    "command goes on, and --retry-failed tries again what failed.")  # fmt: skip
    elif valid.left_out:
        left_out = words.count(len(valid.left_out), "fresh seed")
        told.append(f"{left_out} left out: not complete at every confirmed point.")
    had = {*(c.level for c in analysis.confirmed), *found.fresh_failed}
    unconfirmed = [level for level in analysis.front if level not in had]
    if analysis.confirmed and unconfirmed:
        more = (f" (of a front of {len(analysis.front)} points at most {MOST} are)"
                if len(analysis.front) > MOST else ": the same command goes on")  # fmt: skip
        told.append("On the search's front, but not trained again on fresh seeds: "
                    f"{words.listed(unconfirmed)}{more}.")  # fmt: skip
    if found.fresh_failed:
        told.append("Not among the confirmed points, as a training on a fresh seed failed: "
                    f"{words.listed(found.fresh_failed)}. --retry-failed tries again."
                    )  # fmt: skip
    if analysis.confirmed and len(analysis.seeds) < facts.FOR_A_LOOK:
        told.append(f"{words.count(len(analysis.seeds), 'fresh seed')} can decide little: "
                    f"--confirm {facts.FOR_A_LOOK} or more would.")  # fmt: skip
    if found.results.record.settings["chain_dropped"]:
        told.append("The tasks form no funnel, so no model has a chain: FSMD is FS here.")
    if found.cost:
        told.append(f"A third objective, {_cost_name(found)}, is minimised: the front is of all "
                    "three, and its figure shows two of them.")  # fmt: skip
    failed = len(facts.failures(found.results.runs))
    if failed:
        told.append(f"{words.count(failed, 'training')} failed; see Failed trainings.")
    unfinished = len(found.all_in("paused"))
    if unfinished:
        told.append(f"{words.count(unfinished, 'training')} not finished: the search runs, or "
                    "was stopped; the same command goes on.")  # fmt: skip
    return tuple(told)


def _cost_name(found: SearchResults) -> str:
    return "the number of parameters" if found.cost == "params" else "milliseconds per 1,000 rows"


def _front_sentences(analysis: SearchAnalysis) -> tuple[str, ...]:
    """Which of the paper's models are missing among the confirmed points, and why."""
    there = {*(c.level for c in analysis.confirmed), *analysis.found.fresh_failed}
    missing: dict[str, list[str]] = {}
    for c in analysis.found.configurations:
        if c.level in analysis.found.space.known and c.level not in there:
            missing.setdefault(search_tables.STATES[c.state], []).append(c.level)
    if not there or not missing:
        return ()
    told = "; ".join(f"{words.listed(levels)} ({state})" for state, levels in missing.items())
    return (f"Of the paper's models these were not trained again: {told}.",)


def _pick_sentences(analysis: SearchAnalysis) -> tuple[str, ...]:
    basis = "means over the fresh seeds" if analysis.confirmed else "what the search saw"
    return (
        f"Picked on validation, by {basis}; test chose nothing.",
        *(_pick_sentence(analysis, pick) for pick in reversed(analysis.picks)),
    )


def _pick_sentence(analysis: SearchAnalysis, pick: Pick) -> str:
    why = "; ".join(f"{rule.name}: {rule.why}" for rule in pick.rules)
    point = next((c for c in analysis.confirmed if c.level == pick.level), None)
    if point is None:
        return f"{pick.level} \u2013 {why}."
    test = words.listed(
        f"{words.interval(e)} on {task}"
        for e, task in zip(point.test, analysis.found.tasks, strict=True)
    )
    return f"{pick.level} \u2013 {why}. Test AUC {test}."


def _to_paste(analysis: SearchAnalysis) -> tuple[Fact, ...]:
    params = {c.level: c.params for c in analysis.found.configurations}
    space = analysis.found.space
    return tuple(
        Fact(f"{pick.level} for FSMDConfig.from_dict",
             search_tables.as_json(own_fields(space.config(params[pick.level]))))
        for pick in reversed(analysis.picks)
    )  # fmt: skip


# What ran


def _facts(analysis: SearchAnalysis) -> tuple[Fact, ...]:
    """As of a study, with what is a search's own."""
    found, runs = analysis.found, analysis.found.results.runs
    done = int((runs["status"] == "done").sum())
    seeds = runs.drop_duplicates("replicate").sort_values("replicate")
    searched = ", ".join(str(s) for s in seeds.loc[seeds["replicate"] == SEARCH, "seed"])
    fresh = ", ".join(str(s) for s in seeds.loc[seeds["replicate"] != SEARCH, "seed"])
    own = {
        "Seeds": f"study seed {found.record.settings['seed']}; the search {searched or 'none'}; "
                 f"fresh {fresh or 'none'}",
        "Trainings": f"{done} trained to the end, {int((runs['status'] == 'paused').sum())} "
                     f"stopped or not finished, {len(facts.failures(found.results.runs))} failed",
        "Training time": f"{words.duration(float(runs['seconds'].sum()))} in all, summed over "
                         "trainings",
    }  # fmt: skip
    objectives = words.listed(
        [*(f"validation AUC on {task}" for task in found.tasks),
         *([f"{_cost_name(found)}, minimised"] if found.cost else [])]
    )  # fmt: skip
    known = (Fact(f.label, own.get(f.label, f.value)) for f in facts.what_ran(found.results))
    ways = "; then ".join(
        words.listed([f"{name} {value}" for name, value in way.items()]) for way in _methods(found)
    )
    return (
        Fact("Space", found.space.name), Fact("Objectives", objectives),
        Fact("Search", ways or "not known: run before this was kept"), *known,
    )  # fmt: skip


def _methods(found: SearchResults) -> Sequence[Mapping[str, str | float]]:
    """Each way that the search was run, by the options' names."""
    ways: Sequence[Mapping[str, str | float]] = found.record.settings.get(METHODS, ())
    return ways


def run_command(found: SearchResults) -> str:
    """The command that goes on with the search, or runs it anew."""
    record, settings = found.record, found.record.settings
    parts = ["python", "-m", "studies.run", NAME, "--data", record.data]
    fixed = (*SearchOptions().sought, "epochs", "patience", "seed", "device")
    asked = {flag: settings.get(flag) for flag in fixed}
    for way in _methods(found)[-1:]:
        asked |= way
    for flag, value in asked.items():
        if value is not None:
            parts += [f"--{flag}", str(value)]
    if record.name != stored_name(found.space.name, str(settings["objectives"]), record.data):
        parts += ["--name", record.name]
    return shlex.join(parts)


def _commands(found: SearchResults) -> tuple[Fact, ...]:
    return (
        Fact("Run the search again, or go on with it (with the same --storage)",
             run_command(found)),
        Fact("Build this report again (with the same --storage)", shlex.join(
            ["python", "-m", "reports.build", found.record.name])),
    )  # fmt: skip


def _reading(analysis: SearchAnalysis, made: Importance) -> tuple[str, ...]:
    cost = ", or with a third objective not lower on it," if analysis.found.cost else ""
    return (
        "A point dominates another if it is at least as good on every objective and better on "
        f"one{cost}; the front is what nothing dominates. The search trained every configuration "
        "on one seed and may stop a training early: only those that ended by themselves are on "
        "its front. A model stands at the epoch of its best mean validation AUC; networks that "
        "share nothing choose an epoch for each task. A stopped training that a longer search "
        "takes up again starts anew, and its epochs are counted once.",
        "The best of many noisy values looks better than it is (the winner's curse). So the "
        "front, and what lies just behind it, was trained again on fresh seeds, the same for "
        "all. Shrinkage is the search's value minus the fresh mean. Part of it is the luck of "
        "the search's one seed, which all its points share; its interval is of the fresh mean "
        "alone.",
        f"The probability of being non-dominated comes from {DRAWS:,} draws of all points' means "
        "together, from the t distribution that the paired seeds give them. It is about the "
        "means over all seeds there could be, among the confirmed points only. Of several points "
        "that lie closer together than their seeds' noise, it rules some out too readily.",
        "Points were picked on validation. Test data was evaluated once for each training, at "
        "the epoch that validation chose, and picked nothing. Validation and test of one "
        "training share its seed's luck, so a pick's test AUC may still look a little too good.",
        *(_about_importance(made) if made.shares else ()),
    )


def _about_importance(made: Importance) -> tuple[str, ...]:
    if made.exact:
        return (
            "Importance is exact: every combination was trained, and an axis's share is that of "
            "its main effect in the total sum of squares, for the front in that of the points' "
            "non-domination ranks. A single seed's noise is in the total; an axis without any "
            "effect would show the share that chance gives it.",
        )
    return (
        "Importance is estimated (PED-ANOVA, Watanabe et al. 2023): how differently the best "
        "tenth of the trainings, at least five, lies on an axis from all, as shares of all axes. "
        "A training that was stopped counts as not among the best, since others were ahead. It "
        "speaks of what sets the best apart, not of all variance. With few trainings it is mostly "
        "chance, which the mark "
        "beside each bar shows: an axis that stays below it has shown nothing, and of the "
        f"{len(made.shares)} bars about {max(len(made.shares) / 20, 1):.0f} would pass it if no "
        "axis mattered.",
    )


# Numbers for files, lines for the terminal, the entry in the list of all


def summary(analysis: SearchAnalysis) -> dict[str, Any]:
    """The content of summary.json; low and high are null where there is no interval."""
    found, s = analysis.found, analysis.spent
    states = ("ended", "stopped", "paused", "failed")
    known = {c.level: c for c in found.configurations}
    return {
        "study": found.record.name,
        "data": found.record.data,
        "space": found.space.name,
        "configurations": {state: len(found.all_in(state)) for state in states},  # type: ignore[arg-type]
        "tried": [
            {
                "level": c.level,
                "params": dict(c.params),
                "state": c.state,
                "epochs": c.epochs,
                "parameters": c.parameters,
                "valid": _by_task(found, c.values),
            }
            for c in found.configurations
        ],
        "front": list(analysis.front),
        "seeds": list(analysis.seeds),
        "confirmed": [
            {
                "level": c.level,
                "params": dict(known[c.level].params),
                "parameters": known[c.level].parameters,
                "searched": _by_task(found, c.searched),
                "valid": _by_task(found, map(_ends, c.fresh)),
                "shrinkage": _by_task(found, map(_ends, c.shrinkage)),
                "test": _by_task(found, map(_ends, c.test)),
                "probability": None if c.probability != c.probability else c.probability,
                "on_front": c.on_front,
            }
            for c in analysis.confirmed
        ],
        "shrinkage": _by_task(found, map(_ends, analysis.shrinkage)),
        "picks": [
            {
                "level": pick.level,
                "rules": [rule.name for rule in pick.rules],
                "config": own_fields(found.space.config(known[pick.level].params)),
                "minus": {
                    other: _by_task(found, map(_ends, estimates))
                    for other, estimates in pick.differences
                },
            }
            for pick in analysis.picks
        ],
        "epochs": {
            "search": s.total,
            "confirmation": confirmation_epochs(found),
            "saved_by_stopping_at_most": s.saved_at_most,
            "saved_by_stopping_fairly": None
            if s.saved_fairly != s.saved_fairly
            else s.saved_fairly,
            "saved_by_early_stopping": s.saved_by_patience,
        },
        "hypervolume": {
            "reference": list(analysis.progress.reference),
            "final": analysis.progress.volumes[-1],
        },
    }


def _by_task(found: SearchResults, values: Any) -> dict[str, Any]:
    return dict(zip(found.tasks, values, strict=False))


def _ends(estimate: Estimate) -> dict[str, Any]:
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}


def lines(analysis: SearchAnalysis) -> tuple[str, ...]:
    """What was found, for a terminal and for the dashboard's note."""
    params = {c.level: c.params for c in analysis.found.configurations}
    picks = (
        f"{', '.join(rule.name for rule in pick.rules)}: {pick.level} "
        f"({', '.join(f'{axis}={level}' for axis, level in params[pick.level].items())})"
        for pick in analysis.picks
    )
    return (headline(analysis), *findings(analysis), *picks)


def entry(analysis: SearchAnalysis) -> IndexEntry:
    """The search in the list of all studies."""
    return IndexEntry(
        analysis.found.record.name, TITLE, QUESTION, analysis.found.record.data,
        len(analysis.seeds), headline(analysis), (), findings(analysis), "",
    )  # fmt: skip
