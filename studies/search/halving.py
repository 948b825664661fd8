"""Successive halving for any Optuna study of several objectives; Optuna's own pruning refuses it.

It is the rule of our searches, `studies.search.pruning`. A search pauses a training and may go on
with it; Optuna's loop cannot, so that a trial is stopped for good. Loads no torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, takewhile

from optuna.study import Study, StudyDirection
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from fsmd.errors import UserError, shown
from fsmd.stats.pareto import Point
from studies.search.pruning import StandingCurve, SuccessiveHalving

STANDING = "halving:{}"
"""The user attribute of a trial that holds its number and where it stood at a rung."""


@dataclass(frozen=True)
class MultiObjectiveHalving:
    """Says which trials of an Optuna study stop early, judged on all objectives together.

    A trial tells after each step where it stands, and hears whether to stop::

        halving = MultiObjectiveHalving(steps=27)

        def objective(trial):
            ...
            for step in range(1, 28):
                ...
                if halving.stops(trial, step, (error, size)):
                    raise optuna.TrialPruned
            return error, size

        optuna.create_study(directions=["minimize", "minimize"]).optimize(objective)

    At the rungs, steps 1, eta, eta^2, ..., a trial goes on if it is among the best 1/eta of those
    that have reached the rung so far (by non-domination rank, then by its share of the rank's
    hypervolume), or if none of them is better by more than `slack` on every objective.

    It keeps nothing itself: the number of a trial and where it stood at a rung are a user
    attribute of the trial, such as `halving:4`, in the study's storage. So threads, processes and
    machines on one storage judge by all of each other's trials, a study that is loaded again goes
    on, and what was stopped keeps its last values, which Optuna lets no such trial have as
    `values`. One object may serve several studies.

    Sources: successive halving (Jamieson and Talwalkar 2016), asynchronous (Li et al. 2020, ASHA),
    for several objectives (Schmucker et al. 2021, MO-ASHA; Izquierdo et al. 2021). Ours are the
    guard by `slack` and the witnesses.
    """

    steps: int
    """The last step of a trial that nothing stops; there nothing is judged any more."""
    slack: float | Sequence[float] | None = 0.0
    """In an objective's own unit, what noise may hide: one number, or one for each objective.
    0: whoever is on the front of a rung goes on. None: no guard, as in the papers; for many
    objectives, where most are on the front."""
    eta: int = 2
    """One of so many goes on from a rung."""
    evidence: int | None = 8
    """So many trials at first, and every fifth later, are witnesses, which nothing stops; a rung
    stops nobody before it has ranked so many of them as they ended, on each objective (rank
    correlation 0.5). None: no witnesses, each rung is believed, as in the papers. A trial whose
    process was killed runs on in Optuna's books; where it is one of the first, nothing is stopped
    before `optuna.storages.fail_stale_trials` or `study.tell` has ended it."""

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("eta", 2), ("evidence", 1)):
            value = getattr(self, name)
            optional = name == "evidence" and value is None
            if not optional and not (isinstance(value, int) and value >= least):
                raise UserError(
                    f"{name} must be a whole number, at least {least}; got {shown(value)}"
                )

    def stops(self, trial: BaseTrial, step: int, values: Sequence[float]) -> bool:
        """Whether the trial is to stop now; `raise optuna.TrialPruned` then.

        step: steps behind it, from 1 on; a trial that tells only some of them is judged at the
        first one at or after a rung. values: where it stands, one number for each objective, in
        the order and the direction of the study's; better where they are those of its best step so
        far. One that is no finite number stops the trial, and it counts for no other.

        A trial without a study, as `optuna.trial.FixedTrial` is, never stops. Raises UserError
        for a step or values that cannot be.
        """
        study: Study | None = getattr(trial, "study", None)
        if study is None:
            return False
        here, rule = _checked(study, step, values), self._rule(study)
        passed = [rung for rung in rule.rungs if rung <= step]
        new = [rung for rung in passed if not _stood(trial, rung)]
        if step >= self.steps or not new:
            return False
        for rung in new:
            trial.set_user_attr(STANDING.format(rung), [trial.number, *here])
        if not all(map(math.isfinite, here)):
            return True
        curves = [
            _curve(each, rule.rungs, study.directions) for each in study.get_trials(deepcopy=False)
        ]
        return trial.number not in rule.kept(len(passed), curves)

    def _rule(self, study: Study) -> SuccessiveHalving:
        """The rule of our searches, where who is stopped cannot go on later."""
        slack = self.slack
        count = len(study.directions)
        each = (slack,) * count if isinstance(slack, int | float) else slack
        if each is not None and len(each) != count:
            raise UserError(f"slack must be one number or {count}; got {shown(slack)}")
        guard = None if each is None else tuple(map(float, each))
        return SuccessiveHalving(self.steps, guard, self.eta, self.evidence, least=1)


def _checked(study: Study, step: int, values: Sequence[float]) -> Point:
    if step < 1:
        raise UserError(f"step must be at least 1, the first; got {shown(step)}")
    count = len(study.directions)
    if len(values) != count:
        raise UserError(
            f"values must be {count} numbers, one for each objective of the study; "
            f"got {shown(values)}"
        )
    return tuple(map(float, values))


def _stood(trial: BaseTrial, rung: int) -> Point:
    """Where a trial stood at a rung; empty if it has told nothing there.

    Where Optuna tries a trial that died again, it copies the attributes, so that one with another
    trial's number says nothing of this one.
    """
    number, *values = trial.user_attrs.get(STANDING.format(rung), (None,))
    return tuple(values) if number == trial.number else ()


def _curve(
    trial: FrozenTrial, rungs: Sequence[int], directions: Sequence[StudyDirection]
) -> StandingCurve:
    """A trial as the rule sees it, in rungs instead of epochs; more is better."""
    points = list(takewhile(bool, (_stood(trial, rung) for rung in rungs)))
    if trial.state == TrialState.COMPLETE and points:
        points.append(tuple(trial.values))
    if trial.state == TrialState.FAIL or not all(map(math.isfinite, chain(*points))):
        points = []
    turned = tuple(
        tuple(
            value if direction == StudyDirection.MAXIMIZE else -value
            for value, direction in zip(point, directions, strict=True)
        )
        for point in points
    )
    if trial.state in (TrialState.COMPLETE, TrialState.FAIL):
        return StandingCurve(turned, "ended")
    return StandingCurve(turned, "stopped" if trial.state == TrialState.PRUNED else "running")
