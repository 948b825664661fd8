"""Puts the report of a study on several data sets together: page, numbers, lines."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from fsmd.metrics import METRICS
from fsmd.stats.across import FEWEST_FOR_RANKS, FEWEST_SETS, MeanRank
from reports import ran, words
from reports.across.analysis import Across, ArmAcross, OneGain, TargetAcross
from reports.across.forest import forests
from reports.page.cells import difference_cell, ends, table
from reports.page.model import Answer, Fact, Report, Section, Table, TableCell, numbered
from reports.study import tables
from studies.planner.design import margins_of

SURE = 0.95
"""A chance from which an arm is said to be better, or worse, on a new data set."""


def page(across: Across) -> Report:
    """The whole report as a value."""
    definition, is_enough = across.first.study, len(across.sets) >= FEWEST_SETS
    return numbered(
        Report(
            study=across.name,
            title=f"{definition.title}, across data sets",
            question=definition.question,
            headline=headline(across),
            answer=answer(across),
            notices=tuple(_notices(across)),
            sections=(
                Section(
                    "On a new data set" if is_enough else "Side by side",
                    tables=(*[new_table(across)] * is_enough, rank_table(across)),
                    figures=tuple(forests(across)),
                ),
                Section("On each data set", tables=(each_table(across),)),
            ),
            failures=(),
            facts=tuple(_facts(across)),
            base_table=tables.base_table(across.first.results),
            commands=(
                Fact("Build this report again (with the same --storage)", _command(across)),
            ),
            reading=(*_reading(), *(_reading_of_chances() if is_enough else ())),
        )
    )


def _command(across: Across) -> str:
    names = ",".join(each.results.record.name for each in across.studies)
    return f"python -m reports.build --across {names}"


def headline(across: Across) -> str:
    """One line under the title."""
    arms, reference = words.count(len(across.arms), "arm"), _called(across)
    fewest = _fewest(across)
    fewer = f" Chances are of {fewest} of them at least." if 0 < fewest < len(across.sets) else ""
    return (
        f"On {words.count(len(across.sets), 'data set')}: {words.listed(across.sets)}; {arms}, "
        f"compared with {reference}.{fewer}"
    )


def _fewest(across: Across) -> int:
    """Data sets that any chance is of; 0 without a chance."""
    arms = [each for target in across.targets for each in target.arms]
    return min((len(each.pooled) for each in arms if each.together), default=0)


def _called(across: Across, arm: str | None = None) -> str:
    """An arm, or the reference, in a sentence, as reports of studies call it."""
    return words.called(arm or across.reference, across.first.study.factor)


# The answer


def answer(across: Across) -> Answer:
    """What to expect on another data set, of each target."""
    count = len(across.sets)
    if count < FEWEST_SETS:
        return Answer(
            f"{count} data sets say nothing of another one.",
            (
                "How much gains scatter over data sets is not known from two: what is shown is "
                f"each by itself. From {FEWEST_SETS} on a chance is told, and it gets useful with "
                "more.",
                *(_agreement(target, across) for target in across.targets),
            ),
        )
    sure = [set(_sure(target, better=True)) for target in across.targets]
    on_all = [arm for arm in across.arms if all(arm in some for some in sure)]
    reference = _called(across)
    if on_all:
        arms = words.listed(_called(across, arm) for arm in on_all)
        use = f"Expect {arms} to be better than {reference} on another data set."
    elif all(_is_all_worse(target) for target in across.targets):
        use = f"All other arms are expected to be worse than {reference} on another data set."
    else:
        everywhere = ", on everything" if any(sure) else ""
        use = f"No arm is sure to be better than {reference} on another data set{everywhere}."
    return Answer(use, tuple(_told(target, across) for target in across.targets))


def _sure(target: TargetAcross, better: bool) -> list[str]:
    return [
        each.arm
        for each in target.arms
        if each.together and (each.together.better if better else 1 - each.together.better) >= SURE
    ]


def _is_all_worse(target: TargetAcross) -> bool:
    """Whether every arm's expected gain on a new data set is known, and below zero."""
    return all(each.together is not None and each.together.mean < 0 for each in target.arms)


def _told(target: TargetAcross, across: Across) -> str:
    known = [each for each in target.arms if each.together is not None]
    on_it = f"{words.capital(words.on_target(target.name))} ({target.metric.label})"
    if not known:
        return f"{on_it}: too few data sets have an interval."
    best = max(known, key=lambda each: each.together.better if each.together else 0)
    assert best.together is not None
    low, high = (words.signed(e, target.metric.digits + 1) for e in best.together.new)
    all_worse, than = _is_all_worse(target), f"than {_called(across)} on a new data set"
    chance = f"{_called(across, best.arm)} has the best chance to be better"
    ahead = (
        f"{on_it} all are expected to be worse {than}; {chance}"
        if all_worse
        else f"{on_it} {chance} {than}"
    )
    ahead += f": {words.chance(best.together.better)}, with a gain between {low} and {high} (95 %)"
    most = max(known, key=lambda each: each.together.mean if each.together else 0)
    if most is not best and most.together is not None:
        gain = words.signed(most.together.mean, target.metric.digits + 1)
        ahead += (
            f"; the {'smallest loss' if all_worse else 'largest gain'} is expected of "
            f"{_called(across, most.arm)}, {gain}, with a chance of "
            f"{words.chance(most.together.better)}"
        )
    worse = _sure(target, better=False)
    behind = (
        f"; surely worse: {words.listed(_called(across, arm) for arm in worse)}" if worse else ""
    )
    return f"{ahead}{behind}."


