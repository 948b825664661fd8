"""Parts of a Dask cluster are killed while it trains: nothing is lost, doubled or different."""

import json
import os
import random
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import sqlalchemy as sa

pytest.importorskip("distributed")

import psutil

from fsmd.data.files import cache_root
from studies import catalog
from studies.definition import Definition, Search, Study
from studies.request import Request
from studies.session import run
from studies.store.tables import ATTEMPTS, MEASUREMENTS, PREDICTIONS, RUNS
from studies.workers.cluster import ClusterWorkers
from studies.workers.protocol import Message
from tests.cluster import Site, kill_group, wired
from tests.faults.audit import Verdict, audit
from tests.faults.desk import Desk, study
from tests.faults.kills import undisturbed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

DATA = "planted:rows=600"
KILLS = int(os.environ.get("FSMD_TEST_KILLS", "4"))
"""Of each kind, in each of the two tests."""
SEARCH = Search("look", "Look", "Best?", "paper", sampler="random", trials=3, confirm=1)


def pair() -> Study:
    study = catalog.get("tower_shape")
    assert isinstance(study, Study)
    return replace(study, arms=study.arms[:2], reference=study.arms[0].name, claims=())


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = SimpleNamespace(page=tmp_path / "report.html", lines=(), figures=(), means=())
    monkeypatch.setattr("reports.build.build", lambda *_: page)
    monkeypatch.setattr("studies.session.publish_report", lambda *_, **__: None)
    monkeypatch.setattr("studies.session.measure_latency", lambda *_: None)


def ran(asked: Definition, folder: Path, **way: Any) -> dict[str, Any]:
    """Run it; what is stored then, without what hangs on the clock."""
    url = f"sqlite:///{folder}/studies.db"
    folder.mkdir(exist_ok=True)
    fixed: dict[str, Any] = {"data": DATA, "epochs": 4, "patience": 4, "precision": "float32"}
    request = Request(asked, storage=url, out=folder / "out", replicates=3, **fixed, **way)
    run(request)
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        runs = connection.execute(sa.select(RUNS.c.id, RUNS.c.status, RUNS.c.chosen_epochs))
        figures = connection.execute(sa.select(MEASUREMENTS))
        scores = connection.execute(sa.select(PREDICTIONS))
        attempts = connection.execute(sa.select(ATTEMPTS.c.name, ATTEMPTS.c.params))
        found: dict[str, Any] = {
            "runs": sorted((r.id, r.status, json.dumps(r.chosen_epochs)) for r in runs),
            "figures": sorted(tuple(row) for row in figures),
            "scores": sorted(tuple(row) for row in scores),
            "proposals": [(row.name, json.dumps(row.params)) for row in attempts],
        }
    engine.dispose()
    trials = [
        (
            json.dumps(t.params, sort_keys=True),
            t.user_attrs.get("replicate"),
            t.state.name,
            t.values,
        )
        for study in optuna.get_all_study_names(url)
        for t in optuna.load_study(study_name=study, storage=url).trials
    ]
    found["trials"] = sorted(str(trial) for trial in trials)
    return found


@dataclass
class Killer:
    """Kills a part of a cluster whenever it has told something new a few times."""

    site: Site
    part: str
    seed: int
    kills: int = 0
    told: int = 0
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)
    fault: BaseException | None = None
    _news: threading.Event = field(default_factory=threading.Event)
    _over: bool = False

    def boot(self) -> None:
        self.scheduler = self.site.scheduler("--port", str(self.port))
        self.workers = [self.site.worker(), self.site.worker()]

    @property
    def port(self) -> int:
        return 20_000 + (os.getpid() * 7 + self.seed) % 10_000

    def run(self) -> None:
        draw = random.Random(self.seed)
        while not self._over and self.kills < KILLS:
            wanted = self.told + draw.randint(1, 6)
            while self.told < wanted and not self._over:
                self._news.wait(1)
                self._news.clear()
            if not self._over:
                try:
                    self.kill(draw.randrange(2))
                except BaseException as error:
                    self.fault = error
                    raise

    def kill(self, which: int) -> None:
        """SIGKILL: of a worker's process, of its nanny, or of the scheduler."""
        self.kills += 1
        if self.part == "scheduler":
            kill_group(self.scheduler)
            for each in self.workers:
                kill_group(each)
            self.boot()
            return
        nanny = self.workers[which]
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(nanny.pid).children()
            for child in children:
                if self.part == "worker" and any("spawn_main" in c for c in child.cmdline()):
                    child.kill()
        if self.part == "nanny":
            os.kill(nanny.pid, signal.SIGKILL)
            nanny.wait()
        if self.part == "nanny" or nanny.poll() is not None:  # Dask gives up a worker at its start
            self.workers[which] = self.site.worker()

    def stop(self) -> None:
        self._over = True
        self._news.set()

    def hear(self) -> None:
        self.told += 1
        self._news.set()


