"""The commands of `python -m studies.data`: their options, and the module that does each."""

import sys
from argparse import BooleanOptionalAction, Namespace
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import NamedTuple

from fsmd.command_line import CommandLine, exit_code, place
from fsmd.errors import UserError, alternatives
from studies.options import memory

COMMAND = "python -m studies.data"


class Subcommand(NamedTuple):
    """One of the commands: `run(options)` of the module of its name does it; gives a code."""

    about: str
    epilog: str
    options: Callable[[CommandLine], None]


def _describe(p: CommandLine) -> None:
    p.add_argument(
        "log",
        nargs="+",
        type=place,
        help="files, folders or globs of files: .csv, "
        ".csv.gz, .tsv, .tsv.gz, .parquet; side tables may be among them",
    )
    p.add_argument(
        "--join",
        nargs="+",
        action="extend",
        type=place,
        metavar="FILE",
        help="side tables: a row for each user, item ...",
    )
    p.add_argument("--out", type=place, metavar="FILE", help="the draft (default: print it)")
    p.add_argument("--force", action="store_true", help="replace a file that is there")
    p.add_argument(
        "--header",
        action=BooleanOptionalAction,
        help="whether the first line names the columns, or is a row too (default: it names them, "
        "unless --columns does)",
    )
    p.add_argument(
        "--columns",
        type=lambda text: tuple(text.split(",")),
        default=(),
        metavar="LIST",
        help="names of the log's columns, such as user,item,time,click, where it has no header; "
        "with --header they are taken for the header's",
    )
    p.add_argument("--multiline", action="store_true", help="quoted texts may hold line ends")
    p.add_argument(
        "--name", metavar="NAME", help="on reports (default: the file's, or of its folder)"
    )
    p.add_argument("--separator", metavar="TEXT", help="between columns (default: by the name)")
    p.add_argument(
        "--encoding",
        default="utf-8",
        metavar="NAME",
        help="such as latin-1 (default: %(default)s)",
    )
    _memory(p, "1g")


def _check(p: CommandLine) -> None:
    p.add_argument("data", help="a dataset.toml, or the name of a known data set")
    p.add_argument("--out", type=place, help="folder of the page check.html (default: out/NAME)")
    _memory(p)


def _convert(p: CommandLine) -> None:
    p.add_argument("set", metavar="SET", help="aliccp")
    p.add_argument("source", type=place, metavar="IN", help="folder of the original files")
    p.add_argument("target", type=place, metavar="OUT", help="folder of what is written")


def _catalog(p: CommandLine) -> None:
    p.add_argument("name", nargs="?", help="tell of that set (default: list all)")
    p.add_argument(
        "--copy", type=place, metavar="PATH", help="write its description there, to be edited"
    )


def _memory(p: CommandLine, default: str = "a quarter of the machine's") -> None:
    text = f"at most about so much, such as 2g (default: {default})"
    p.add_argument("--memory", type=memory, metavar="SIZE", help=text)


COMMANDS: Mapping[str, Subcommand] = {
    "describe": Subcommand(
        "Look at the files of a log and write a draft of its description, to be edited.",
        """
examples:
  %(prog)s log.parquet --out dataset.toml
  %(prog)s log_*.csv.gz users.csv videos.csv --out dataset.toml
  %(prog)s 'logs/2024-*/*.parquet' --join users.parquet --memory 1g
  %(prog)s census.data.gz --no-header

The files are read once, as a stream, and nothing in them is changed. Everything in the draft is a
guess, with its reason beside it: which columns are labels, users, items and times, what follows
what, what would leak a label. Only what is written is used later, so edit it where it is wrong.
A table of all columns goes to stderr, so that the draft alone goes to stdout without --out.
""",
        _describe,
    ),
    "check": Subcommand(
        "Tell everything that is wrong with a data set, as a list of plain sentences.",
        """
examples:
  %(prog)s dataset.toml
  %(prog)s kuairand --out out/check

Label rates, funnels, unseen categories, overlaps, duplicates, leaks, drift; a page check.html
shows the distributions. Exit code 2 if a study would be refused.
""",
        _check,
    ),
    "convert": Subcommand(
        "Turn a public data set that no description can read into files that one can.",
        """
example:
  %(prog)s aliccp downloads/aliccp data/aliccp
""",
        _convert,
    ),
    "catalog": Subcommand(
        "Name the data sets that have a description here: licence, where to get them.",
        """
examples:
  %(prog)s
  %(prog)s aliexpress_nl
  %(prog)s kuairand --copy dataset.toml
""",
        _catalog,
    ),
}


def main(arguments: Sequence[str] | None = None, prog: str = COMMAND) -> int:
    """Run the command line, which is told as `prog`; the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    return exit_code(lambda: _run(given, prog), "Stopped; nothing is left half written.")


def _run(given: Sequence[str], prog: str) -> int:
    if not given or given[0] in ("-h", "--help"):
        print(_help(prog))
        return 0
    name, *rest = given
    if name not in COMMANDS:
        raise UserError(f"no command {name!r}{alternatives(name, COMMANDS)}")
    options: Namespace = parser(name, prog).parse_args(rest)
    code: int = import_module(f"studies.data.{name}").run(options)
    return code


def parser(name: str, prog: str = COMMAND) -> CommandLine:
    """The command line of one of the commands."""
    command = COMMANDS[name]
    line = CommandLine(f"{prog} {name}", command.about, command.epilog)
    command.options(line)
    return line


def _help(prog: str) -> str:
    return "\n".join(
        (
            f"usage: {prog} COMMAND ...; {prog} COMMAND --help tells more",
            "",
            *(f"  {name:<10}{command.about}" for name, command in COMMANDS.items()),
            "",
            "From files to a report:",
            f"  {prog} describe LOG... --out dataset.toml    then edit the draft",
            f"  {prog} check dataset.toml",
            "  python -m studies.run auto --data dataset.toml --budget 30m",
            "",
            "Exit code: 0; 2 for a mistake, or data that no study runs on; 130 after Ctrl-C.",
        )
    )