def _agreement(target: TargetAcross, across: Across) -> str:
    alike = [
        _called(across, each.arm)
        for each in target.arms
        if {one.word for one in each.on} in ({"better"}, {"worse"}, {"equivalent"})
    ]
    told = f"{words.listed(alike) or 'no arm'} {'are' if len(alike) > 1 else 'is'}"
    return (
        f"{words.capital(words.on_target(target.name))} ({target.metric.label}) {told} decided "
        "the same way on every data set."
    )


# Tables


def new_table(across: Across) -> Table:
    """What is to be expected on a new data set: a row for each arm and target."""
    rows = [_new_row(target, each) for target in across.targets for each in target.arms]
    caption = (
        f"Gain over {_called(across)} on a new data set of this kind [where 95 % of such gains "
        "are], and the chance that it is above zero. Mean: over all data sets of the kind [95 % "
        "interval]. Data sets: how many have an interval, which alone count. tau: how much gains "
        "scatter over data sets [95 % interval]; I²: the part of the scatter of "
        "the measured gains that is not their errors'. Bold: a chance of "
        f"{SURE:.0%} either way."
    )
    factor = across.first.study.factor
    columns = (factor, "target", "data sets", "new data set", "better", "mean", "tau", "I²")
    return table("across", caption.replace("%", " %").replace("  %", " %"), columns, rows)


def _new_row(target: TargetAcross, each: ArmAcross) -> tuple[TableCell | str, ...]:
    found, digits = each.together, target.metric.digits + 1
    name = f"{target.name} ({target.metric.label})"
    sets = f"{len(each.pooled)} of {len(each.on)}"
    if found is None:
        return each.arm, name, sets, *(words.DASH for _ in range(5))

    def cell(mean: float, ends: tuple[float, float], signed: bool = True) -> TableCell:
        write = words.signed if signed else words.decimals
        low, high = (write(end, digits) for end in ends)
        return TableCell(write(mean, digits), (f"[{low}, {high}]",))

    strong = max(found.better, 1 - found.better) >= SURE
    return (
        TableCell(each.arm, arm=each.arm),
        name,
        sets,
        cell(found.mean, found.new),
        TableCell(words.chance(found.better), strong=strong),
        cell(found.mean, found.interval),
        cell(found.tau, found.tau_interval, signed=False),
        words.percent(found.share),
    )


def rank_table(across: Across) -> Table:
    """The mean rank of each arm on each target."""
    place = {t.name: dict(t.ranks) for t in across.targets}
    order = [arm for arm, _ in across.targets[-1].ranks] or list(across.arms)
    rows = [
        (TableCell(arm, arm=arm), *(_rank_cell(place[t.name].get(arm)) for t in across.targets))
        for arm in order
    ]
    enough = len(across.sets) >= FEWEST_FOR_RANKS
    how = (
        " [95 % interval, of data sets, of seeds within them, and of what test rows do to means]"
        if enough
        else f"; below {FEWEST_FOR_RANKS} data sets it has no interval"
    )
    caption = f"Mean rank among all arms over data sets, 1 being the best{how}."
    columns = (
        across.first.study.factor,
        *(f"{t.name} ({t.metric.label})" for t in across.targets),
    )
    return table("ranks", caption, columns, rows)


def _rank_cell(rank: MeanRank | None) -> TableCell:
    if rank is None:
        return TableCell(words.DASH)
    note = () if rank.low is None or rank.high is None else (f"[{rank.low:.2f}, {rank.high:.2f}]",)
    return TableCell(f"{rank.mean:.2f}", note)


def each_table(across: Across) -> Table:
    """Verdicts of each data set side by side."""
    rows = [
        (
            TableCell(each.arm, arm=each.arm),
            f"{target.name} ({target.metric.label})",
            *(_each_cell(one, target) for one in each.on),
        )
        for target in across.targets
        for each in target.arms
    ]
    caption = (
        f"Gain over {_called(across)} on each data set [95 % interval over "
        f"{_sources(across)}], more being better, and the verdict of that study, adjusted over "
        "its own comparisons alone."
    )
    columns = (across.first.study.factor, "target", *across.sets)
    return table("each", caption, columns, rows)


def _sources(across: Across) -> str:
    """What intervals cover; where data sets differ, of each."""
    sets_of: dict[str, list[str]] = {}
    for each, data in zip(across.studies, across.sets, strict=True):
        sets_of.setdefault(ran.sources(each.results), []).append(data)
    if len(sets_of) == 1:
        return next(iter(sets_of))
    return "; ".join(f"{over} on {words.listed(sets)}" for over, sets in sets_of.items())


