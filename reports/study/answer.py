"""What a study found where it claims nothing: the tables' verdicts, a sentence a target."""

from collections.abc import Iterator, Sequence

from fsmd.stats.estimates import TOO_FEW
from reports import words
from reports.study.analysis import StudyAnalysis
from reports.study.comparisons import Comparison, Word, of_arms
from reports.study.shape import scores_compared
from reports.study.tables import NAMED, significantly_best

_WORDS: tuple[Word, ...] = ("better", "worse", "equivalent", "undecided")


def answers(analysis: StudyAnalysis) -> tuple[str, ...]:
    """A sentence for each target; none where something is claimed, or nothing was compared."""
    if analysis.study.claims:
        return ()
    compared = of_arms(analysis.comparisons, scores_compared(analysis.results).arms)
    made = [comparison for comparison in compared if comparison.difference.n]
    return tuple(_answers(analysis, made)) or (
        "Nothing is shown: no two arms with a replicate in common could be compared.",
    )


def _answers(analysis: StudyAnalysis, compared: Sequence[Comparison]) -> Iterator[str]:
    scores, reference = analysis.scores, analysis.study.reference
    for target in scores.targets:
        on_it = words.on_target(target.key)
        here = [comparison for comparison in compared if comparison.target == target]
        if not here:
            continue
        if all(comparison.differs.raw is None for comparison in here):
            yield f"{words.capital(on_it)} nothing is shown to differ: {TOO_FEW}."
            continue
        best = significantly_best(scores, target.key)
        is_best = f" {best} is better than every other arm." if best else ""
        arms = {word: [c.arm for c in here if c.word == word] for word in _WORDS}
        shown = arms["better"] or arms["worse"]
        listed = "; ".join(f"{_named(of)} {word}" for word, of in arms.items() if of)
        said = "" if shown else "no arm is shown to differ: "
        yield f"{words.capital(on_it)}, against {reference}: {said}{listed}.{is_best}"


def _named(arms: Sequence[str]) -> str:
    return words.listed(arms) if len(arms) <= NAMED else words.count(len(arms), "arm")
