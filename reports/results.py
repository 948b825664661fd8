"""Reads a stored study or search: a tidy row for each measurement, a row for each training."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from itertools import combinations_with_replacement, compress
from math import inf
from operator import and_, attrgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from fsmd.errors import UserError, alternatives
from fsmd.metrics import METRICS, Array, Metric
from fsmd.stats.estimates import Estimate, Scatter, mean_interval, mean_intervals
from fsmd.stats.sampling import Sampling
from fsmd.stats.scatter import Scatters, scatters
from fsmd.tasks import Target, Task
from fsmd.training import step_key
from reports.measurements import OfTraining, tidy
from reports.predictions import own_figures, read_sampling
from reports.same_arms import read_as_trained
from studies.definition import Study
from studies.reading import of_study, uncollected
from studies.store.costs import LATENCY, known_costs
from studies.store.faults import patient
from studies.store.records import PlannedArm, StudyRecord
from studies.store.studies import find_study, study_names
from studies.store.trainings import TrainingRow, read_trainings

MOST_LEARNT = 1000
"""Arms whose differences to each other are all gone through, to learn how one of them scatters.
Of more, only comparisons with the reference learn it; others have what their own seeds tell."""
_Finished = tuple[str | None, tuple[bool, ...]]
"""An arm's test set, and which replicates are finished."""
_NONE: _Finished = None, ()
_Group = tuple[str | None, tuple[int, ...], tuple[float, ...]]
"""Arms that are compared alike: their test set, the replicates that they share, and what each
target's figure counts."""


class NothingYet(UserError):
    """No training has ended of which a report could be made."""


