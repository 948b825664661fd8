"""One study on several data sets, read and pooled: numbers, before any words or ink."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sqlalchemy as sa

from fsmd.errors import UserError, alternatives
from fsmd.metrics import METRICS, Array, Metric
from fsmd.stats.across import MeanRank, Pooled, mean_ranks, normal_error, pooled
from fsmd.stats.estimates import UNKNOWN, Estimate
from fsmd.tasks import MEAN, Target
from reports import words
from reports.results import StudyResults, shared_part, stored_record
from reports.study.analysis import StudyAnalysis, analyse
from studies.reading import of_study
from studies.store.records import StudyRecord
from studies.store.studies import study_names

SEED = 0
"""Of the draws behind intervals of ranks: the same results give the same report."""
SAME = "the same model here"
_TURNED = {"better": "worse", "worse": "better"}


@dataclass(frozen=True)
class OneGain:
    """An arm's gain over the reference on one data set; more is better."""

    data: str
    gain: Estimate
    """Of no replicate where the two share none."""
    word: str
    """The verdict there, of the arm."""

    @property
    def why_left_out(self) -> str:
        """Why it is not pooled; empty where it is."""
        if normal_error(self.gain) is not None:
            return ""
        if self.gain.n == 0:
            return "the same model as the reference" if self.word == SAME else "no replicate"
        return "one replicate" if self.gain.n == 1 else "each replicate's gain is the same"


@dataclass(frozen=True)
class ArmAcross:
    """An arm on one target, on every data set and together."""

    arm: str
    on: tuple[OneGain, ...]
    together: Pooled | None
    """Of the data sets that have an interval; None where they are too few."""

    @property
    def pooled(self) -> tuple[OneGain, ...]:
        """What is told together."""
        return tuple(one for one in self.on if not one.why_left_out)


@dataclass(frozen=True)
class TargetAcross:
    """A target: the same place among the tasks of every data set."""

    name: str
    """The task's, or all its names where data sets call it differently."""
    metric: Metric
    margin: float
    arms: tuple[ArmAcross, ...]
    """All but the reference."""
    ranks: tuple[tuple[str, MeanRank], ...]
    """Of all arms, the best first; empty where a data set has no replicate of all of them."""


@dataclass(frozen=True)
class Across:
    """A study on several data sets."""

    name: str
    """Of the folder of its report."""
    studies: tuple[StudyAnalysis, ...]

    @property
    def first(self) -> StudyAnalysis:
        """That of the first data set, whose definition speaks for all."""
        return self.studies[0]

    @property
    def reference(self) -> str:
        """Whom arms are compared with."""
        return self.first.study.reference

    @property
    def sets(self) -> tuple[str, ...]:
        """Names of the data sets."""
        return tuple(each.results.record.plan.data.name for each in self.studies)

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """In the order of the definition."""
        return tuple(arm.name for arm in self.first.results.record.study.arms)

    @cached_property
    def targets(self) -> tuple[TargetAcross, ...]:
        """What is compared."""
        count = len(self.first.results.targets)
        return tuple(_target(self, k) for k in range(count))


def read_across(engine: sa.Engine, asked: Sequence[str]) -> Across:
    """The studies of these stored names; of one name all whose definition has it.

    Raises UserError for what cannot be compared across data sets.
    """
    every = [stored_record(engine, name) for name in study_names(engine)]
    records = [record for record in every if record.name in asked]
    if len(asked) == 1:
        records = [r for r in every if r.definition.name in asked] or records
    found = {r.name for r in records} if len(asked) > 1 or not records else {*asked}
    for name in asked:
        if name not in found:
            stored = alternatives(name, sorted(r.name for r in every))
            raise UserError(f"--across: no study {name!r} is stored{stored}")
    _check(records)
    analyses = []
    for record in records:
        with of_study(record.name):
            analyses.append(analyse(engine, record))
    return Across(f"across-{records[0].definition.name}", tuple(analyses))


