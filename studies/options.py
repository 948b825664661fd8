"""What the command lines share: where results and reports lie, and how a run ends."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from fsmd.errors import UserError

DEFAULT_STORAGE = "sqlite:///studies.db"


def add_places(parser: argparse.ArgumentParser) -> None:
    """--storage and --out."""
    parser.add_argument(
        "--storage",
        default=DEFAULT_STORAGE,
        metavar="URL",
        help="database of the results (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("out"), help="folder of reports (default: %(default)s)"
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
