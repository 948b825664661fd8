"""What the command lines of studies share: where results and reports lie."""

import argparse
import re
from math import inf, nan
from pathlib import Path

from fsmd.command_line import place
from fsmd.errors import UserError

DEFAULT_STORAGE = "sqlite:///studies.db"
DEFAULT_OUT = Path("out")
STOPPED = "Stopped; nothing is lost. The same command goes on from here."
LEAST_MEMORY = 64 * 2**20


def memory(text: str) -> int:
    """An option's bytes: 500m, 2g, 1.5 GB. Raises ArgumentTypeError for what is no size."""
    said = re.fullmatch(r"(\d{1,9}(?:\.\d*)?) ?([kmgt])(?:i?b)?", text.strip().lower())
    size = int(float(said[1]) * 1024 ** (1 + "kmgt".index(said[2]))) if said else 0
    if size < LEAST_MEMORY:
        raise argparse.ArgumentTypeError(
            f"a size of memory is a number and k, m, g or t, at least 64m; got {text!r}"
        )
    return size


def duration(text: str) -> float:
    """An option's seconds: 90s, 30m, 2h, 1.5 h. Raises ArgumentTypeError for what is no time."""
    said = re.fullmatch(r"(\d{1,9}(?:\.\d*)?) ?([smh])", text.strip().lower())
    seconds = float(said[1]) * 60 ** "smh".index(said[2]) if said else 0.0
    if seconds < 1:
        raise argparse.ArgumentTypeError(
            f"a time is a number and s, m or h, such as 30m, at least 1s; got {text!r}"
        )
    return seconds


def replicates(text: str) -> int | str:
    """An option's number of seeds, or `auto`. Raises ArgumentTypeError for anything else."""
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"a number of seeds, or auto; got {text!r}") from None


def margins(text: str) -> tuple[tuple[str, float], ...]:
    """An option's margins by metric: auc=0.002,log_loss=0.0005. ArgumentTypeError for others."""
    found = []
    for each in text.split(","):
        metric, _, value = each.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = nan
        if not metric or not 0 <= number < inf:
            raise argparse.ArgumentTypeError(
                "a margin is metric=value, a number from 0, with commas between several, such as "
                f"auc=0.002,log_loss=0.0005; got {each!r}"
            )
        found.append((metric, number))
    return tuple(found)


def looks(text: str) -> tuple[int, ...]:
    """An option's numbers of seeds: 5,10,20. Raises ArgumentTypeError for what are none."""
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"numbers of seeds with commas between them, such as 5,10,20; got {text!r}"
        ) from None


def add_places(parser: argparse.ArgumentParser) -> None:
    """--storage and --out."""
    parser.add_argument(
        "--storage",
        default=DEFAULT_STORAGE,
        metavar="URL",
        help="database of the results (default: %(default)s)",
    )
    parser.add_argument(
        "--out", type=place, default=DEFAULT_OUT, help="folder of reports (default: %(default)s)"
    )


def check_range(option: str, value: float, least: int, most: int) -> None:
    """Raise UserError for a number outside of what an option takes."""
    if not value >= least:
        raise UserError(f"{option} must be at least {least}; got {value}")
    if not value <= most:
        raise UserError(f"{option} must be at most {most:,}; got {value}")