def _each_cell(one: OneGain, target: TargetAcross) -> TableCell:
    if not one.gain.n:
        return TableCell(words.DASH, (one.word,))
    return difference_cell(one.gain, target.metric, one.word)


# The rest


def _notices(across: Across) -> Iterator[str]:
    count = _fewest(across)
    if FEWEST_SETS <= count < FEWEST_FOR_RANKS:
        yield (
            f"{count} data sets say little of another one: intervals for a new data set have "
            f"{words.count(count - 2, 'degree')} of freedom, and are as wide as that."
        )
    if len(across.sets) >= FEWEST_SETS:
        yield (
            "A new data set means one of the kind of these, as if they had been drawn from it; "
            "whether yours is of that kind no figure here can say."
        )
    halves = [each.results.record.plan.halves for each in across.studies]
    if any(halves) and not all(halves):
        half, whole = (
            words.listed(data for data, own in zip(across.sets, halves, strict=True) if own is is_)
            for is_ in (True, False)
        )
        yield (
            f"Each training on {half} saw half of the training rows, each on {whole} all of them: "
            "these gains are not of the same thing, and their intervals cover other sources of "
            "chance."
        )
    for each in across.studies:
        done = each.results.done
        if done.empty or each.results.runs["status"].ne("done").any():
            yield f"{each.results.record.name} has trainings that did not finish."
    yield from _left_out(across)
    yield from _unlike_margins(across)


def _left_out(across: Across) -> Iterator[str]:
    """Of each data set and reason; the arms, where it is not all of them."""
    every = {each.arm: None for target in across.targets for each in target.arms}
    arms_of: dict[tuple[str, str], dict[str, None]] = {}
    for one, arm in (
        (one, e.arm) for target in across.targets for e in target.arms for one in e.on
    ):
        if one.why_left_out:
            arms_of.setdefault((one.data, one.why_left_out), {})[arm] = None
    for (data, why), arms in arms_of.items():
        of = "" if arms.keys() == every.keys() else f" of {words.listed(arms)}"
        yield f"Chances{of} for a new data set leave out {data}, which has no interval: {why}."


def _unlike_margins(across: Across) -> Iterator[str]:
    """Verdicts are each study's own, so that margins may differ; bands are of one."""
    of_sets = [margins_of(each.results.record) for each in across.studies]
    for metric, drawn in of_sets[0].items():
        if len({own[metric] for own in of_sets}) > 1:
            told = words.listed(
                f"{words.number(own[metric])} on {data}"
                for own, data in zip(of_sets, across.sets, strict=True)
            )
            yield (
                f"The margin of {METRICS[metric].label} is {told}: verdicts are by each one's "
                f"own, and the band of the figure is of {words.number(drawn)}."
            )


def _facts(across: Across) -> Iterator[Fact]:
    for each, data in zip(across.studies, across.sets, strict=True):
        record, replicates = each.results.record, len(each.scores.paired)
        rows = ", ".join(f"{split} {n:,}" for split, n in record.plan.data.rows.items())
        yield Fact(
            data,
            f"study {record.name}; rows {rows}; {words.count(replicates, 'replicate')} complete "
            f"at every trained arm; content {record.plan.data.content_hash[:16]}",
        )


def _reading() -> Iterator[str]:
    yield (
        "Each data set's gain and interval are those of its own report, over the sources of "
        "chance that it names. A gain is a difference turned so that more is better."
    )
    yield (
        "The mean rank is over data sets, of the arms' means over the seeds that all of them "
        f"have. From {FEWEST_FOR_RANKS} data sets on its interval is of draws with replacement of "
        "data sets and of seeds within each, with what the test rows do to the means; with five "
        "data sets it holds in about 85 % of cases, with ten in 92 %."
    )
    yield "Tasks of data sets that call them differently are matched by their place."


def _reading_of_chances() -> Iterator[str]:
    yield (
        "For a new data set gains are taken as normal over data sets of a kind (random effects), "
        "each measured with its own error. The mean and the deviation tau have flat priors, and "
        "tau is integrated, not guessed: with D data sets that tell their gains exactly, the new "
        "gain has a t distribution of D - 2 degrees of freedom. So two say nothing, and three "
        "little. A data set's error is that of the normal variable whose 95 % interval is as wide."
    )
    yield (
        "Chances are of one arm on one target each, and are not adjusted for how many there are."
    )


def lines(across: Across) -> tuple[str, ...]:
    """For a terminal."""
    return answer(across).lines


def summary(across: Across) -> dict[str, Any]:
    """The content of summary.json."""
    return {
        "across": [each.results.record.name for each in across.studies],
        "data": list(across.sets),
        "reference": across.reference,
        "answer": list(answer(across).lines),
        "targets": [
            {
                "target": target.name,
                "metric": target.metric.name,
                "arms": [
                    {
                        "arm": each.arm,
                        "on": [{"data": o.data, "word": o.word, **ends(o.gain)} for o in each.on],
                        "new": None if each.together is None else asdict(each.together),
                    }
                    for each in target.arms
                ],
                "ranks": [{"arm": arm, **rank._asdict()} for arm, rank in target.ranks],
            }
            for target in across.targets
        ],
    }