def _check(records: Sequence[StudyRecord]) -> None:
    """One question, on data sets that differ, of the same arms and metrics."""
    first, *others = records
    told = words.listed(record.name for record in records)
    if not others:
        raise UserError(
            f"--across needs a study on two data sets at least; {first.name!r} is the only one: "
            "run it with another --data, or name the others, with commas between them"
        )
    for record in records:
        if record.is_search:
            raise UserError(f"--across goes with studies only; {record.name!r} is a search")
    every = [each for r in records for each in {r.plan.data.content_hash, r.plan.data.name}]
    for record in records:
        if max(map(every.count, (record.plan.data.content_hash, record.plan.data.name))) > 1:
            raise UserError(
                f"--across needs another data set each; {record.name!r} is not the only one on "
                f"{record.plan.data.name}: name those that are to be compared, of {told}"
            )
    for record in others:
        for what, one, other in (
            ("reference", first.study.reference, record.study.reference),
            ("metrics", _metrics(first), _metrics(record)),
        ):
            if one != other:
                raise UserError(
                    f"--across needs one {what.removesuffix('s')} for each place: {first.name!r} "
                    f"has {one}, {record.name!r} {other}"
                )
    arms = [{arm.name for arm in record.study.arms} for record in records]
    for record, own in zip(records, arms, strict=True):
        for arm in sorted(set().union(*arms) - own):
            raise UserError(
                f"--across needs the same arms everywhere; {record.name!r} has no arm {arm!r}: "
                "run it with the definition of the others"
            )


def _metrics(record: StudyRecord) -> str:
    return words.listed(METRICS[task.metric].label for task in record.plan.tasks)


def _target(across: Across, k: int) -> TargetAcross:
    targets = [each.results.targets[k] for each in across.studies]
    names = dict.fromkeys(target.key for target in targets)
    metric = METRICS[targets[0].metric]
    others = [arm for arm in across.arms if arm != across.reference]
    return TargetAcross(
        name=" / ".join(names) if len(names) <= 3 else MEAN if MEAN in names else f"task {k + 1}",
        metric=metric,
        margin=across.first.reading.margin(targets[0]),
        arms=tuple(_arm(across, arm, targets) for arm in others),
        ranks=_ranks(across, targets),
    )


def _arm(across: Across, arm: str, targets: Sequence[Target]) -> ArmAcross:
    on = tuple(
        _gain(analysis, data, arm, target)
        for analysis, data, target in zip(across.studies, across.sets, targets, strict=True)
    )
    errors = [(each.gain.mean, normal_error(each.gain)) for each in on]
    known = np.array([(mean, error) for mean, error in errors if error is not None]).reshape(-1, 2)
    return ArmAcross(arm, on, pooled(*known.T))


def _gain(analysis: StudyAnalysis, data: str, arm: str, target: Target) -> OneGain:
    same = dict(analysis.results.record.plan.same)
    reference = analysis.study.reference
    own, reference = same.get(arm, arm), same.get(reference, reference)
    if own == reference:
        return OneGain(data, UNKNOWN, SAME)
    scores = analysis.scores
    found = scores.gain(own, reference, target.key) if own in scores.place else UNKNOWN
    told: dict[tuple[str, str, str], str] = {c.key: c.word for c in analysis.comparisons}
    turned = told.get((reference, own, target.key), "undecided")
    word = told.get((own, reference, target.key), _TURNED.get(turned, turned))
    return OneGain(data, found, word)


def _ranks(across: Across, targets: Sequence[Target]) -> tuple[tuple[str, MeanRank], ...]:
    values, rows = [], []
    for analysis, target in zip(across.studies, targets, strict=True):
        same, scores = dict(analysis.results.record.plan.same), analysis.scores
        arms = [same.get(arm, arm) for arm in across.arms]
        if not set(arms) <= set(scores.place):
            return ()
        sign = METRICS[target.metric].sign
        value_AR = sign * np.array([scores.of(arm, target.key) for arm in arms])
        whole_R = np.isfinite(value_AR).all(0)
        if not whole_R.any():
            return ()
        values.append(value_AR[:, whole_R])
        replicates = tuple(np.array(scores.replicates)[whole_R].tolist())
        rows.append(_rows_part(analysis.results, arms, replicates, target))
    found = mean_ranks(values, rows, np.random.default_rng(SEED))
    return tuple(sorted(zip(across.arms, found, strict=True), key=lambda item: item[1].mean))


def _rows_part(
    results: StudyResults, arms: Sequence[str], replicates: tuple[int, ...], target: Target
) -> Array | None:
    """The test set's part in the covariance of the arms' means; None where it is not known."""
    sampling = shared_part(results, arms, replicates)
    if sampling is None:
        return None
    weight_K, rows = np.array(target.weights), [sampling.place[arm] for arm in arms]
    own_AKAK = sampling.covariance_AKAK[rows][:, :, rows]
    part_AA: Array = np.einsum("aibj,i,j->ab", own_AKAK, weight_K, weight_K)
    return (part_AA + part_AA.T) / 2
