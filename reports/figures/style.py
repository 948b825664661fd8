"""One look for all figures, without touching matplotlib's global state."""

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1d1d1f"
"""Text and axes; the page replaces it by its own text colour, so that dark pages work."""
PAPER = "#fefefe"
"""Inside of hollow markers; the page replaces it by its background."""
FAINT = "#8c8c8c"
BLUE, ORANGE = "#2a7fb8", "#d55e00"


WIDE, NARROW = 2.9, 4.0
"""Inches of a panel beside others, and of one on a phone."""


class Look(NamedTuple):
    """How one level is drawn: told apart by marker and dashes, not by colour alone."""

    color: str
    marker: str
    dashes: Any


LOOKS = (
    Look("#2a7fb8", "o", "-"),
    Look("#d55e00", "s", (0, (5, 2))),
    Look("#009e73", "^", (0, (1, 1.5))),
    Look("#b5679a", "D", (0, (6, 2, 1, 2))),
    Look("#a88000", "v", (0, (3, 1))),
    Look("#4b9fd6", "P", (0, (8, 2, 2, 2, 2, 2))),
    Look("#7a7a7a", "X", (0, (2, 3))),
)

_RC: Mapping[Any, Any] = MappingProxyType(
    {
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.labelsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.formatter.useoffset": False,
        "axes.unicode_minus": True,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "svg.fonttype": "none",
        "svg.hashsalt": "fsmd",
        "text.parse_math": False,  # a task may be called $x
        **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor",
                         "xtick.color", "ytick.color", "legend.labelcolor"), INK),
    }
)  # fmt: skip


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save inside this: matplotlib's defaults and the project's look, then undone."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(dict(_RC))
        yield


def panels(
    count: int, narrow: bool, height: float, extra: float = 0.7
) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels: side by side, or (narrow, for a phone) one below the other.

    `extra` is the room for a legend, in inches.
    """
    size = (NARROW, height * count + extra) if narrow else (WIDE * count, height + extra)
    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    shape = (count, 1) if narrow else (1, count)
    axes = figure.subplots(*shape, squeeze=False)
    for axis in axes.flat:
        axis.set_facecolor("none")
        axis.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, list(axes.flat)


def legend(figure: Figure, handles: list[Any], narrow: bool) -> None:
    """One legend for all panels, below them."""
    columns = min(len(handles), 2 if narrow else 7)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def to_svg(figure: Figure) -> str:
    """The figure as SVG with text as text; the same bytes for the same figure."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue().decode("utf-8")
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return text[text.index("<svg") :]


def for_page(svg: str, key: str, alt: str) -> str:
    """The SVG for inlining: ids of its own, the page's colours, a title, no fixed size."""
    from html import escape

    svg = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', svg)
    svg = re.sub(r'xlink:href="#', f'xlink:href="#{key}-', svg)
    svg = re.sub(r"url\(#", f"url(#{key}-", svg)
    svg = svg.replace(INK, "currentColor").replace(PAPER, "var(--paper)")
    head, body = svg.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    title = f'<title id="{key}-title">{escape(alt)}</title>'
    return f'{head} role="img" aria-labelledby="{key}-title">{title}{body}'
