"""A process that loads the libraries once and forks: each worker starts at once, sharing them."""

import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle
from typing import NoReturn

from studies.workers import worker

FORKS = hasattr(os, "fork") and sys.platform != "darwin"
"""Whether this system can: on a Mac, libraries of the system do not survive a fork."""

LOOK_SECONDS = 1.0
"""How often it looks for the planner while it loads the libraries."""


def serve_forks(
    channel: Connection, work: Callable[[Connection], NoReturn], load: bool
) -> NoReturn:
    """Load the libraries, if asked to, then fork a worker for each pipe from the channel.

    Nothing here starts a thread or a GPU: neither survives a fork. Ends when the planner does, or
    by a SIGTERM, and ends its workers, those too that were stopped. What is wrong with the
    libraries is told by whoever needs them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the planner decides
    if load:
        with _no_longer_than_planner():
            worker.fault = worker.load_libraries()
    children: set[int] = set()

    def end(*_: object) -> NoReturn:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])  # it may come twice
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    while True:
        try:
            pipe = Connection(recv_handle(channel))
        except (EOFError, OSError):
            end()
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        # No number in `children` may be another process's: what has ended waits here till now.
        while children and (ended := os.waitpid(-1, os.WNOHANG)[0]):
            children.discard(ended)
        try:
            child = os.fork()
        except OSError as error:
            pipe.send_bytes(pickle.dumps(("unstarted", error.errno)))
        else:
            if not child:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
                channel.close()
                try:
                    work(pipe)
                finally:
                    os._exit(1)
            children.add(child)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        pipe.close()


@contextmanager
def _no_longer_than_planner() -> Iterator[None]:
    """End with the planner in here too, though nothing is read from the channel.

    To load the libraries takes seconds of a processor, and a minute where many wait for one.
    """
    planner = parent_process()

    def look(*_: object) -> None:
        if not (planner and planner.is_alive()):
            os._exit(0)

    signal.signal(signal.SIGALRM, look)
    signal.siginterrupt(signal.SIGALRM, False)
    signal.setitimer(signal.ITIMER_REAL, LOOK_SECONDS, LOOK_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
