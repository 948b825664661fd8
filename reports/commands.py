"""fsmd COMMAND ...: every command of the toolkit under one name."""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

from fsmd.command_line import exit_code
from fsmd.errors import UserError, alternatives

COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("studies.run", "run a study or a search, or go on with it, and write its report"),
    "report": ("reports.build", "write the report of what is stored again"),
    "export": ("studies.export", "make a model of an arm, which scores new rows"),
    "data": ("studies.data", "describe your own log, check it, name the known data sets"),
    "blend": ("studies.blend", "search how the tasks' probabilities make one score"),
    "predict": ("fsmd.predict", "score raw rows by an exported model"),
    "record": ("studies.record", "keep the learning curves of a grid as one file"),
}
"""Command -> the module that `python -m` runs too, and what it does; imported when asked for, so
that help comes at once."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code(lambda: _run(given), "Stopped.")


def _run(given: Sequence[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        print(_help())
        return 0
    if given[0] not in COMMANDS:
        raise UserError(f"no command {given[0]!r}{alternatives(given[0], COMMANDS)}")
    module, _ = COMMANDS[given[0]]
    code: int = import_module(module).main(given[1:], f"fsmd {given[0]}")
    return code


def _help() -> str:
    lines = (
        f"  {name:<8}{text} (python -m {module})" for name, (module, text) in COMMANDS.items()
    )
    return "\n".join(("usage: fsmd COMMAND ...; fsmd COMMAND --help tells more", "", *lines))
