"""What to use of what a search found."""

from collections.abc import Iterator
from dataclasses import replace

from reports import ran, words
from reports.answer import Asked, answer_of
from reports.page.model import Answer
from reports.search.analysis import SearchAnalysis
from studies.auto.plan import AutoPlan
from studies.search.attempt import OVER, SEARCH_REPLICATE
from studies.search.confirmation import to_confirm
from studies.timing import spoken


def search_answer(analysis: SearchAnalysis, asked: Asked) -> Answer:
    """Of its points on fresh seeds; what it saw on its own seed is no answer."""
    search = analysis.search
    if analysis.front and not analysis.confirmed:
        return _with_more_time(analysis, _unconfirmed(analysis))
    if len(search.costs) == len(search.objectives) and analysis.picks:
        pick = analysis.picks[-1]
        only = "The search is for costs alone: how good a model is counts nothing."
        return Answer(f"Use {pick.name}: {pick.rules[0].why}.", (only,))
    answer = _with_more_time(analysis, answer_of(asked))
    if not answer.use.startswith("Use"):
        return answer
    told = *_configuration(analysis, asked), *answer.sentences, *_front(analysis, asked)
    return replace(answer, sentences=told)


def _configuration(analysis: SearchAnalysis, asked: Asked) -> Iterator[str]:
    """What the point to use is; a model that the search did not propose has a name."""
    used = asked.board.used
    found = next((a for a in analysis.search.attempts if used and a.name == used.arm), None)
    if found and found.params:
        params = words.listed(f"{axis}={words.plain(v)}" for axis, v in found.params.items())
        yield f"{found.name} is {params}."


def _with_more_time(analysis: SearchAnalysis, answer: Answer) -> Answer:
    """An automatic search has no seeds to ask for, but a time.

    Its plan stays; more than what was planned takes a new one, under another name.
    """
    search, record = analysis.search, analysis.search.record
    auto = record.search.auto
    if auto is None or not answer.command:
        return answer
    if _is_cut_off(analysis, auto):
        trained = float(search.results.runs["seconds"].sum()) / auto.workers
        budget = 2 * max(auto.budget, auto.spent + trained)
        why, asked = "The time was up before all of its plan was trained: go on with", {}
    else:
        budget = 2 * auto.budget
        why, asked = "To be surer, run it anew with twice the time:", {"name": f"{record.name}-2"}
    return replace(
        answer,
        next=f"{why} {spoken(budget)}.",
        command=ran.run_command(search.results, budget=f"{budget:.10g}s", **asked),
    )


def _is_cut_off(analysis: SearchAnalysis, auto: AutoPlan) -> bool:
    """Whether something of the plan is left, with which the same command goes on."""
    search, sought = analysis.search, analysis.search.record.search
    names = (*to_confirm(search.attempts, points=auto.points), *sought.baselines)
    runs = search.results.runs
    fresh = runs[runs["arm"].isin(names) & (runs["replicate"] != SEARCH_REPLICATE)]
    ended = int(fresh["status"].isin(("done", "failed")).sum())
    over = sum(attempt.state in OVER for attempt in search.attempts)
    return over < sought.trials or ended < len(names) * sought.confirm


def _front(analysis: SearchAnalysis, asked: Asked) -> Iterator[str]:
    """The other points of the front, each with a rule that picks it."""
    leader = asked.board.leader
    others = [name for name in analysis.fresh_front if leader and name != leader.arm]
    if others:
        rules = analysis.picked_by
        told = (f"{o} ({rules[o][0]})" if o in rules else o for o in reversed(others))
        on = "Also on" if leader and leader.arm in analysis.fresh_front else "On"
        yield f"{on} the front of {_sought(analysis)}: {words.listed(told)}."


def _sought(analysis: SearchAnalysis) -> str:
    return words.listed(o.label if o.is_cost else o.key for o in analysis.search.objectives)


def _unconfirmed(analysis: SearchAnalysis) -> Answer:
    search = analysis.search
    points = len(to_confirm(search.attempts))
    known = search.results.done["seconds"].dropna()
    more = points * ran.FOR_A_LOOK
    took = f", about {spoken(more * float(known.median()))} of one worker"
    return Answer(
        "Nothing can be said yet.",
        (
            f"The {search.sought} is what the search saw, on one seed, so it looks better than it "
            f"is: {words.listed(analysis.front)}.",
        ),
        f"Run {words.count(ran.FOR_A_LOOK, 'fresh seed')}: {words.count(more, 'more training')}"
        f"{took if len(known) else ''}.",
        ran.run_command(search.results, confirm=ran.FOR_A_LOOK),
    )
