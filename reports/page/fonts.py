"""Letters that the reports' own font lacks, such as Chinese ones: other fonts have them."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from matplotlib.font_manager import findSystemFonts, fontManager, get_font

OWN = "DejaVu Sans"
"""Comes with matplotlib."""


class Fonts(NamedTuple):
    """What to write a text with."""

    families: tuple[str, ...]
    """The own font first, then those that have what it lacks."""
    folders: tuple[str, ...]
    """Where the others lie."""
    missing: str
    """Letters that no font of this machine has; a PDF has boxes in their place."""


def fonts_for(text: str) -> Fonts:
    """The fonts that a text needs: only the own one, where that has all letters."""
    letters = {ord(each) for each in set(text) if each.isprintable() and not each.isspace()}
    return _fonts(frozenset(letters - _letters(fontManager.findfont(OWN))))


@cache
def _fonts(lacking: frozenset[int]) -> Fonts:
    families, folders = [OWN], dict[str, None]()
    while lacking:
        path = max(_others(), key=lambda path: (len(lacking & _letters(path)), path), default="")
        had = lacking & _letters(path) if path else frozenset()
        if not had:
            break
        fontManager.addfont(path)
        families.append(get_font(path).family_name)
        folders[str(Path(path).parent)] = None
        lacking -= had
    return Fonts(tuple(families), tuple(folders), "".join(map(chr, sorted(lacking))))


@cache
def _others() -> tuple[str, ...]:
    """Font files of this machine as they are now; matplotlib's own list may be old."""
    return tuple(findSystemFonts())


@cache
def _letters(path: str) -> frozenset[int]:
    try:
        return frozenset(get_font(path).get_charmap())
    except (OSError, RuntimeError):
        return frozenset()  # no font that matplotlib can read