@dataclass(frozen=True)
class Scores:
    """One figure of every finished replicate: arms x replicates x targets, NaN where missing.

    Figures are as they were measured: less may be better; `gain` turns them. Arms on different
    test sets are not compared; arms that `test_sets` does not name share one unnamed test set.
    """

    arms: tuple[str, ...]
    replicates: tuple[int, ...]
    targets: tuple[Target, ...]
    values_ART: Array
    test_sets: Mapping[str, str] = field(default_factory=dict)
    samplings: tuple[Sampling, ...] = ()
    """The test sets' part in the variance of mean differences, where predictions were kept."""
    reference: str | None = None
    """Whose scatter all its comparisons share; of other pairs, it is the first arm's."""

    @cached_property
    def _finished_AR(self) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.values_ART).all(axis=2))

    @cached_property
    def place(self) -> Mapping[str, int]:
        """Arm -> its row."""
        return {arm: i for i, arm in enumerate(self.arms)}

    @cached_property
    def trained(self) -> tuple[str, ...]:
        """Arms with at least one finished replicate."""
        return tuple(np.array(self.arms)[self._finished_AR.any(axis=1)].tolist())

    @cached_property
    def paired(self) -> tuple[int, ...]:
        """Replicates finished at every trained arm: only over these may means be ranked."""
        trained_AR = self._finished_AR[self._finished_AR.any(axis=1)]
        complete_R = trained_AR.all(axis=0) & trained_AR.any(axis=0)  # no arm: no replicate
        return tuple(np.array(self.replicates)[complete_R].tolist())

    @property
    def left_out(self) -> tuple[int, ...]:
        """Replicates finished at some trained arms but not at all of them."""
        begun = np.array(self.replicates)[self._finished_AR.any(axis=0)].tolist()
        return tuple(r for r in begun if r not in self.paired)

    @cached_property
    def pairings(self) -> Mapping[tuple[str, tuple[int, ...]], tuple[str, ...]]:
        """(test set, replicates that a pair of arms shares there) -> the arms of such pairs.

        One entry a test set, unless something failed or is still to come.
        """
        alike: dict[tuple[str | None, tuple[bool, ...]], list[int]] = {}
        for place, arm in enumerate(self.trained):  # most have the same test set and replicates
            finished_R = tuple(self._finished_AR[self.place[arm]].tolist())
            alike.setdefault((self.test_sets.get(arm), finished_R), []).append(place)
        pairs: dict[tuple[str, tuple[int, ...]], tuple[tuple[int, int], set[int]]] = {}
        for (kind, own), (other_kind, others) in combinations_with_replacement(alike.items(), 2):
            both_R = [a and b for a, b in zip(kind[1], other_kind[1], strict=True)]
            if kind[0] != other_kind[0] or not any(both_R) or len({*own, *others}) < 2:
                continue
            key = kind[0] or "", tuple(np.array(self.replicates)[both_R].tolist())
            first = (own[0], others[0] if others is not own else own[1])
            before, arms = pairs.get(key, (first, set[int]()))
            pairs[key] = min(before, first), arms | {*own, *others}
        in_order = sorted(pairs.items(), key=lambda item: item[1][0])
        return {key: tuple(self.trained[i] for i in sorted(arms)) for key, (_, arms) in in_order}

    @property
    def most_shared(self) -> int:
        """The number of replicates of the pair that shares the most."""
        return max((len(replicates) for _, replicates in self.pairings), default=0)

    def shared(self, arm: str, other: str) -> tuple[int, ...]:
        """Replicates finished at both arms; none if these cannot be compared."""
        own, others = self._finished.get(arm, _NONE), self._finished.get(other, _NONE)
        if (own, others) not in self._both:
            both = map(and_, own[1], others[1]) if own[0] == others[0] else ()
            self._both[own, others] = tuple(compress(self.replicates, both))
        return self._both[own, others]

    @cached_property
    def _finished(self) -> Mapping[str, _Finished]:
        known = dict[_Finished, _Finished]()  # many arms have one and the same
        told = zip(self.arms, map(tuple, self._finished_AR.tolist()), strict=True)
        each = ((arm, (self.test_sets.get(arm), finished_R)) for arm, finished_R in told)
        return {arm: known.setdefault(own, own) for arm, own in each}

    @cached_property
    def _both(self) -> dict[tuple[_Finished, _Finished], tuple[int, ...]]:
        """What `shared` says of two arms, by what is finished at each."""
        return {}

    def target(self, key: str) -> Target:
        """The target of this key; KeyError if there is none."""
        return self.targets[self._columns[key]]

    @cached_property
    def _columns(self) -> Mapping[str, int]:
        return {target.key: i for i, target in reversed([*enumerate(self.targets)])}

    def metric(self, key: str) -> Metric:
        """What is measured on a target."""
        return METRICS[self.target(key).metric]

    def of(self, arm: str, key: str) -> Array:
        """An arm's figures by replicate, NaN where missing."""
        values_R: Array = self.values_ART[self.place[arm], :, self._column(key)]
        return values_R

    def _column(self, key: str) -> int:
        return self._columns[key]

    def finished_AR(self, key: str) -> Array:
        """The figures of a target; NaN where a replicate has not all of its figures."""
        return np.where(self._finished_AR, self.values_ART[..., self._column(key)], np.nan)

    def has(self, arm: str, key: str) -> bool:
        """Whether a replicate of the arm has a figure of the target."""
        return bool(self._has_AT[self.place[arm], self._column(key)])

    @cached_property
    def _has_AT(self) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.values_ART).any(axis=1))

    def mean(self, arm: str, key: str, replicates: Sequence[int] | None = None) -> Estimate:
        """An arm's mean over its finished replicates, or over some, with its interval."""
        over = self.replicates if replicates is None else tuple(replicates)
        if (key, over) not in self._means:
            columns, metric = [self.replicates.index(r) for r in over], self.metric(key)
            values_AR = self.values_ART[:, columns, self._column(key)]
            self._means[key, over] = mean_intervals(values_AR, (metric.low, metric.high))
        return self._means[key, over][self.place[arm]]

    @cached_property
    def _means(self) -> dict[Any, list[Estimate]]:
        """Of all arms, by target and replicates."""
        return {}

    def comparable(self, arm: str, other: str) -> bool:
        """Whether the arms are tested on the same rows; known before anything is trained."""
        return self.test_sets.get(arm) == self.test_sets.get(other)

    def differences(self, arm: str, other: str, key: str) -> Array:
        """`arm` minus `other` over the replicates that both share; may be empty.

        What failed or is missing at a third arm costs this pair nothing.
        """
        chosen = [self.replicates.index(r) for r in self.shared(arm, other)]
        if not chosen:
            return np.empty(0)  # one of them may be no arm of the stored study at all
        return self.of(arm, key)[chosen] - self.of(other, key)[chosen]

    def sampling(self, arm: str, other: str) -> Sampling | None:
        """The one that has both arms, over the replicates that they share."""
        if not self.samplings:
            return None
        over = (None, self.shared(arm, other))
        return next(
            (s for s in self.samplings if {arm, other} <= s.place.keys() and s.replicates in over),
            None,
        )

    def scatter(self, arm: str, other: str, weight_T: tuple[float, ...]) -> Scatter | None:
        """Of the two arms' difference over seeds, learnt from all arms that can be compared.

        weight_T: what each target's figure counts.
        """
        shared, is_usual = self.shared(arm, other), self.reference in (arm, other)
        if len(shared) < 2 or not (is_usual or len(self.arms) <= MOST_LEARNT):
            return None
        first, second = sorted((arm, other), key=lambda a: (a != self.reference, self.place[a]))
        group = self.test_sets.get(arm), shared, weight_T
        row, _ = self._group(group)
        learnt = self._learnt_from(first, group)
        return learnt.of(row[second] - (row[second] > row[first]))

    def _group(self, group: _Group) -> tuple[Mapping[str, int], Array]:
        if group not in self._alike:
            self._alike[group] = self._all_alike(*group)
        return self._alike[group]

    def _learnt_from(self, first: str, group: _Group) -> Scatters:
        if (first, group) not in self._learnt:
            row, values_AR = self._group(group)
            self._learnt[first, group] = scatters(values_AR, row[first])
        return self._learnt[first, group]

    def _all_alike(
        self, test_set: str | None, shared: tuple[int, ...], weight_T: tuple[float, ...]
    ) -> tuple[Mapping[str, int], Array]:
        """The arms of a test set that have these replicates, each with its row; the figures."""
        columns = [self.replicates.index(replicate) for replicate in shared]
        counted = [t for t, weight in enumerate(weight_T) if weight]
        values_AR = self.values_ART[:, columns][..., counted] @ np.array(weight_T)[counted]
        complete_A = np.isfinite(values_AR).all(axis=1).tolist()
        alike = [
            a
            for a, complete in zip(self.arms, complete_A, strict=True)
            if complete and self.test_sets.get(a) == test_set
        ]
        rows = [self.place[a] for a in alike]
        return {a: row for row, a in enumerate(alike)}, values_AR[rows]

    @cached_property
    def _alike(self) -> dict[Any, tuple[Mapping[str, int], Array]]:
        """What pairs with the same replicates share."""
        return {}

    @cached_property
    def _learnt(self) -> dict[Any, Scatters]:
        """What all comparisons with one arm share."""
        return {}

    def difference(self, arm: str, other: str, key: str, at_once: bool = False) -> Estimate:
        """The mean of `differences`, its interval over seeds and, where known, the test set.

        at_once: whether all arms are compared with the other, as they are with the reference; the
        numbers are the same. Raises UserError for what is no arm.
        """
        return self.summed(arm, other, self._only[key], self._reach[key], at_once)

    def summed(
        self,
        arm: str,
        other: str,
        weight_T: tuple[float, ...],
        reach: float = inf,
        at_once: bool = False,
    ) -> Estimate:
        """`difference` of a sum of targets, each times its weight.

        reach: what it can differ by at most.
        """
        if unknown := [name for name in (arm, other) if name not in self.place]:
            raise UserError(f"no arm {unknown[0]!r} here{alternatives(unknown[0], self.arms)}")
        shared, sampling = self.shared(arm, other), self.sampling(arm, other)
        part = sampling.part(arm, other, weight_T @ self._weights_TK) if sampling else None
        if part is None and arm != other and shared:
            group = self.test_sets.get(arm), shared, weight_T
            if at_once or other == self.reference:
                return self._over(arm, other, group, reach)
            if arm == self.reference:
                return turned(self._over(other, arm, group, reach), -1)
        counted = [(key, weight_T[t]) for key, t in self._columns.items() if weight_T[t]]
        terms = (weight * self.differences(arm, other, key) for key, weight in counted)
        values_R = sum(terms, np.zeros(len(shared)))
        scatter = self.scatter(arm, other, weight_T)
        return mean_interval(values_R, part, within=(-reach, reach), scatter=scatter)

    def _over(self, arm: str, other: str, group: _Group, reach: float) -> Estimate:
        """The arm minus the other, over the seeds alone: of all arms at once."""
        key = other, group, reach
        if key not in self._gained:
            row, values_AR = self._group(group)
            place, weight_T = row[other], group[-1]
            over_OR = np.delete(values_AR, place, axis=0) - values_AR[place]
            others = [each for each in row if each != other]
            learnt = [self.scatter(each, other, weight_T) for each in others]
            gains = mean_intervals(over_OR, (-reach, reach), learnt)
            self._gained[key] = dict(zip(others, gains, strict=True))
        return self._gained[key][arm]

    @cached_property
    def _gained(self) -> dict[Any, Mapping[str, Estimate]]:
        """Of all arms over one, by that, test set, replicates, what is summed and its reach."""
        return {}

    @cached_property
    def _only(self) -> Mapping[str, tuple[float, ...]]:
        """Target -> weights of it alone."""
        eye_TT = np.eye(len(self.targets)).tolist()
        return {key: tuple(eye_TT[column]) for key, column in self._columns.items()}

    @cached_property
    def _reach(self) -> Mapping[str, float]:
        """Target -> what two figures can differ by at most."""
        metrics = {target.key: METRICS[target.metric] for target in self.targets}
        return {key: metric.high - metric.low for key, metric in metrics.items()}

    @cached_property
    def _weights_TK(self) -> Array:
        return np.array([target.weights for target in self.targets])

    def gain(self, arm: str, other: str, key: str, at_once: bool = False) -> Estimate:
        """`difference`, turned so that more is better."""
        return turned(self.difference(arm, other, key, at_once), self.metric(key).sign)


