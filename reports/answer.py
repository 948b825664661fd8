"""What to use, in plain words: of a study's arms, or of a search's points on fresh seeds."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fsmd.metrics import METRICS
from fsmd.stats.best import FEWEST_SEEDS
from fsmd.stats.estimates import ALPHA, UNKNOWN
from fsmd.stats.looks import PlannedLook, needed_at
from fsmd.stats.power import MOST_REPLICATES, Needed, Obstacle, replicates_needed, rows_needed
from fsmd.tasks import Target
from reports import words
from reports.page.model import Answer
from reports.ran import FOR_A_LOOK, sources
from reports.results import StudyResults
from reports.standing import LIKELY, WORTH_SAVING, ArmStanding, Leaderboard, SimpleModel
from studies.timing import spoken

CERTAINTY = ((0.95, "almost surely"), (0.8, "probably"), (0.5, "perhaps"))
"""The least chance of being the best -> the word for it; below all of them it is open."""
RIVALS = 3
"""Of how many that may be the best it is asked what would decide."""
FLATTERED = "Chosen on the same {}, it may look too good."
"""A seed moves validation and test together (the winner's curse)."""
MOST_TIMES = 1000
"""No test set is so many times as large."""


@dataclass(frozen=True)
class Asked:
    """What an answer is about."""

    results: StudyResults
    board: Leaderboard
    margins: Mapping[str, float]
    noun: str
    """What stands on the board: `arm`, or `point`."""
    seed: str
    """What more of them makes surer: `replicate`, or `fresh seed`."""
    command: Callable[[int], str]
    """The command that runs so many of them."""
    have: bool = False
    """Whether the board's reference is what the user has, not the study's own."""
    factor: str = ""
    """What arms that are called by a number alone are values of."""
    planned: tuple[str, ...] | None = None
    """What the command trains; None: what stands on the board."""
    to_come: tuple[PlannedLook, ...] | None = None
    """The stated looks that are to come; None where nothing is judged at looks."""

    def called(self, arm: str | None) -> str:
        """An arm in a sentence: `fsmd`, or `gate_depth = 3`."""
        return words.called(arm or "", self.factor)

    @property
    def targets(self) -> tuple[Target, ...]:
        """The tasks that count."""
        return tuple(t for t in self.results.targets if t.key in self.margins)

    @property
    def on_any(self) -> str:
        """Where a loss may lie; empty with one task."""
        return " on any task" if len(self.targets) > 1 else ""

    @property
    def has_less(self) -> bool:
        """Whether of some figure less is better, so that gains are turned."""
        return not all(METRICS[target.metric].higher for target in self.targets)

    @property
    def matters(self) -> str:
        """The smallest difference that does: `0.001`, or `0.001 in AUC and 0.01 in log loss`."""
        told = {METRICS[t.metric].label: words.number(self.margins[t.key]) for t in self.targets}
        if len(set(told.values())) == 1:
            return next(iter(told.values()))
        return words.listed(f"{margin} in {label}" for label, margin in told.items())


def answer_of(asked: Asked) -> Answer:
    """The answer; where nothing can be said, what would change that."""
    board, leader = asked.board, asked.board.leader
    if not board.standings:
        return Answer(
            "Nothing can be said: no training that counts was finished.",
            next="Run it again: this tries what failed once more.",
            command=f"{asked.command(FOR_A_LOOK)} --retry-failed",
        )
    if leader is None or board.replicates < FEWEST_SEEDS:
        return _too_early(asked, leader)
    if len(board.standings) == 1:
        return Answer(
            f"Use {asked.called(leader.arm)}: it is the only {asked.noun} that was finished."
        )
    if board.simple and board.simple.wins:
        return _simple_wins(asked, leader, board.simple)
    next_ = _next(asked, leader)
    sentences = (
        *_gains(asked, leader, board.simple),
        _chances(asked, leader),
        *_why_not_first(asked, leader, settled="command" in next_),
        FLATTERED.format(f"{asked.seed}s"),
        *_shown_best(asked, leader),
        *_costs(asked, leader),
    )
    return Answer(_use(asked, leader), sentences, **next_)


def _use(asked: Asked, leader: ArmStanding) -> str:
    number = words.count(len(asked.board.standings), asked.noun)
    if beaten := asked.board.beaten:
        number += f" ({beaten} more {'was' if beaten == 1 else 'were'} worse at an earlier look)"
    if word := _how_surely(leader.chance_best or 0.0):
        return f"Use {asked.called(leader.arm)}: it is {word} the best of {number}."
    return f"Use {asked.called(leader.arm)} for now: which of {number} is the best is open."


def _how_surely(chance: float) -> str:
    """Empty where it is open."""
    return next((word for least, word in CERTAINTY if chance >= least), "")


def _too_early(asked: Asked, leader: ArmStanding | None) -> Answer:
    there = words.count(asked.board.replicates, f"complete {asked.seed}")
    name = asked.called(leader.arm) if leader else ""
    first = _look_of(asked, FOR_A_LOOK)
    ahead = f" {name} is ahead on validation, which may be luck." if name else ""
    return Answer(
        "Nothing can be said yet.",
        (f"There {'is' if asked.board.replicates == 1 else 'are'} {there}.{ahead}",),
        _run(asked, first),
        asked.command(first),
    )


def answer_in_words(asked: Asked) -> Iterator[str]:
    """How the answer and the leaderboard are to be read."""
    sure = ", ".join(f"{word} from {100 * least:.0f} %" for least, word in CERTAINTY)
    yield (
        f"The answer: validation puts one {asked.noun} first, by {asked.board.decided_by}; its "
        f"figures are of test. Yet a seed moves both, so on the seeds that chose it the first "
        "looks too good where others are close (the winner's curse): of ten equal arms on five "
        "seeds, by about half of what one training scatters over seeds, and its 95 % interval "
        f"over the reference holds in 91 %. Words for its chance of being the best: {sure}, else "
        f"open; below {FEWEST_SEEDS} seeds nothing is said. The chance is over seeds and test "
        "rows, and among arms that lie closer together than their noise it is told too surely: "
        "95 % is true in about 80 %."
    )
    yield (
        "On the leaderboard a mean's interval covers the "
        f"{sources(asked.results, sampled=False)}, a difference's "
        f"{sources(asked.results)}. A mean in bold is shown to be the "
        f"best: each one-sided test against another passes half of {_level(asked)} over the "
        "number of targets; among arms that needs no adjustment, as at most one can be. "
        f"{_left_behind(asked)}What matters: {asked.matters}. Not clearly worse, which chooses "
        "and proves nothing: no test "
        f"at {100 * ALPHA:g} % finds a larger loss against the first on any task. Cheapest: by "
        "time to score where that is known, else by parameters. A simple model wins where "
        "validation's best other model is unlikely to gain more than what matters over it on any "
        "task, and no other clearly does."
    )


def _level(asked: Asked) -> str:
    return "the last look's level" if asked.to_come is not None else f"{ALPHA:g}"


def _left_behind(asked: Asked) -> str:
    told = "An arm that an earlier look showed to be worse counts there on its other targets. "
    return told if asked.to_come is not None else ""


def answer_entry(asked: Asked, answer: Answer) -> dict[str, Any]:
    """For JSON: the sentences, and the numbers of the leaderboard."""
    return {
        "use": answer.use,
        "sentences": list(answer.sentences),
        "next": answer.next,
        "command": answer.command,
        "decided_by": asked.board.decided_by,
        "standings": [
            {
                "level": s.arm,
                "leader": s.is_leader,
                "not_worse": s.not_worse,
                "cheapest": s.is_cheapest,
                "chance_best": s.chance_best,
                "best_on": list(s.best_on),
                "chance_worse": s.chance_worse,
                "parameters": s.parameters,
                "latency": s.latency,
                "seconds": s.seconds,
            }
            for s in asked.board.standings
        ],
    }


# A simple model


def _simple_wins(asked: Asked, leader: ArmStanding, simple: SimpleModel) -> Answer:
    used = asked.board.of(simple.arm) or leader
    surely = 1 - simple.chance_beaten
    return Answer(
        f"Use {used.arm}: a simple model {_how_surely(surely)} wins.",
        (
            _over_simple(asked, used, simple),
            _chances(asked, used),
            *_why_not_first(asked, used),
            *_costs(asked, used),
        ),
        **({} if surely >= CERTAINTY[0][0] else _next(asked, leader)),
    )


def _over_simple(asked: Asked, used: ArmStanding, simple: SimpleModel) -> str:
    """The gain of the best other model over a simple one, and the chance that it matters."""
    over = f"Over {simple.arm}, the best simple model"
    if used.arm == simple.arm:
        over = f"{simple.rival}, the first of the others, over it"
    return (
        f"{over}: {_gain(asked, simple.rival, simple.arm)}; the chance that it gains more than "
        f"what matters ({asked.matters}){asked.on_any}: {words.chance(simple.chance_beaten)}."
    )


# The sentences


def _gains(asked: Asked, leader: ArmStanding, simple: SimpleModel | None) -> Iterator[str]:
    """Over the reference, or, where that leads, over the next one; then over a simple model."""
    board = asked.board
    other = board.of(board.reference)
    what = "what you have" if asked.have else "the reference"
    if other is None or other.arm == leader.arm:
        other, what = board.standings[1], "the next"
    if simple is None or {leader.arm, other.arm} != {simple.arm, simple.rival}:
        yield f"Over {asked.called(other.arm)} ({what}): {_gain(asked, leader.arm, other.arm)}."
    if simple is not None:
        yield _over_simple(asked, leader, simple)


def _gain(asked: Asked, arm: str, other: str) -> str:
    """`test AUC +0.0012 [0.0003, 0.0021] on click and ...`; each metric is named once."""
    by_metric: dict[str, list[str]] = {}
    for target in asked.targets:
        metric = METRICS[target.metric]
        gain = asked.results.test.gain(arm, other, target.key)
        figure = f"{words.difference(gain, metric.digits)} {words.on_target(target.key)}"
        by_metric.setdefault(metric.label, []).append(figure)
    told = "; ".join(f"{label} {words.listed(of)}" for label, of in by_metric.items())
    return f"test {told}{' (above zero is better)' if asked.has_less else ''}"


def _chances(asked: Asked, leader: ArmStanding) -> str:
    """That it is the best, and that it is worse than the reference."""
    told = f"The chance that it is the best: {words.chance(leader.chance_best or 0.0)}"
    if leader.chance_worse is None:
        return f"{told}."
    worse = words.chance(leader.chance_worse)
    return f"{told}; that it is worse than {asked.called(asked.board.reference)}: {worse}."


def _likeliest(asked: Asked) -> ArmStanding:
    """The arm that test says is the best; the leader where others are as likely."""
    return max(asked.board.standings, key=lambda standing: standing.chance_best or 0.0)


def _why_not_first(asked: Asked, used: ArmStanding, settled: bool = False) -> Iterator[str]:
    """Why another arm than the one that test says is the best; settled: by what is to be run."""
    first = _likeliest(asked)
    if first.arm == used.arm:
        return
    likelier = f"the test figures, {asked.called(first.arm)} is likelier to be the best"
    likelier += f" ({words.chance(first.chance_best or 0.0)})"
    if used.is_leader or first.is_baseline:
        then = f": more {asked.seed}s may settle it" if settled else ""
        yield f"Validation chose it, since test must never choose; by {likelier}{then}."
    else:
        yield f"By {likelier}, but is not shown to gain more than what matters."


def _shown_best(asked: Asked, leader: ArmStanding) -> Iterator[str]:
    """The targets on which it is shown; nothing where it is on none."""
    if leader.best_on:
        everywhere = len(leader.best_on) == len(leader.means) > 1
        on_it = words.listed(words.on_target(key) for key in leader.best_on)
        yield f"It is shown to be the best {'on each' if everywhere else on_it}."


def _costs(asked: Asked, used: ArmStanding) -> Iterator[str]:
    parts = [
        *([] if used.parameters is None else [f"has {used.parameters:,.0f} parameters"]),
        *([] if used.latency is None else [f"scores 1,000 rows in {used.latency:.2g} ms"]),
        *([] if used.seconds is None else [f"trains in {spoken(used.seconds)}"]),
    ]
    if parts:
        yield f"It {words.listed(parts)}."
    cheaper = asked.board.cheapest
    if cheaper is None or cheaper.arm == used.arm:
        return
    saved = _saved(cheaper, used)
    if saved:
        chance = cheaper.chance_far or 0.0
        yield (
            f"Cheaper{', but likely worse' if chance >= LIKELY else ''}: "
            f"{asked.called(cheaper.arm)} {saved}. "
            f"That it is worse by more than what matters ({asked.matters}){asked.on_any} is not "
            f"clear; the chance of it: {words.chance(chance)}."
        )


def _saved(cheaper: ArmStanding, used: ArmStanding) -> str:
    """`needs 40 % less time to score`; empty where it is not worth a word."""
    pairs = (
        (cheaper.latency, used.latency, "time to score"),
        (cheaper.parameters, used.parameters, "parameters"),
    )
    for less, more, what in pairs:
        if less is not None and more is not None:
            share = 1 - less / more if more > 0 else 0.0
            few = "fewer" if what == "parameters" else "less"
            return f"needs {100 * share:.0f} % {few} {what}" if share >= WORTH_SAVING else ""
    return ""


# What next


def _next(asked: Asked, leader: ArmStanding) -> dict[str, str]:
    """What would make it surer; empty where it is sure."""
    if (leader.chance_best or 0.0) >= CERTAINTY[0][0]:
        return {}
    others = [other for other in asked.board.standings if other.behind_in_all is not None]
    rivals = sorted(others, key=lambda other: -(other.chance_best or 0.0))[:RIVALS]
    needed = [(rival, _needed(asked, rival)) for rival in rivals]
    seeds = max((each.seeds or 0 for _, each in needed), default=0)
    if asked.board.replicates < FOR_A_LOOK and asked.to_come != ():
        seeds = max(seeds, FOR_A_LOOK)
    elif limited := [(rival, each.obstacle) for rival, each in needed if each.seeds is None]:
        return {"next": _limit(asked, *limited[0])}
    first = _likeliest(asked)
    if seeds == 0 and (first.behind_in_all or UNKNOWN).mean > 1:  # more than what matters
        if asked.to_come == ():
            return {"next": _limit(asked, first, "last look")}
        seeds = 2 * asked.board.replicates
    if seeds == 0:
        return {"next": f"What is open is too small to matter ({asked.matters})."}
    seeds = _look_of(asked, seeds)
    return {"next": _run(asked, seeds, "To be surer, run"), "command": asked.command(seeds)}


def _needed(asked: Asked, rival: ArmStanding) -> Needed:
    """Seeds that would tell it from the leader; 0 where those that are there would."""
    gain = rival.behind_in_all or UNKNOWN
    needed = replicates_needed(gain, 1.0)
    if needed.seeds is not None and needed.seeds <= asked.board.replicates:
        return Needed(0)
    return needed if asked.to_come is None else needed_at(gain, 1.0, (1, 1), asked.to_come)


def _look_of(asked: Asked, seeds: int) -> int:
    """The stated look to come that has so many seeds, else the last; without any, as many."""
    looks = [look.seeds for look in asked.to_come or ()]
    return next((n for n in looks if n >= seeds), max(looks, default=seeds))


def _limit(asked: Asked, rival: ArmStanding, obstacle: Obstacle | None) -> str:
    times = rows_needed(rival.behind_in_all or UNKNOWN, 1.0)
    tell = f"tell {asked.called(rival.arm)} from it"
    if obstacle == "last look":
        if asked.to_come:
            return f"It would probably take more {asked.seed}s than the last look has to {tell}."
        return f"No look is left at which more {asked.seed}s could {tell}."
    if obstacle == "too many replicates":
        return f"It would take more than {MOST_REPLICATES:,} {asked.seed}s to {tell}."
    larger = f" (one about {times:,.0f} times as large would)" if 1 < times < MOST_TIMES else ""
    return f"More {asked.seed}s will not {tell}: the test set is the limit{larger}."


def _run(asked: Asked, seeds: int, verb: str = "Run") -> str:
    """`Run 10 replicates: 20 more trainings, about 14 min of one worker.`"""
    done = asked.results.done
    arms = asked.planned or tuple(standing.arm for standing in asked.board.standings)
    have = done["arm"].isin(arms) & (done["replicate"] < seeds)
    more = len(arms) * seeds - int(have.sum())
    took = f", about {spoken(more * float(done['seconds'].median()))} of one worker"
    number = words.count(seeds, asked.seed)
    return f"{verb} {number}: {words.count(more, 'more training')}{took if len(done) else ''}."
