"""What a command must have come to, told by Optuna's own API and by the report's numbers."""

import json
import re
import warnings
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from tests.faults.desk import Command, Desk, Running

FRESH = "{} (fresh seeds)"


@dataclass
class Verdict:
    """What was found wrong, in numbers; all 0 where nothing was."""

    lost: int = 0
    doubled: int = 0
    different: int = 0
    """Proposals or rows of results.csv that are not those of the undisturbed run."""
    left: int = 0
    """Trials that run, files half written, checkpoints, processes."""
    unclear: int = 0
    """Outputs with a traceback."""

    def __iadd__(self, other: "Verdict") -> "Verdict":
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)
        return self


@dataclass(frozen=True)
class Expected:
    """What the undisturbed serial run came to."""

    results: bytes
    trials: tuple[tuple[Any, ...], ...]
    fresh: tuple[tuple[Any, ...], ...]

    @classmethod
    def of(cls, desk: Desk, command: Command) -> "Expected":
        """Of a command that has ended."""
        own, fresh = trials_of(desk.storage, command)
        return cls(desk.results(command), *map(_told, (own, fresh)))


def trials_of(storage: str, command: Command) -> tuple[list[FrozenTrial], list[FrozenTrial]]:
    """All trials of a command, and those of a search's fresh seeds, as Optuna reads them."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        opened = optuna.storages.RDBStorage(storage)
        try:
            names = optuna.get_all_study_names(opened)
            asked = (command.name, FRESH.format(command.name))
            own, fresh = (
                optuna.load_study(study_name=name, storage=opened).get_trials()
                if name in names
                else []
                for name in asked
            )
        finally:
            opened.engine.dispose()
    return own, fresh


def _place(trial: FrozenTrial) -> tuple[str, int]:
    return str(trial.user_attrs["arm"]), int(trial.user_attrs["replicate"])


def _told(trials: Iterable[FrozenTrial]) -> tuple[tuple[Any, ...], ...]:
    """What a trial says, but for its number, which in a study says when it came."""
    of_each = (
        (*_place(t), t.state.name, json.dumps(t.params, sort_keys=True), repr(t.values))
        for t in trials
    )
    return tuple(sorted(of_each))


def audit(desk: Desk, command: Command, expected: Expected) -> Verdict:
    """Of a command that has come to its end."""
    own, fresh = trials_of(desk.storage, command)
    found = Verdict()
    for trials, wanted in ((own, expected.trials), (fresh, expected.fresh)):
        complete = Counter(_place(t) for t in trials if t.state == TrialState.COMPLETE)
        places = {place[:2] for place in wanted}
        found.lost += len(places - complete.keys())
        found.doubled += sum(count - 1 for count in complete.values())
        found.left += sum(not t.state.is_finished() for t in trials)
        found.different += len({*_told(trials)} ^ {*wanted})
    if not command.is_search:
        assert len(expected.trials) == command.expected
    else:
        numbered = [(t.number, _place(t)[0]) for t in own]
        assert len({place for place, *_ in expected.trials}) == command.expected
        found.different += [n for n, _ in sorted(numbered)] != list(range(len(numbered)))
    found.different += _unlike(desk.results(command), expected.results)
    found.left += len(leftovers(desk))
    return found


def _unlike(one: bytes, other: bytes) -> int:
    """Lines in which two files differ."""
    if one == other:
        return 0
    return max(1, len({*one.splitlines()} ^ {*other.splitlines()}))


def leftovers(desk: Desk) -> list[Path]:
    """Checkpoints, and what was half written, anywhere below a desk."""
    half = re.compile(r"\.fsmd-.*")
    checkpoints = [p for p in (desk.cache / "checkpoints").rglob("*") if not p.is_dir()]
    return [*checkpoints, *(p for p in desk.folder.rglob(".fsmd-*") if half.match(p.name))]


def unclear(running: Running) -> Verdict:
    """Whether what was told is more than lines for a person."""
    return Verdict(unclear="Traceback" in running.told)