@pytest.fixture
def killing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    messages = ClusterWorkers.messages
    with Site(tmp_path / "site") as site:

        def killed(part: str, asked: Definition, **way: Any) -> dict[str, Any]:
            killer = Killer(site, part, seed=len(part))
            killer.boot()

            def heard(workers: ClusterWorkers) -> Iterator[Message]:
                for message in messages(workers):
                    killer.hear()
                    yield message

            monkeypatch.setattr(ClusterWorkers, "messages", heard)
            thread = threading.Thread(target=killer.run)
            thread.start()
            try:
                # A training that is hit thrice is left to the next run.
                for _ in range(1 + KILLS):
                    found = ran(asked, tmp_path / "killed", cluster=str(site.file), **way)
                    if all(status == "done" for _, status, _ in found["runs"]):
                        break
            finally:
                killer.stop()
                thread.join()
            assert killer.fault is None
            print(f"kills of a {part}: {killer.kills}")
            assert killer.kills >= 1
            return found

        yield killed


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Definition], dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}

    def found(asked: Definition) -> dict[str, Any]:
        if asked.name not in known:
            known[asked.name] = ran(asked, tmp_path_factory.mktemp("serial"), workers=1)
        return known[asked.name]

    return found


@pytest.mark.parametrize("part", ["worker", "nanny", "scheduler"])
@pytest.mark.parametrize(("asked", "way"), [(pair(), {}), (SEARCH, {"workers": 1})])
def test_a_kill_in_a_cluster_changes_nothing(
    part: str,
    asked: Definition,
    way: dict[str, Any],
    killing: Callable[..., dict[str, Any]],
    serial: Callable[[Definition], dict[str, Any]],
) -> None:
    undisturbed = serial(asked)
    assert {status for _, status, _ in undisturbed["runs"]} == {"done"}
    assert killing(part, asked, **way) == undisturbed
    left = [path for path in (cache_root() / "checkpoints").rglob("*") if path.is_file()]
    assert left == []
    assert list(cache_root().glob(".fsmd-*")) == []


# ------------------------------------------------------------------------------------------
# A network
# ------------------------------------------------------------------------------------------

COMMAND = study(3)
AGAIN = ("sh", "-c", 'while :; do "$@"; sleep 1; done', "sh")


@pytest.mark.parametrize(
    ("alone", "why"),
    [("planner", "the scheduler is gone"), ("workers", "the worker at .* is gone")],
)
def test_a_network_that_is_cut_for_a_minute_changes_nothing(
    alone: str, why: str, tmp_path: Path
) -> None:
    """Dask gives a connection up after half of that; then what was under way is tried again.

    A worker of Dask's ends with its connection, and is started again, as a service is. Nothing
    is said of a cluster without workers where it misses one of them late, as it had nothing to
    send: then there is none for a moment alone.
    """
    expected = undisturbed(tmp_path / "serial", COMMAND)
    with wired() as wire, Site(tmp_path / "site") as site:
        site.scheduler(host=wire.here)
        apart = {"FSMD_CACHE": str(tmp_path / "cache")}
        within = (*(wire.inside if alone == "workers" else ()), *AGAIN)
        for _ in range(2):
            site.worker(environment=apart, within=within)
        desk = Desk(tmp_path / "desk", within=wire.inside if alone == "planner" else ())
        run = desk.start(COMMAND, "--cluster", site.address)
        try:
            run.wait_for(lambda: desk.done() >= 2, 300)
            wire.cut()
            time.sleep(60)
            wire.mend()
            assert run.process.wait(600) == 0, run.told
            assert run.all_gone()
        finally:
            run.end()
    assert "Traceback" not in run.told
    assert re.search(rf"^ *retried: .*: {why}$", run.told, re.MULTILINE), run.told
    assert audit(desk, COMMAND, expected) == Verdict(), run.told
