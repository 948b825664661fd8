"""What a reader of a search's report must know first: one condition, one function.

Each returns a sentence, or None where there is nothing to say.
"""

from collections.abc import Callable

from fsmd.tasks import is_funnel
from reports import words
from reports.ran import FOR_A_LOOK, failures
from reports.search.analysis import SearchAnalysis
from reports.search.results import in_words
from studies.search.confirmation import CONFIRM_AT_MOST

Caution = Callable[[SearchAnalysis], str | None]


def cautions(analysis: SearchAnalysis) -> tuple[str, ...]:
    """All that apply, in order."""
    return tuple(sentence for caution in CAUTIONS if (sentence := caution(analysis)))


def _fresh_seeds_incomplete(analysis: SearchAnalysis) -> str | None:
    valid = analysis.search.fresh_sound.valid
    if not valid.trained or valid.paired:
        return None
    return (
        "Fresh seeds were begun, but none is complete at every point yet: the same command goes "
        "on, and --retry-failed tries again what failed."
    )


def _seeds_left_out(analysis: SearchAnalysis) -> str | None:
    valid = analysis.search.fresh_sound.valid
    if not valid.paired or not valid.left_out:
        return None
    left_out = words.count(len(valid.left_out), "fresh seed")
    return f"{left_out} left out: not complete at every confirmed point."


def _front_not_confirmed(analysis: SearchAnalysis) -> str | None:
    begun = {*(point.name for point in analysis.confirmed), *analysis.search.fresh_failed}
    missing = [name for name in analysis.front if name not in begun]
    if not analysis.confirmed or not missing:
        return None
    size = len(analysis.front)
    why = (
        f" (of a front of {size} points at most {CONFIRM_AT_MOST} are)"
        if size > CONFIRM_AT_MOST
        else ": the same command goes on"
    )
    return (
        "On the search's front, but not trained again on fresh seeds: "
        f"{words.listed(missing)}{why}."
    )


def _failed_on_fresh_seeds(analysis: SearchAnalysis) -> str | None:
    failed = analysis.search.fresh_failed
    if not failed:
        return None
    return (
        "Not among the confirmed points, as a training on a fresh seed failed: "
        f"{words.listed(failed)}. --retry-failed tries again."
    )


def _few_seeds(analysis: SearchAnalysis) -> str | None:
    seeds = len(analysis.seeds)
    if not analysis.confirmed or seeds >= FOR_A_LOOK:
        return None
    return (
        f"{words.count(seeds, 'fresh seed')} can decide little: --confirm {FOR_A_LOOK} or more "
        "would."
    )


def _no_chain(analysis: SearchAnalysis) -> str | None:
    if is_funnel(analysis.search.tasks):
        return None
    return "No task follows another, so no model has a chain: FSMD is FS here."


def _costs_sought(analysis: SearchAnalysis) -> str | None:
    search = analysis.search
    if not search.costs:
        return None
    sought = words.listed(
        f"{c.label} ({'more' if c.higher else 'less'} is better)" for c in search.costs
    )
    shown = (
        f" of all {len(search.objectives)} objectives, and its figure shows two at a time"
        if len(search.objectives) > 2
        else f" of {words.listed(map(in_words, search.objectives))}"
    )
    return f"The search is for a cost too, {sought}: the front is{shown}."


def _trainings_failed(analysis: SearchAnalysis) -> str | None:
    failed = len(failures(analysis.search.results.runs))
    if not failed:
        return None
    return f"{words.count(failed, 'training')} failed; see Failed trainings."


def _not_finished(analysis: SearchAnalysis) -> str | None:
    unfinished = len(analysis.search.all_in("paused"))
    if not unfinished:
        return None
    return (
        f"{words.count(unfinished, 'training')} not finished: the search runs, or was stopped; "
        "the same command goes on."
    )


CAUTIONS: tuple[Caution, ...] = (
    _fresh_seeds_incomplete,
    _seeds_left_out,
    _front_not_confirmed,
    _failed_on_fresh_seeds,
    _few_seeds,
    _no_chain,
    _costs_sought,
    _trainings_failed,
    _not_finished,
)
