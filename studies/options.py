"""What the command lines share: where results and reports lie, how a run is told and ends."""

import argparse
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from fsmd.errors import UserError

DEFAULT_STORAGE = "sqlite:///studies.db"
DEFAULT_OUT = Path("out")
STOPPED = "Stopped; nothing is lost. The same command goes on from here."


def add_places(parser: argparse.ArgumentParser) -> None:
    """--storage and --out."""
    parser.add_argument(
        "--storage",
        default=DEFAULT_STORAGE,
        metavar="URL",
        help="database of the results (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, default=DEFAULT_OUT, help="folder of reports (default: %(default)s)"
    )


def check_folder(option: str, folder: Path) -> None:
    """Raise UserError for an option's folder that cannot be written, or cannot be made."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(
            f"{option} must be a folder that can be written; {there} "
            + ("is write-protected" if there.is_dir() else "is a file")
        )


def exit_code(run: Callable[[], int], stopped: str) -> int:
    """What `run` returns; 2 and one line for a user's mistake, 130 and `stopped` for Ctrl-C."""
    try:
        return run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{stopped}", file=sys.stderr)
        return 130


def print_lines(*lines: str) -> None:
    """Print lines, wrapped between words in a terminal and whole elsewhere."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    for line in lines:
        print(textwrap.fill(line, width, subsequent_indent=" " * 10) if width else line)
