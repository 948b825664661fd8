"""python -m tests.fuzz [--target NAME] [--cases N] [--seed S]: cases, counted; kinds of faults.

Goes on after a fault. Ends each target with a line of JSON.
"""

import argparse
import json
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.conftest import quietly_encoded
from tests.fuzz.rule import Hang
from tests.fuzz.targets import TARGETS


def main() -> int:
    p = argparse.ArgumentParser(prog="python -m tests.fuzz")
    p.add_argument("--target", action="append", choices=TARGETS, help="(default: all)")
    p.add_argument("--cases", type=int, help="of each (default: the slow test's)")
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--seconds", type=float, default=float("inf"), help="of each, at most")
    options = p.parse_args()
    names = options.target or TARGETS
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        quietly_encoded(patch, Path(place))
        kinds = [tried(name, options, Path(place, name)) for name in names]
    return int(any(kinds))


def tried(name: str, options: argparse.Namespace, place: Path) -> Counter[str]:
    """Kind of fault -> how often it came."""
    target, start, used = TARGETS[name], time.monotonic(), time.process_time()
    found, kinds = Counter[str](), Counter[str]()
    place.mkdir()
    with target.opened(place) as check:

        @hypothesis.seed(options.seed)
        @hypothesis.settings(
            max_examples=options.cases or target.slow,
            database=None,
            deadline=None,
            derandomize=False,
            phases=[hypothesis.Phase.generate],
            suppress_health_check=list(hypothesis.HealthCheck),
        )
        @hypothesis.given(target.cases)
        def each(case: Any) -> None:
            if time.monotonic() - start > options.seconds:
                raise KeyboardInterrupt  # which alone ends it
            try:
                found[check(case)] += 1
            except (Exception, Hang, SystemExit) as error:
                frames = traceback.extract_tb(error.__traceback__)[-3:]
                where = " ".join(f"{Path(f.filename).name}:{f.lineno}" for f in frames)
                kind = f"{type(error).__name__} at {where}"
                kinds[kind] += 1
                if kinds[kind] == 1:
                    told = f"{name}: {kind}: {str(error)[:300]!r} of {case!r:.1500}"
                    print(told, file=sys.stderr, flush=True)

        with suppress(KeyboardInterrupt):
            each()
    seconds = round(time.monotonic() - start, 1)
    cpu = round(time.process_time() - used, 1)
    counts = {"target": name, "seed": options.seed, **found, "seconds": seconds, "cpu": cpu}
    print(json.dumps({**counts, "faults": kinds}), flush=True)
    return kinds


if __name__ == "__main__":
    sys.exit(main())
