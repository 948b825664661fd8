"""Whatever comes in from outside is taken, or refused in one line; see `tests.fuzz`."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.targets import TARGETS

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.quick])
def test_what_is_nearly_right_is_taken_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    tried(name, TARGETS[name].quick, tmp_path, always_the_same=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", TARGETS)
def test_a_hundred_thousand_other_cases_are_too(name: str, tmp_path: Path) -> None:
    """Others each time, as nothing is kept of them but what hypothesis says of a fault."""
    tried(name, TARGETS[name].slow, tmp_path, always_the_same=False)


def test_the_slow_run_has_a_hundred_thousand_cases() -> None:
    assert sum(target.slow for target in TARGETS.values()) >= 100_000


def tried(name: str, cases: int, place: Path, *, always_the_same: bool) -> None:
    target, told = TARGETS[name], set[str]()
    with target.opened(place) as check:

        @settings(
            max_examples=cases,
            derandomize=always_the_same,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(target.cases)
        def each(case: object) -> None:
            told.add(check(case))

        each()
    assert told == {"done", "refused"}, "all cases ended alike: they say little"
