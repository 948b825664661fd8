"""What the names in a study's claims stand for on the data that it ran on."""

from dataclasses import dataclass

from fsmd.tasks import MEAN, Target, Task, names, targets
from studies.definition import Claim, Flat, NotEverywhere, Rule, Study, Trades


@dataclass(frozen=True)
class Reading:
    """A study's claims, read on these tasks.

    On data that lacks a task which the claims name, the study's tasks stand for the data's tasks
    in order.
    """

    study: Study
    tasks: tuple[Task, ...]

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is compared on this data."""
        return targets(self.tasks)

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """(task that the claims name, task of the data that it stands for)."""
        own = names(self.tasks)
        if set(self.study.tasks) <= set(own):
            return tuple((name, name) for name in self.study.tasks)
        return tuple(zip(self.study.tasks, own, strict=False))

    def in_words(self, claim: Claim) -> str:
        """The claim's text and, where its tasks stand for others of this data, for which.

        It goes wherever a verdict goes: a claim on income must not seem to be judged on it.
        """
        named = {getattr(rule, "target", MEAN) for rule in claim.rules}
        stand_in = [
            f"{name} as {own}"
            for name, own in self.pairs
            if name != own and (name in named or MEAN in named)
        ]
        return f"{claim.text} (Read here: {', '.join(stand_in)}.)" if stand_in else claim.text

    def target(self, name: str) -> Target | None:
        """What a claim's target stands for; None where the data has no such thing.

        The mean of one task is that task.
        """
        own = {target.key: target for target in self.targets}
        if name == MEAN:
            return own.get(MEAN) or (self.targets[0] if len(self.tasks) == 1 else None)
        key = dict(self.pairs).get(name)
        return None if key is None else own[key]

    @property
    def claimed_tasks(self) -> tuple[Target, ...]:
        """The tasks that the study's claims speak of, as this data has them."""
        own = {target.key: target for target in self.targets}
        return tuple(own[name] for _, name in self.pairs)

    def margin(self, target: Target, own: float | None = None) -> float:
        """The smallest difference that matters: the rule's own, the study's or the metric's."""
        return self.study.margin(target.metric) if own is None else own

    def lacking(self, rule: Rule) -> str:
        """Why the rule cannot be judged on this data, as half a sentence; empty if it can."""
        others = getattr(rule, "among", ()) or (getattr(rule, "other", None),)
        if not isinstance(rule, Flat) and set(others) == {rule.arm}:
            return f"what it compares is one model here, {rule.arm}"
        if isinstance(rule, NotEverywhere | Trades):
            here, named = len(self.pairs), len(self.study.tasks)
            if here < named:
                return f"it speaks of {named} tasks, and this data has {here}"
            trades_nothing = isinstance(rule, Trades) and here == 1
            return "one task is traded for another, and there is one" if trades_nothing else ""
        name = rule.target
        if self.target(name) is not None:
            return ""
        if name == MEAN:
            return "the tasks have different metrics, so there is no mean of them"
        return f"no task of this data stands for {name}"
