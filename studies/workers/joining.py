"""Which cluster is meant, and which of its workers get calls; see `studies.workers.cluster`."""

import asyncio
import json
import logging
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from distributed import Security
from distributed.utils import silence_logging_cmgr
from tornado.ioloop import IOLoop

from fsmd.errors import UserError
from studies.workers.remote import MEMORY, Fault, versions
from studies.workers.room import GPU, UNLIMITED, Capacity

PATIENCE = 5.0
"""Seconds; to look up a name, which nothing ends, may take longer than anybody waits."""
WAYS = "tcp://HOST:PORT, tls://HOST:PORT, the file of a scheduler, or local:N"


def address_of(cluster: str) -> str:
    """The address of the scheduler that is meant, by itself or by the file that it wrote.

    Raises UserError for what is neither.
    """
    if re.fullmatch(r"(tcp|tls)://[^/\s]+:\d{1,5}", cluster):
        return cluster
    if "://" in cluster or cluster.startswith("local:"):
        raise UserError(f"--cluster must be {WAYS}; got {cluster!r}")
    try:
        found = json.loads(Path(cluster).expanduser().read_text("utf-8"))["address"]
    except OSError as error:
        raise UserError(f"--cluster must be {WAYS}; {cluster!r}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, RuntimeError):
        found = None
    if not isinstance(found, str):
        raise UserError(
            f"--cluster must be {WAYS}; {cluster!r} names no address, as a file does that "
            "`dask scheduler --scheduler-file` writes"
        )
    return found


def check_keys(address: str) -> None:
    """Raise UserError where Dask's settings do not have what a connection to this address needs.

    Dask says so only when it connects, and then takes long to give up.
    """
    keys = "distributed.comm.tls (ca-file, client.cert and client.key)"
    try:
        asked = Security().get_connection_args("client")
    except (OSError, ValueError) as error:
        raise UserError(f"the keys in Dask's settings {keys} cannot be read: {error}") from None
    is_tls = address.startswith("tls:")
    if is_tls and asked["ssl_context"] is None:
        raise UserError(f"{address} asks for a certificate; name yours in Dask's settings {keys}")
    if asked["require_encryption"] and not is_tls:
        raise UserError(
            f"Dask's settings require encryption, which {address} has not; give --cluster an "
            "address that begins with tls://"
        )


@dataclass(frozen=True)
class Member:
    """A worker that gets calls."""

    capacity: Capacity
    machine: str
    processor: str
    gpu: str
    """The name of its kind of GPU."""
    bfloat16: frozenset[str]
    """Of cpu and cuda, those that multiply it fast."""

    @classmethod
    def of(cls, facts: Mapping[str, Any], said: Mapping[str, Any]) -> "Member":
        """facts: as the scheduler has them. said: as it introduced itself."""
        has, threads = facts["resources"], facts["nthreads"]
        return cls(
            capacity=Capacity(
                gpus=min(threads, int(has.get(GPU, 0))),
                memory=_rounded(has.get(MEMORY) or facts["memory_limit"] or UNLIMITED),
                threads=threads,
            ),
            machine=said["machine"],
            processor=said["processor"],
            gpu=said["gpu"],
            bfloat16=frozenset(said["bfloat16"]),
        )


def _rounded(memory: float) -> float:
    """Down to 10 MB: machines of one kind, which differ by less, are counted together. Of what
    `lack` asks for Dask may make a byte less.
    """
    return (memory + 1) // 1e7 * 1e7


def refusal(said: Any) -> str:
    """Why a worker that introduced itself so gets no calls; empty if it gets some."""
    if isinstance(said, Fault):
        return f"it cannot begin ({said.line}); mend that and start it again"
    if isinstance(said, Exception):
        # Dask gives an error that it cannot send as the text of a plain one.
        line = str(said) if type(said) is Exception else repr(said)
        return f"it cannot load fsmd ({line}); install what the planner has"
    theirs, ours = said["versions"], versions()
    unlike = [f"{n} {theirs.get(n)} and not {ours[n]}" for n in ours if theirs.get(n) != ours[n]]
    return f"it has {', '.join(unlike)}; install what the planner has" if unlike else ""


@contextmanager
def silent() -> Iterator[None]:
    """Dask's own log goes nowhere: what matters is told in our words."""
    loop = logging.getLogger("tornado.application")
    level = loop.level
    loop.setLevel(logging.CRITICAL + 1)
    try:
        with silence_logging_cmgr(logging.CRITICAL + 1):
            yield
    finally:
        loop.setLevel(level)


@contextmanager
def looping() -> Iterator[IOLoop]:
    """What clients of Dask's talk by, in a thread, until the end.

    One that makes its own never ends it where it cannot connect, at first or again, and leaves a
    thread and open sockets each time.
    """
    begun = Future[tuple[IOLoop, asyncio.Event]]()

    async def until_over() -> None:
        over = asyncio.Event()
        begun.set_result((IOLoop.current(), over))
        await over.wait()

    def run() -> None:
        try:
            asyncio.run(until_over())
        except BaseException as error:  # such as of too many open files
            if begun.done():
                raise
            begun.set_exception(error)

    thread = Thread(target=run, daemon=True)
    thread.start()
    loop, over = begun.result()
    try:
        yield loop
    finally:
        loop.add_callback(over.set)
        thread.join(PATIENCE)
