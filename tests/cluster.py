"""A Dask cluster of real processes on this machine, for tests: a scheduler, workers, kills."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest

from studies.start import ROOT
from studies.workers import remote


def until(true: Callable[[], object], seconds: float = 60) -> None:
    """Wait for what a condition says."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.05)


@dataclass
class Site:
    """Where the processes of a cluster run; each is the leader of a group of its own."""

    folder: Path
    options: Sequence[str] = ()
    """Of the scheduler and of each worker, such as certificates."""
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def file(self) -> Path:
        return self.folder / "scheduler.json"

    def scheduler(self, *options: str, host: str = "127.0.0.1") -> subprocess.Popen[bytes]:
        """Start one, and wait for it."""
        self.file.unlink(missing_ok=True)
        given = ("--host", host, "--scheduler-file", str(self.file), "--no-dashboard")
        process = self.start("scheduler", *given, *("--port", "0", *options))
        # Dask makes the file before it writes it.
        until(lambda: self.file.exists() and self.file.read_bytes().strip().endswith(b"}"))
        return process

    def worker(
        self,
        *options: str,
        environment: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start one, of one thread. within: the command to start it with."""
        scratch = self.folder / f"scratch{len(self.processes)}"
        given = ("--scheduler-file", str(self.file), "--local-directory", str(scratch))
        plain = ("--nthreads", "1", "--no-dashboard", "--memory-limit", "0")
        all_ = (*given, *plain, *options)
        return self.start("worker", *all_, environment=environment, within=within)

    def start(
        self,
        what: str,
        *options: str,
        environment: Mapping[str, str] | None = None,
        within: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{what}{len(self.processes)}.log").open("wb")
        with log:
            process = subprocess.Popen(
                [*within, sys.executable, "-m", "dask", what, *self.options, *options],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": ROOT, **(environment or {})},
                cwd=self.folder,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    @property
    def address(self) -> str:
        return str(json.loads(self.file.read_text("utf-8"))["address"])

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            kill_group(process)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """A process with whatever it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


# What workers do in tests


def unreadable(*_: object, **__: object) -> None:
    os.listdir("/none such")


def fast(*, has_gpu: bool) -> dict[str, Any]:
    """Introduces a worker as one that multiplies bfloat16 fast."""
    return {**remote.introduce(has_gpu=has_gpu), "bfloat16": ["cpu"]}


@dataclass(frozen=True)
class Wire:
    """Between this machine's network and another one, of which processes may be a part."""

    inside: Sequence[str]
    """The command to start a process there."""
    here: str = "10.231.7.1"
    """This machine's address, which both can reach."""
    there: str = "10.231.7.2"

    @property
    def _ends(self) -> tuple[tuple[Sequence[str], str, str], ...]:
        return ((), "fsmd0", self.there), (self.inside, "fsmd1", self.here)

    def lay(self, far: int) -> None:
        """To the network of a process. Raises CalledProcessError where that cannot be."""
        _run("ip", "link", "add", "fsmd0", "type", "veth", "peer", "fsmd1", "netns", f"{far}")
        _run(*self.inside, "ip", "link", "set", "lo", "up")
        for (within, device, _), own in zip(self._ends, (self.here, self.there), strict=True):
            _run(*within, "ip", "address", "add", f"{own}/30", "dev", device)
            _run(*within, "ip", "link", "set", device, "up")

    def cut(self) -> None:
        """Nothing arrives any more, and nobody is told: what is sent goes to no device."""
        for within, device, other in self._ends:
            to = ("lladdr", "02:00:00:00:00:99", "dev", device, "nud", "permanent")
            _run(*within, "ip", "neigh", "replace", other, *to)

    def mend(self) -> None:
        for within, device, other in self._ends:
            _run(*within, "ip", "neigh", "del", other, "dev", device)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


@contextmanager
def wired() -> Iterator[Wire]:
    """A network of its own; skips the test where none can be had."""
    if os.getuid() != 0 or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        pytest.skip("no network namespaces")
    far = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    try:
        until(lambda: os.readlink(f"/proc/{far.pid}/ns/net") != os.readlink("/proc/self/ns/net"))
        wire = Wire(("nsenter", f"--net=/proc/{far.pid}/ns/net"))
        try:
            wire.lay(far.pid)
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces: {error.stderr.strip()}")
        yield wire
    finally:
        far.kill()
        far.wait()
        subprocess.run(["ip", "link", "del", "fsmd0"], capture_output=True, check=False)
