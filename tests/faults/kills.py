"""Signals at random moments: SIGKILL of a part, or those by which a terminal ends a command."""

import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from studies.options import STOPPED
from tests.faults.audit import Expected, Verdict, audit, unclear
from tests.faults.desk import Command, Desk, Running, parents_in
from tests.postgres import Postgres

PLANNER, WORKER, FORKS, DATABASE = "planner", "worker", "fork server", "database"
GROUP = "all processes"
TRAINING_ALONE = 0.8
"""The share of starts of which nothing is hit but while a worker is there, so that a busy machine,
on which it takes long to start and to report, comes to an end."""


@dataclass(frozen=True)
class Chances:
    """What is hit, and how soon."""

    shares: Mapping[str, float]
    longest: float
    """Seconds between two hits, at most."""


SIGKILLS = Chances({PLANNER: 0.07, WORKER: 0.63, FORKS: 0.2, DATABASE: 0.1}, 1.0)
ENDS = Chances({GROUP: 1.0}, 10.0)
"""Ctrl-C, `kill` and a closed terminal, which a whole group of processes hears."""
_WAYS = ((signal.SIGTERM, 1), (signal.SIGHUP, 1), (signal.SIGINT, 1), (signal.SIGINT, 3))
LONGEST_GAP = 0.5
"""Seconds between two Ctrl-C of three."""


@dataclass
class Round:
    """One command that was killed, and gave again until it came to its end."""

    kills: Counter[str] = field(default_factory=Counter)
    verdict: Verdict = field(default_factory=Verdict)
    told: list[str] = field(default_factory=list)
    """The output of each start."""


def undisturbed(folder: Path, command: Command, more: Sequence[str] = ()) -> Expected:
    """One worker, an SQLite file, no mishap; once a folder."""
    desk, over = Desk(folder), folder / "over"
    if not over.exists():
        running = desk.run(command, "--workers", "1", *more)
        assert running.code == 0, running.told
        over.touch()
    return Expected.of(desk, command)


def disturbed(
    desk: Desk,
    command: Command,
    expected: Expected,
    *,
    kills: int,
    seed: int,
    server: Postgres | None = None,
    more: Sequence[str] = ("--workers", "2"),
    chances: Chances = SIGKILLS,
) -> Round:
    """Run a command to its end through so many kills at most; what was found at its end.

    more: as `--cluster local:2`.
    """
    chance, found = np.random.default_rng(seed), Round()
    starts = 0
    while True:
        starts += 1
        assert starts <= 3 * kills + 5, found.told[-1]
        running = desk.start(command, *more)
        training_alone = chance.random() < TRAINING_ALONE
        while found.kills.total() < kills and running.code is None:
            _sleep(running, chance.uniform(0.1, chances.longest))
            shares = chances.shares
            victim = str(chance.choice(list(shares), p=list(shares.values())))
            if running.code is not None:
                break
            if training_alone and not _victims(running)[WORKER]:
                continue
            if victim == GROUP:
                way, is_clear = _ended(running, chance)
                found.kills[way] += 1
                if not is_clear:
                    found.verdict.unclear += 1
                    print(f"{way}: ended with {running.code}", running.told, sep="\n", flush=True)
            elif _killed(running, victim, chance, server):
                found.kills[victim] += 1
        _sleep(running, 900)
        found.told.append(running.told)
        if not running.all_gone():
            found.verdict.left += 1
            found.told += running.processes()
            print(*found.told[-5:], sep="\n", flush=True)
        running.end()
        found.verdict += unclear(running)
        if running.code == 0:
            break
        ends = [code for each, _ in _WAYS for code in (128 + each, -each)]
        assert running.code in (1, 2, -signal.SIGKILL, *ends), running.told
    found.verdict += audit(desk, command, expected)
    if not any(vars(found.verdict).values()):
        shutil.rmtree(desk.folder)
    return found


def _sleep(running: Running, seconds: float) -> None:
    """So long, or until the command ends."""
    deadline = time.monotonic() + seconds
    while running.code is None and time.monotonic() < deadline:
        time.sleep(0.02)


def _victims(running: Running) -> dict[str, list[int]]:
    """The processes of each kind; those workers too whose origin is gone.

    On a cluster of local:N what it has started is its workers, which fork what trains.
    """
    planner, parents = running.pid, parents_in(running.pid)
    origins = {*parents.values()}
    return {
        PLANNER: [planner],
        WORKER: [pid for pid, parent in parents.items() if planner not in (pid, parent)],
        FORKS: [pid for pid, parent in parents.items() if parent == planner and pid in origins],
    }


def _killed(
    running: Running, victim: str, chance: np.random.Generator, server: Postgres | None
) -> bool:
    """Kill it, if there is any."""
    if victim == DATABASE:
        if server is None:
            return False
        server.kill()
        time.sleep(chance.uniform(0, 1))
        server.revive()
        return True
    own = _victims(running)[victim]
    if not own:
        return False
    with suppress(ProcessLookupError):
        os.kill(int(chance.choice(own)), signal.SIGKILL)
    if victim == PLANNER:
        running.process.wait()
    return True


def _ended(running: Running, chance: np.random.Generator) -> tuple[str, bool]:
    """Tell all its processes to end; how, and whether that was told as it should be.

    A command that has just come to its end, or is not yet there to say anything, says nothing.
    """
    number, times = _WAYS[chance.integers(len(_WAYS))]
    for again in range(times):
        if again:
            time.sleep(chance.uniform(0, LONGEST_GAP))
        with suppress(ProcessLookupError):
            os.killpg(running.pid, number)
    _sleep(running, 60)
    said = running.told.strip().splitlines()
    is_clear = running.code in (0, -number) or (
        running.code == 128 + number and said[-1:] == [STOPPED]
    )
    return f"{number.name} x{times}" if times > 1 else number.name, is_clear
