"""One look for all figures, without touching matplotlib's global state."""

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from html import escape
from types import MappingProxyType
from typing import Any, NamedTuple
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1d1d1f"
"""Text and axes; the page replaces it by its own text colour, so that dark pages work."""
PAPER = "#fefefe"
"""Inside of hollow markers; the page replaces it by its background."""
FAINT = "#8c8c8c"
BLUE, ORANGE = "#2a7fb8", "#d55e00"


_SVG = "{http://www.w3.org/2000/svg}"
ElementTree.register_namespace("", _SVG[1:-1])
ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")

WIDE, NARROW = 2.9, 4.0
"""Inches of a panel beside others, and of one on a phone."""


class Look(NamedTuple):
    """How one level is drawn: told apart by marker and dashes, not by colour alone."""

    color: str
    marker: Any
    dashes: Any


LOOKS = (
    Look("#2a7fb8", "o", "-"),
    Look("#d55e00", "s", (0, (5, 2))),
    Look("#009e73", "^", (0, (1, 1.5))),
    Look("#b5679a", "D", (0, (6, 2, 1, 2))),
    Look("#a88000", "v", (0, (3, 1))),
    Look("#4b9fd6", "P", (0, (8, 2, 2, 2, 2, 2))),
    Look("#7a7a7a", "X", (0, (2, 3))),
    Look("#c2417a", "<", (0, (5, 1, 1, 1))),
    Look("#3f7f5f", ">", (0, (1, 3))),
    Look("#8a6fd1", "p", (0, (4, 4))),
    Look("#b0623a", "h", (0, (9, 3))),
    Look("#5b8a00", "*", (0, (3, 2, 1, 2, 1, 2))),
    Look("#c7762e", "d", (0, (7, 1.5))),
    Look("#5f6fb0", (4, 1, 0), (0, (2, 1, 2, 4))),
    Look("#b04a4a", (3, 1, 0), (0, (1, 1, 4, 1))),
    Look("#2f9a9a", (6, 1, 0), (0, (10, 2, 1, 2))),
    Look("#6b7f95", "8", (0, (4, 2, 4, 4))),
    Look("#8f6a45", "H", (0, (1, 1))),
    Look("#7d8f2a", (8, 1, 0), (0, (6, 4))),
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
        "pdf.fonttype": 42,  # text stays text, as journals want it
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
    count: int, narrow: bool, height: float, extra: float = 0.7, columns: int = 0
) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels: side by side, or (narrow, for a phone) one below the other.

    `extra` is the room for a legend, in inches; `columns`, if given, are side by side on either.
    """
    columns = columns or (1 if narrow else count)
    rows = -(-count // columns)
    width = NARROW if narrow else WIDE * columns
    figure = Figure((width, height * rows + extra), layout="constrained", facecolor="none")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for spare in axes[count:]:
        spare.remove()
    for axis in axes[:count]:
        axis.set_facecolor("none")
        axis.grid(axis="y", color=FAINT, alpha=0.25, linewidth=0.6)
        axis.set_axisbelow(True)
    return figure, list(axes[:count])


def limits(low: float, top: float, room: float) -> tuple[float, float]:
    """An axis of AUC from `low` to `top` with a share of `room` at either end.

    It spans 0.0003 at least, as the margin has room for no more than five decimals.
    """
    extra = max(room * (top - low), (3e-4 - (top - low)) / 2)
    return low - extra, top + extra


def legend(figure: Figure, handles: list[Any], narrow: bool, rows: int = 3) -> None:
    """One legend for all panels, below them; the figure grows if it takes more than `rows`."""
    width, height = figure.get_size_inches()
    columns = legend_columns(handles, width, narrow)
    more = max(-(-len(handles) // columns) - rows, 0)
    figure.set_size_inches(width, height + 0.19 * more)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def legend_columns(handles: list[Any], width: float, narrow: bool) -> int:
    """How many entries fit side by side into a figure of `width` inches."""
    longest = max((len(handle.get_label()) for handle in handles), default=0)
    room = width * 72 / (6 * longest + 34)  # a letter takes 6 points, a mark and its gaps 34
    return max(1, min(len(handles), int(room), 2 if narrow else 7))


def lines(name: str, room: int = 25) -> str:
    """A level's name in lines of about `room` letters, broken where it lists something.

    >>> lines("no FM / no own experts / no chain")
    'no FM / no own experts /\\nno chain'
    >>> lines("diamond / 3 / 10")
    'diamond / 3 / 10'
    """
    first, *rest = name.split(" / ")
    made = [first]
    for part in rest:
        if len(made[-1]) + len(part) + 3 <= room:
            made[-1] += f" / {part}"
        else:
            made[-1] += " /"
            made.append(part)
    return "\n".join(made)


def look(index: int) -> Look:
    """The look of a study's level number `index`, the same in all its figures."""
    return LOOKS[index % len(LOOKS)]


def tag(artists: Iterable[Any], level: str, *tips: str) -> None:
    """Let the page hide the artists with their level, and tell a value at each of their points."""
    for artist in artists:
        artist.set_gid(json.dumps({"level": level, "tips": tips}))


def to_svg(figure: Figure) -> str:
    """The figure as SVG with text as text and tags resolved; same figure, same bytes."""
    buffer = io.BytesIO()
    with styled():
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return _resolved(buffer.getvalue())


def to_pdf(figure: Figure) -> bytes:
    """The figure as a PDF file without a date."""
    buffer = io.BytesIO()
    with styled():
        undated = dict.fromkeys(("CreationDate", "Creator", "Producer"))
        figure.savefig(buffer, format="pdf", metadata=undated)
    return buffer.getvalue()


def for_page(svg: str, key: str, alt: str) -> str:
    """The SVG for inlining: ids of its own, the page's colours, a title, no fixed size."""
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{key}-\1"', svg)
    svg = re.sub(r'xlink:href="#', f'xlink:href="#{key}-', svg)
    svg = re.sub(r"url\(#", f"url(#{key}-", svg)
    svg = svg.replace(INK, "currentColor").replace(PAPER, "var(--paper)")
    head, body = svg.split(">", 1)
    head = re.sub(r'\s(width|height)="[^"]*"', "", head)
    title, _, told = alt.partition(". ")  # the title is short: browsers show it under the pointer
    named = f'<title id="{key}-title">{escape(title)}</title>'
    described = f'<desc id="{key}-desc">{escape(told or title)}</desc>'
    return (
        f'{head} role="img" aria-labelledby="{key}-title" aria-describedby="{key}-desc">'
        f"{named}{described}{body}"
    )


def _resolved(content: bytes) -> str:
    """Without metadata and idle ids; tags become `data-level` and a title at each point."""
    root = ElementTree.fromstring(content)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == f"{_SVG}metadata":
                parent.remove(child)
    for group in root.iter(f"{_SVG}g"):
        name = group.attrib.pop("id", "")  # nothing refers to a group
        if name.startswith("{"):
            found = json.loads(name)
            group.set("data-level", found["level"])
            _titles(group, found["tips"])
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _titles(group: ElementTree.Element, tips: list[str]) -> None:
    points = list(group.iter(f"{_SVG}use")) or [group]
    if len(points) != len(tips):
        return  # a point outside of the figure is not drawn: rather no value than a wrong one
    for point, tip in zip(points, tips, strict=True):
        title = ElementTree.Element(f"{_SVG}title")
        title.text = tip
        point.insert(0, title)
