"""What every command does before anything else of the toolkit is loaded.

`studies` and each command import this first. It does nothing in a program that only uses the
toolkit.
"""

import os
import signal
import sys
from contextlib import suppress
from importlib.util import find_spec
from itertools import pairwise

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
"""The folder of the toolkit's packages."""


PACKAGES = ("fsmd", "search_spaces", "studies", "reports")
_MODULES = (
    *("studies.run", "studies.record", "studies.data", "studies.export", "studies.blend"),
    "reports.build",
)


def is_command() -> bool:
    """Whether Python was asked for a command of ours: `python -m studies.run`, or `fsmd`."""
    given = sys.orig_argv
    return any(a == "-m" and b in _MODULES for a, b in pairwise(given)) or (
        os.path.basename(given[1] if given[1:] else "") in ("fsmd", "fsmd.exe")
    )


def _start() -> None:
    # A file or a folder of the folder where the user works must not take a module's place.
    with suppress(OSError):  # of a folder that was removed
        if os.getcwd() != ROOT and sys.path[:1] == [os.getcwd()]:
            del sys.path[0]
    # Ctrl-C while modules are loaded ends the process; a background job goes on ignoring it.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Nothing is drawn on a screen, so a back end that is not here must not matter.
    os.environ["MPLBACKEND"] = "agg"


def _check_packages() -> None:
    """End with a line where something else takes the place of one of our packages."""
    for name in PACKAGES:
        spec = find_spec(name)
        place = next(iter(spec.submodule_search_locations or ()), "another module") if spec else ""
        if os.path.realpath(place) != os.path.realpath(os.path.join(ROOT, name)):
            print(
                f"error: {place or 'nothing'} takes the place of the toolkit's package {name!r}; "
                "work in another folder, or rename that one, and look into PYTHONPATH",
                file=sys.stderr,
            )
            raise SystemExit(2)


if is_command():
    _start()
    _check_packages()
