"""What a reader of a search's report must know first: one condition, one function.

Each returns a sentence, or an empty one where there is nothing to say.
"""

from collections.abc import Callable

from fsmd.tasks import is_funnel
from reports import words
from reports.ran import FOR_A_LOOK, cut_off, failures, few_sampled, of_failed
from reports.search.analysis import SearchAnalysis
from reports.search.results import in_words
from studies.search.confirmation import CONFIRM_AT_MOST


def cautions(analysis: SearchAnalysis) -> tuple[str, ...]:
    """All that apply, in order."""
    return tuple(filter(None, (caution(analysis) for caution in CAUTIONS)))


def _fresh_seeds_incomplete(analysis: SearchAnalysis) -> str:
    valid = analysis.search.fresh_sound.valid
    if not valid.trained or valid.paired:
        return ""
    return (
        "Fresh seeds were begun, but none is complete at every point yet: the same command goes "
        "on, and --retry-failed tries again what failed."
    )


def _seeds_left_out(analysis: SearchAnalysis) -> str:
    valid = analysis.search.fresh_sound.valid
    if not valid.paired or not valid.left_out:
        return ""
    left_out = words.count(len(valid.left_out), "fresh seed")
    return f"{left_out} left out: not complete at every confirmed point."


def _front_not_confirmed(analysis: SearchAnalysis) -> str:
    begun = {*(point.name for point in analysis.confirmed), *analysis.search.fresh_failed}
    missing = [name for name in analysis.front if name not in begun]
    if not analysis.confirmed or not missing:
        return ""
    size = len(analysis.front)
    too_many = f" (of a front of {size} points at most {CONFIRM_AT_MOST} are)"
    why = too_many if size > CONFIRM_AT_MOST else ": the same command goes on"
    return (
        "On the search's front, but not trained again on fresh seeds: "
        f"{words.listed(missing)}{why}."
    )


def _failed_on_fresh_seeds(analysis: SearchAnalysis) -> str:
    failed = words.listed(analysis.search.fresh_failed)
    why = "Not among the confirmed points, as a training on a fresh seed failed"
    return f"{why}: {failed}. --retry-failed tries again." if failed else ""


def _cut_off(analysis: SearchAnalysis) -> str:
    return cut_off(analysis.search.fresh_sound)


def _few_sampled(analysis: SearchAnalysis) -> str:
    return few_sampled(analysis.search.fresh_sound)


def _few_seeds(analysis: SearchAnalysis) -> str:
    if not analysis.confirmed or len(analysis.seeds) >= FOR_A_LOOK:
        return ""
    seeds = words.count(len(analysis.seeds), "fresh seed")
    return f"{seeds} can decide little: --confirm {FOR_A_LOOK} or more would."


def _no_chain(analysis: SearchAnalysis) -> str:
    none = "No task follows another, so no model has a chain: FSMD is FS here."
    return "" if is_funnel(analysis.search.tasks) else none


def _costs_sought(analysis: SearchAnalysis) -> str:
    search = analysis.search
    if not search.costs:
        return ""
    sought = words.listed(
        f"{c.label} ({'more' if c.higher else 'less'} is better)" for c in search.costs
    )
    if len(search.objectives) == 1:
        return f"The search is for a cost alone, {sought}, and how good a model is counts nothing."
    if len(search.objectives) > 2:
        count = len(search.objectives)
        shown = f"all {count} objectives, and its figure shows two at a time"
    else:
        shown = words.listed(map(in_words, search.objectives))
    only = len(search.costs) == len(search.objectives)
    kind = "costs alone" if only else "a cost too"
    return f"The search is for {kind}, {sought}: the front is of {shown}."


def _failed(analysis: SearchAnalysis) -> str:
    return of_failed(len(failures(analysis.search.results.runs)))


def _not_finished(analysis: SearchAnalysis) -> str:
    unfinished = words.count(len(analysis.search.all_in("paused")), "training")
    why = "the search runs, or was stopped; the same command goes on"
    return f"{unfinished} not finished: {why}." if analysis.search.all_in("paused") else ""


CAUTIONS: tuple[Callable[[SearchAnalysis], str], ...] = (
    _fresh_seeds_incomplete,
    _seeds_left_out,
    _front_not_confirmed,
    _failed_on_fresh_seeds,
    _cut_off,
    _few_seeds,
    _few_sampled,
    _no_chain,
    _costs_sought,
    _failed,
    _not_finished,
)
