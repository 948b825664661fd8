"""Shared by all tests: a cache of their own, small data, real data where it is to be had."""

import gc
import importlib.metadata
import os
from collections.abc import Generator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import settings

from fsmd.data.schema import Field, Schema
from fsmd.tasks import Task
from tests.postgres import Postgres, running

# Lightning asks for each trainer anew what is installed, and so reads hundreds of files.
importlib.metadata.entry_points = cache(importlib.metadata.entry_points)  # type: ignore[assignment]

# Programs, and what they are made of: without examples, and slow to load.
collect_ignore_glob = ["bench*", "faults", "fuzz"]

# The same examples in each run, however busy the machine is; `--hypothesis-profile=default` draws
# others, and twice as many.
settings.register_profile(
    "same", max_examples=50, derandomize=True, print_blob=False, deadline=None
)
settings.load_profile("same")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is loaded stays: to look for garbage in it takes a fifth of the time to load it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.set_threshold(20_000, 20, 20)  # as is usual, it takes one second of thirty


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that say TAKES_LONG first, then the largest, so that none waits for a last one.

    The others are marked `quick`.
    """
    items.sort(key=lambda item: (not _takes_long(item), -item.path.stat().st_size))
    for item in items:
        asked_for = any(item.get_closest_marker(name) for name in ("slow", "gpu"))
        if not (asked_for or _takes_long(item)):
            item.add_marker(pytest.mark.quick)


def _takes_long(item: pytest.Item) -> bool:
    return bool(getattr(getattr(item, "module", None), "TAKES_LONG", False))


def quietly_encoded(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """For what runs without the fixtures below: a cache of its own, and no wait for the disk."""
    patch.setenv("FSMD_CACHE", str(folder / "cache"))
    patch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Encoded data and checkpoints go to a temporary folder, one for all processes of a run."""
    before = os.environ.get("FSMD_CACHE")
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
    folder.mkdir(exist_ok=True)
    os.environ["FSMD_CACHE"] = str(folder)
    yield folder
    if before is None:
        del os.environ["FSMD_CACHE"]
    else:
        os.environ["FSMD_CACHE"] = before


@pytest.fixture(scope="session", autouse=True)
def no_power_cut() -> Iterator[None]:
    """Nothing waits for the disk, as no test cuts the power; a kill needs no `fsync`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        patch.setattr("studies.store.engines.DURABILITY", "synchronous=OFF")
        yield


@pytest.fixture(scope="session", autouse=True)
def no_fast_bfloat16() -> Iterator[None]:
    """So that `--precision auto` is float32 here, on every processor; not in other processes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studies.machine.FAST_BFLOAT16", frozenset())
        yield


@pytest.fixture(scope="session", autouse=True)
def migrations_are_read_once() -> Iterator[None]:
    """Optuna reads all its migrations anew for each database: longer than to make its tables."""
    from optuna.storages._rdb.storage import _VersionManager

    read, scripts = _VersionManager._create_alembic_script, list[Any]()

    def once(manager: _VersionManager) -> Any:
        if not scripts:
            scripts.append(read(manager))
        return scripts[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_VersionManager, "_create_alembic_script", once)
        yield


@pytest.fixture(scope="session", autouse=True)
def engines() -> list[sa.Engine]:
    """Whatever has connected to a database, in this order; each module and test empties it."""
    engines = list[sa.Engine]()

    @sa.event.listens_for(sa.Engine, "engine_connect")
    def note(connection: sa.Connection) -> None:
        if connection.engine not in engines:
            engines.append(connection.engine)

    return engines


def _closing(engines: list[sa.Engine]) -> Iterator[None]:
    """Python 3.13 warns of a connection to SQLite that is collected open."""
    before = len(engines)
    yield
    for engine in engines[before:]:
        engine.dispose()
    del engines[before:]


@pytest.fixture(scope="module", autouse=True)
def databases_of_a_module_are_closed(engines: list[sa.Engine]) -> Iterator[None]:
    yield from _closing(engines)


@pytest.fixture(autouse=True)
def databases_of_a_test_are_closed(engines: list[sa.Engine]) -> Iterator[None]:
    yield from _closing(engines)


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """One for all modules of a process, as to set one up takes seconds; each test has a database.

    Whoever stops it starts it again.
    """
    with running() as postgres:
        yield postgres


@pytest.fixture(scope="module", autouse=True)
def what_is_loaded_stays() -> None:
    """Collections look through what is new alone: thousands of modules and tests are loaded."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """As in a training: torch with more threads than free cores is many times slower."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """statsmodels collects garbage at each adjustment, which simulations make by the thousand."""
    monkeypatch.setattr("gc.collect", lambda *_: 0)


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of a report's words: drawing figures is most of a report's time."""
    leave_figures_blank(monkeypatch)


def leave_figures_blank(monkeypatch: pytest.MonkeyPatch, but: str = "") -> None:
    """No figure but one is drawn; pages and files have an empty picture in its place."""
    from reports.page.model import FigureView

    svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'
    for name, blank in (("svg", svg), ("svg_narrow", svg), ("pdf", b"")):
        drawn = vars(FigureView)[name]

        def picture(view: FigureView, drawn: Any = drawn, blank: object = blank) -> object:
            return drawn.__get__(view) if view.key == but else blank

        monkeypatch.setattr(FigureView, name, property(picture))


@pytest.fixture
def schema() -> Schema:
    """Three categorical and two dense fields; tasks that form a funnel."""
    fields = (Field("user", 7), Field("video", 5), Field("hour", 4))
    tasks = (Task("click"), Task("long_view", after="click"))
    return Schema("tiny", fields, ("duration", "age"), tasks)
