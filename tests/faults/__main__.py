"""python -m tests.faults kills|ends|statements: inject faults, and count what they cost.

What was found is kept in --folder, so that a run may be ended and goes on from there; the counts
of all runs so far are printed at the end, as lines of JSON.
"""

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from tests.faults.audit import Verdict
from tests.faults.desk import Command, Desk, search, study
from tests.faults.kills import ENDS, SIGKILLS, disturbed, undisturbed
from tests.postgres import Postgres, running

KILLS_OF_ROUND = 75


@dataclass
class Book:
    """What was found so far: (kind of fault, what was disturbed) -> counts; kept in a file."""

    path: Path
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    done: list[str] = field(default_factory=list)
    """What is not done again."""

    def __post_init__(self) -> None:
        """Read what an earlier run found."""
        if self.path.exists():
            kept = json.loads(self.path.read_text())
            self.rows, self.done = kept["rows"], kept["done"]

    def add(self, name: str, key: str, injected: Counter[str], verdict: Verdict) -> None:
        """Count, and keep."""
        row = self.rows.setdefault(name, {})
        counts = Counter(row)
        counts.update(injected)
        counts.update(asdict(verdict))
        row |= {what: int(count) for what, count in counts.items()}
        self.done.append(key)
        text = json.dumps({"rows": self.rows, "done": self.done}, indent=1)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.path)

    def show(self) -> None:
        """Print it."""
        for name, counts in self.rows.items():
            print(json.dumps({"disturbed": name, **counts}))


@contextmanager
def _new_storages(base: str) -> Iterator[tuple[Postgres | None, Callable[[], str]]]:
    if base == "sqlite":
        yield None, str
        return
    with running() as server:
        yield server, server.new_database


def kills(options: argparse.Namespace, book: Book, left: Callable[[], bool]) -> None:
    """Rounds of a study and of a search, on SQLite and on PostgreSQL in turn."""
    folder: Path = options.folder
    commands = {"study": study(options.trainings // 4), "search": search(options.trials)}
    wanted = [(asked, base) for base in options.databases for asked in options.asked]
    expected = {}
    with ExitStack() as stack:
        servers = {base: stack.enter_context(_new_storages(base)) for base in options.databases}
        seed = 0
        while left() and _injected(book) < options.kills:
            asked, base = wanted[seed % len(wanted)]
            key = f"{asked} {base} {seed}"
            seed += 1
            if key in book.done:
                continue
            if asked not in expected:
                expected[asked] = undisturbed(folder / f"serial {asked}", commands[asked])
            server, new = servers[base]
            found = disturbed(
                Desk(folder / key, new()),
                commands[asked],
                expected[asked],
                kills=min(KILLS_OF_ROUND, options.kills - _injected(book)),
                seed=seed,
                server=server,
                more=("--workers", "2", *options.more),
                chances=SIGKILLS if options.kind == "kills" else ENDS,
            )
            book.add(f"{asked} on {base}", key, found.kills, found.verdict)
            print(key, dict(found.kills), asdict(found.verdict), flush=True)


def _injected(book: Book) -> int:
    wrong = vars(Verdict())
    return sum(n for row in book.rows.values() for name, n in row.items() if name not in wrong)


def statements(options: argparse.Namespace, book: Book, left: Callable[[], bool]) -> None:
    """Every `--every`-th statement and commit of a small study and a small search."""
    from tests.faults.statements import Statements, prepared

    small: dict[str, Command] = {"study": study(1, epochs=1), "search": search(3)}
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        prepared(patch, options.folder / "prepared")
        for base in options.databases:
            new = stack.enter_context(_new_storages(base))[1]
            for asked in options.asked:
                there = Statements(options.folder / f"{asked} {base}", small[asked], new)
                print(f"{asked} on {base}: {there.moments} statements and commits", flush=True)
                for at in range(1 + options.first, there.moments + 1, options.every):
                    key = f"{asked} {base} {at}"
                    if key in book.done:
                        continue
                    if not left():
                        return
                    found = there.kill(at)
                    name = f"statements of a {asked} on {base}"
                    counts = Counter(kills=1, states=int(found is not None))
                    book.add(name, key, counts, found or Verdict())
                    if found and any(asdict(found).values()):
                        print(key, asdict(found), flush=True)


def main() -> int:
    """The command line; 1 where anything was lost, doubled, different or left."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("kind", choices=("kills", "ends", "statements"))
    parser.add_argument("--folder", type=Path, required=True, help="for databases and counts")
    parser.add_argument("--minutes", type=float, default=1e9, help="to begin something new in")
    parser.add_argument("--kills", type=int, default=300, help="of all rounds together")
    parser.add_argument("--trainings", type=int, default=60, help="of the study that is killed")
    parser.add_argument("--trials", type=int, default=8, help="of the search that is killed")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="N-th statement alone")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="statements left out")
    parser.add_argument(
        "--asked", type=lambda t: t.split(","), default=["study", "search"], help="or one of them"
    )
    parser.add_argument(
        "--databases",
        type=lambda t: t.split(","),
        default=["sqlite", "postgresql"],
        help="or one of them (default: %(default)s)",
    )
    parser.add_argument(
        "--cluster", metavar="WHERE", help="run the trainings there, such as on local:2"
    )
    options = parser.parse_args()
    threads = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    if options.kind == "statements" and any(os.environ.get(name) != "1" for name in threads):
        # It forks, so no library may start a thread; they read this when they are loaded.
        os.environ.update(dict.fromkeys(threads, "1"))
        os.execv(sys.executable, [sys.executable, "-m", "tests.faults", *sys.argv[1:]])
    options.folder = options.folder.resolve()
    options.more = ("--cluster", options.cluster) if options.cluster else ()
    options.folder.mkdir(parents=True, exist_ok=True)
    book = Book(options.folder / f"{options.kind}.json")
    ends = time.monotonic() + 60 * options.minutes
    work = statements if options.kind == "statements" else kills
    work(options, book, lambda: time.monotonic() < ends)
    book.show()
    wrong = {*vars(Verdict())}
    return int(any(row.get(name, 0) for row in book.rows.values() for name in wrong))


if __name__ == "__main__":
    sys.exit(main())
