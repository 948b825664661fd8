"""Shared by all tests: a cache of their own, small data, real data where it is to be had."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from fsmd.data.schema import Field, Schema

LONGEST = ("test_run.py", "test_reports_pictures.py", "test_run_search.py", "test_training.py",
           "test_reports.py", "test_reports_search.py")  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first, so that no process waits for another's last one."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else 99)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Encoded data and checkpoints of the tests go to a temporary folder."""
    before = os.environ.get("FSMD_CACHE")
    folder = tmp_path_factory.mktemp("cache")
    os.environ["FSMD_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["FSMD_CACHE"]
    else:
        os.environ["FSMD_CACHE"] = before


@pytest.fixture
def no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """statsmodels collects garbage at each adjustment, which simulations make by the thousand."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of a report's words: what matplotlib would write is most of a report's time."""
    blank = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    monkeypatch.setattr("reports.views.to_svg", lambda _: blank)
    monkeypatch.setattr("reports.views.to_pdf", lambda _: b"")


@pytest.fixture
def schema() -> Schema:
    """Three categorical and two dense fields; tasks that form a funnel."""
    fields = (Field("user", 7), Field("video", 5), Field("hour", 4))
    return Schema("tiny", fields, ("duration", "age"), ("click", "long_view"), funnel=True)