def turned(estimate: Estimate, sign: int) -> Estimate:
    """The estimate times 1 or -1."""
    if sign > 0:
        return estimate
    low, high = estimate.low, estimate.high
    return estimate._replace(
        mean=0.0 - estimate.mean,  # which has no sign where it is zero
        low=None if high is None else 0.0 - high,
        high=None if low is None else 0.0 - low,
    )


class FinishedRun(NamedTuple):
    """A training that came to its end."""

    parameters: int
    seconds: float
    chosen_epochs: Mapping[str, int] | None


@dataclass(frozen=True)
class StudyResults:
    """A study, or the trainings of a search, as they lie in the database."""

    record: StudyRecord
    planned: tuple[PlannedArm, ...]
    """Of a study as it was planned; of a search the configurations that it tried."""
    measurements: pd.DataFrame
    """Tidy: see `reports.measurements`."""
    runs: pd.DataFrame
    """One row for each training (arm, replicate, run_id, and columns of `RUNS`), failed ones
    too."""
    engine: sa.Engine = field(repr=False, compare=False)
    """Where the test predictions are, too many to be read before they are asked for."""
    computed: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    """What others have computed of it and ask for more than once."""

    def __repr__(self) -> str:
        kind = "search" if self.record.is_search else "study"
        return (
            f"StudyResults({kind} {self.record.name!r}, {len(self.arms)} arms, "
            f"{len(self.runs)} trainings, tasks {', '.join(self.task_names)})"
        )

    @cached_property
    def study(self) -> Study:
        """The stored definition, as it is read where some arms are one model.

        TypeError for a search.
        """
        return read_as_trained(self.record.study, self.record.plan.same)

    @cached_property
    def done(self) -> pd.DataFrame:
        """The runs that were finished."""
        is_done = self.runs["status"] == "done"
        return self.runs if is_done.all() else self.runs[is_done]

    def done_of(self, arm: str) -> pd.DataFrame:
        """Those of an arm."""
        return self._done_of.get(arm, self.done.iloc[:0])

    def run_ids(
        self, arms: Iterable[str], replicates: Sequence[int]
    ) -> Mapping[str, tuple[str, ...]]:
        """Arm -> the identities of its trainings of these replicates."""
        return {arm: tuple(self._run_ids[arm, r] for r in replicates) for arm in arms}

    @cached_property
    def _run_ids(self) -> Mapping[tuple[str, int], str]:
        columns = (self.runs[n].to_numpy(object) for n in ("arm", "replicate", "run_id"))
        return {(arm, replicate): id_ for arm, replicate, id_ in zip(*columns, strict=True)}

    @cached_property
    def finished(self) -> Mapping[str, Sequence[FinishedRun]]:
        """Arm -> what each of its finished runs took: frames of an arm each take a thousand times
        as long.
        """
        of_arm = dict[str, list[FinishedRun]]()
        columns: Any = (self.done[name] for name in ("arm", *FinishedRun._fields))
        for arm, *own in zip(*columns, strict=True):
            of_arm.setdefault(arm, []).append(FinishedRun(*own))
        return of_arm

    @cached_property
    def _done_of(self) -> Mapping[str, pd.DataFrame]:
        return {str(arm): runs for arm, runs in self.done.groupby("arm", sort=False)}

    @cached_property
    def replicates(self) -> tuple[int, ...]:
        """Those that any training is of."""
        return tuple(sorted(int(r) for r in set(self.runs["replicate"])))

    @cached_property
    def measured(self) -> frozenset[str]:
        """All metrics of which there is a figure."""
        return frozenset(self.measurements["metric"].unique())

    @cached_property
    def chosen_AR(self) -> Mapping[str, NDArray[np.int64]]:
        """Task -> the epoch that validation chose in each training; 0 where there is none."""
        arms = {arm: i for i, arm in enumerate(self.arms)}
        columns = {replicate: i for i, replicate in enumerate(self.replicates)}
        shape = len(arms), len(columns)
        chosen_AR = {task: np.zeros(shape, np.int64) for task in self.task_names}
        told: Any = zip(
            *(self.done[n] for n in ("arm", "replicate", "chosen_epochs")), strict=True
        )
        for arm, replicate, epochs in told:
            for task in chosen_AR:
                chosen_AR[task][arms[arm], columns[replicate]] = (epochs or {}).get(task, 0)
        return chosen_AR

    def place_of(
        self, rows: pd.DataFrame | Mapping[str, Any]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The places of the arm and of the replicate of each row."""
        arms = pd.Categorical(rows["arm"])
        arm_N = pd.Index(self.arms).get_indexer(arms.categories)[arms.codes]
        return arm_N, np.searchsorted(self.replicates, rows["replicate"])

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is predicted, in order."""
        return self.record.plan.tasks

    @property
    def task_names(self) -> tuple[str, ...]:
        """The tasks' names, in order."""
        return tuple(task.name for task in self.tasks)

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is compared: each task and, where their metric is one, the mean."""
        return self.record.plan.targets

    @cached_property
    def test(self) -> Scores:
        """Each task's own metric on test at the chosen epochs, with the test set's part."""
        scores = at_chosen(self, "test")
        return replace(scores, samplings=samplings_of(self, scores))

    @cached_property
    def valid(self) -> Scores:
        """Each task's own metric on validation at the chosen epochs."""
        return at_chosen(self, "valid")

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """The planned arms, then stored ones that the plan no longer has."""
        known = tuple(arm.name for arm in self.planned)
        return known + tuple(sorted(set(self.runs["arm"]) - set(known)))

    @cached_property
    def test_sets(self) -> Mapping[str, str]:
        """Arm -> the content hash of the data it is tested on, as the study was planned."""
        hashes = {facts.name: facts.content_hash for facts in self.record.plan.sets}
        return {arm: hashes[self.data_of(arm)] for arm in self.arms}

    @property
    def same_seeds(self) -> bool:
        """Whether all planned arms are trained from the same seeds; else pairs are by number."""
        return len({arm.stream for arm in self.planned}) < 2

    def planned_arm(self, name: str) -> PlannedArm | None:
        """The arm as it is trained; None for one that the plan no longer has."""
        return self._by_name.get(name)

    @cached_property
    def _by_name(self) -> Mapping[str, PlannedArm]:
        return {arm.name: arm for arm in reversed(self.planned)}

    def data_of(self, arm: str) -> str:
        """The data set that an arm is trained on."""
        planned = self.planned_arm(arm)
        return planned.data if planned else self.record.plan.data.name

    def latency(self, arm: str) -> float | None:
        """Milliseconds to score 1,000 rows on one thread; None where it was not measured.

        Of all arms on one machine, the one that measured most of them.
        """
        return self._latencies.get(arm)

    @cached_property
    def _latencies(self) -> Mapping[str, float]:
        on_machines: dict[str, dict[str, float]] = {}
        model = ["config_hash", "data_hash", "code"]
        columns: Any = self.runs[["arm", *model]].drop_duplicates()
        arms = dict[tuple[str, ...], list[str]]()
        for arm, *key in columns.itertuples(index=False):
            arms.setdefault(tuple(key), []).append(arm)
        with of_study(self.record.name):
            codes, hashes = {code for *_, code in arms}, {config for config, *_ in arms}
            known = known_costs(self.engine, LATENCY, codes, hashes)
        for cost, value in sorted(known.items(), key=lambda item: item[0].machine):
            for arm in arms.get((cost.config_hash, cost.data_hash, cost.code), ()):
                on_machines.setdefault(cost.machine, {})[arm] = value
        return max(on_machines.values(), key=len, default={})

    def reachable(self, arm: str | None = None) -> Mapping[str, float]:
        """Target -> the best reachable figure on the arm's (or the study's own) data set.

        Empty where nobody knows it.
        """
        plan = self.record.plan
        facts = plan.data if arm is None else plan.facts(self.data_of(arm))
        if facts.reachable is None:
            return {}
        best = [facts.reachable[name] for name in self.task_names]
        return {
            target.key: sum(w * v for w, v in zip(target.weights, best, strict=True) if w)
            for target in self.targets
        }


def read(engine: sa.Engine, study_name: str) -> StudyResults:
    """The stored study of this name; UserError names the stored ones if there is none."""
    record = stored_record(engine, study_name)
    return load_results(engine, record, record.plan.arms)


def stored_record(engine: sa.Engine, name: str) -> StudyRecord:
    """What is stored of a study or a search; UserError names the stored ones if nothing is."""
    record = find_study(engine, name)
    if record is None:
        stored = study_names(engine)
        raise UserError(f"no study {name!r} in this database{alternatives(name, stored)}")
    return record


_NOT_KEPT = ("id", "config")
"""Columns of a training that are not read again: its `run_id`, and what its arm is."""


@uncollected()
def load_results(
    engine: sa.Engine, record: StudyRecord, planned: tuple[PlannedArm, ...]
) -> StudyResults:
    """What is stored of a study's or a search's trainings, in the order of its arms."""
    columns = [field.name for field in fields(TrainingRow) if field.name not in _NOT_KEPT]
    told = attrgetter(*("runtime.identity" if name == "runtime" else name for name in columns))
    rows, measured, values = [], list[OfTraining](), array("d")
    for t in read_trainings(engine, record, planned):
        rows.append((t.arm, t.replicate, t.run.id, *told(t.run)))
        own = t.arm, t.replicate, t.run.seed, t.figures.keys, len(values)
        measured.append(OfTraining(*own))
        values.extend(t.figures.values)  # at once: many small arrays leave holes in memory
    known = [arm.name for arm in planned]
    others = sorted({arm for arm, *_ in rows} - {*known})
    place = {arm: i for i, arm in enumerate([*known, *others])}
    order = sorted(range(len(rows)), key=lambda i: (place[rows[i][0]], rows[i][1]))
    runs = pd.DataFrame([rows[i] for i in order], columns=["arm", "replicate", "run_id", *columns])
    ordered = [measured[i] for i in order]
    figures = tidy(record.name, record.plan.data.name, ordered, np.asarray(values))
    return StudyResults(record, planned, figures, runs, engine)


def at_chosen(
    results: StudyResults, split: str, metric: str | None = None, steps: bool = False
) -> Scores:
    """A metric of `split` at each task's chosen epoch.

    metric: None means each task's own, with all targets; another one has each task alone.
    steps: of a metric, each step of the funnel (`step_key`) instead of each task.
    """
    arms, replicates = results.arms, results.replicates
    told = {task.name: task for task in results.tasks}
    if steps:
        told = {step_key(t.name, t.after): t for t in results.tasks if t.after is not None}
    names = tuple(told)
    own = {name: metric or task.metric for name, task in told.items()}
    values_ARK = np.full((len(arms), len(replicates), len(names)), np.nan)
    frame = results.measurements
    of_split_N = frame["split"] == split
    for k, (name, task) in enumerate(told.items()):
        if own[name] not in results.measured:
            continue
        is_told_N = of_split_N & (frame["task"] == name) & (frame["metric"] == own[name])
        row_N = np.flatnonzero(is_told_N)  # a frame of these rows would take twice as long to make
        of_task = {column: frame[column].array[row_N] for column in ("arm", "replicate", "epoch")}
        arm_N, replicate_N = results.place_of(of_task)
        is_chosen_N = results.chosen_AR[task.name][arm_N, replicate_N] == of_task["epoch"]
        at = arm_N[is_chosen_N], replicate_N[is_chosen_N], k
        values_ARK[at] = frame["value"].array[row_N[is_chosen_N]]
    targets = results.targets if metric is None else _alone(names, metric)
    record = results.record
    return Scores(
        arms,
        replicates,
        targets,
        _summed(values_ARK, targets),
        results.test_sets,
        reference=None if record.is_search else record.study.reference,
    )


def _alone(names: tuple[str, ...], metric: str) -> tuple[Target, ...]:
    """A target for each task by a metric that is not its own."""
    weights_KK = np.eye(len(names)).tolist()
    return tuple(Target(n, metric, tuple(w)) for n, w in zip(names, weights_KK, strict=True))


def _summed(values_ARK: Array, targets: tuple[Target, ...]) -> Array:
    """A missing task is missing only where a target weighs it."""
    columns = [
        sum((w * values_ARK[..., k] for k, w in enumerate(target.weights) if w), np.float64(0.0))
        for target in targets
    ]
    return np.stack(columns, axis=2)


@patient
def samplings_of(results: StudyResults, scores: Scores) -> tuple[Sampling, ...]:
    """One for each test set with predictions and each choice of replicates that pairs share."""
    samplings, figures = [], own_figures(results.tasks)
    with of_study(results.record.name), results.engine.connect() as connection:
        for (data_hash, replicates), arms in scores.pairings.items():
            runs = partial(results.run_ids, arms, replicates)
            samplings.append(read_sampling(connection, data_hash, figures, runs, replicates))
    return tuple(filter(None, samplings))


@patient
def rows_part(
    results: StudyResults, arms: Sequence[str], replicates: tuple[int, ...], split: str
) -> Sampling | None:
    """The part of a split's rows in the means of arms on one data set, over these replicates.

    None where no scores were kept.
    """
    runs = partial(results.run_ids, arms, replicates)
    data_hash, figures = results.test_sets[arms[0]], own_figures(results.tasks)
    with of_study(results.record.name), results.engine.connect() as connection:
        return read_sampling(connection, data_hash, figures, runs, replicates, split)


def shared_part(
    results: StudyResults, arms: Sequence[str], replicates: tuple[int, ...]
) -> Sampling | None:
    """The test rows' part in the means of all these arms over these replicates.

    Read where no pair of arms shares just these; None where not all scores were kept, or arms have
    other test rows.
    """
    test, key = results.test, ("shared_part", tuple(arms), replicates)
    if not test.samplings or not all(test.comparable(arms[0], arm) for arm in arms):
        return None
    if key not in results.computed:
        known = (s for s in test.samplings if s.replicates in (None, replicates))
        found = next((s for s in known if s.place.keys() >= set(arms)), None)
        results.computed[key] = found or rows_part(results, arms, replicates, "test")
    part: Sampling | None = results.computed[key]
    return part if part and part.place.keys() >= set(arms) else None
