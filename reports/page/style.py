"""One look for all figures, without touching matplotlib's global state."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import ceil, inf
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation, Text
from matplotlib.ticker import MaxNLocator

from fsmd.stats.estimates import Estimate
from reports import words

INK = "#1d1d1f"
"""Text and axes; the page replaces it by its own text colour, so that dark pages work."""
PAPER = "#fefefe"
"""Inside of hollow markers; the page replaces it by its background."""
FAINT = "#8c8c8c"
BLUE, ORANGE = "#2a7fb8", "#d55e00"

PAGE, PHONE = 8.7, 4.0
"""Inches of a figure on a wide page, and on a phone."""
COLUMNS = 3
"""Panels side by side on a wide page, at most."""
LEGEND_ROW = 0.19
"""Inches of a row of a legend."""
GRID: Mapping[str, Any] = MappingProxyType({"color": FAINT, "alpha": 0.25, "linewidth": 0.6})
RING: Mapping[str, Any] = MappingProxyType(
    {"marker": "o", "color": INK, "markerfacecolor": "none", "linestyle": "none"}
)
"""Around points that stand out."""
FAR = 2.0
"""See `near`."""
HOLLOW: Mapping[str, Any] = MappingProxyType({**RING, "color": FAINT, "markersize": 4})
"""A faint point."""


class Look(NamedTuple):
    """How one of several things is drawn: it differs by marker and dashes, not by colour alone."""

    color: str
    marker: Any
    dashes: Any

    def line(self, markersize: float, **more: Any) -> dict[str, Any]:
        """Of a joined line with marks, as matplotlib takes it."""
        look = {"color": self.color, "marker": self.marker, "linestyle": self.dashes}
        return look | {"markersize": markersize} | more


LOOKS = (
    Look("#2a7fb8", "o", "-"),
    Look("#d55e00", "s", (0, (5, 2))),
    Look("#009e73", "^", (0, (1, 1.5))),
    Look("#b5679a", "D", (0, (6, 2, 1, 2))),
    Look("#a88000", "v", (0, (3, 1))),
    Look("#3f93cb", "P", (0, (8, 2, 2, 2, 2, 2))),
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

_COLORED = (
    *("text.color", "axes.labelcolor", "axes.edgecolor", "axes.titlecolor"),
    *("xtick.color", "ytick.color", "legend.labelcolor"),
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
        **dict.fromkeys(_COLORED, INK),
    }
)


@contextmanager
def styled() -> Iterator[None]:
    """Draw and save inside this: matplotlib's defaults and the project's look, then undone."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(dict(_RC))
        yield


def width(narrow: bool) -> float:
    """Inches of a figure."""
    return PHONE if narrow else PAGE


def columns(count: int, narrow: bool, most: int = COLUMNS) -> int:
    """How many of `count` panels stand side by side, so that the rows are about equally long.

    >>> [columns(count, narrow=False) for count in range(1, 8)]
    [1, 2, 3, 2, 3, 3, 3]
    """
    return 1 if narrow else ceil(count / ceil(count / most))


def panels(
    count: int,
    narrow: bool,
    height: float,
    *,
    extra: float = 0.7,
    side_by_side: int = 0,
    grid: Literal["x", "y"] | None = "y",
) -> tuple[Figure, list[Axes]]:
    """A figure of equal panels of `height` inches, in rows of `columns`.

    extra: the room for a legend, in inches.
    side_by_side: if given, so many panels make a row, on a phone too.
    grid: the axis whose ticks have lines.
    """
    in_row = side_by_side or columns(count, narrow)
    rows = ceil(count / in_row)
    size = width(narrow), height * rows + extra
    figure = Figure(size, layout="constrained", facecolor="none")
    axes = figure.subplots(rows, in_row, squeeze=False).flat
    for spare in axes[count:]:
        spare.remove()
    for axis in axes[:count]:
        axis.set_facecolor("none")
        axis.set_axisbelow(True)
        if grid:
            axis.grid(axis=grid, **GRID)
    return figure, list(axes[:count])


def is_leftmost(axis: Axes) -> bool:
    """Whether a panel begins a row."""
    place = axis.get_subplotspec()
    return place is not None and place.is_first_col()


def limits(
    low: float,
    high: float,
    room: float,
    *,
    least: float,
    within: tuple[float, float] = (-inf, inf),
) -> tuple[float, float]:
    """An axis from `low` to `high` with a share of `room` at either end.

    least: what it spans at least, so that noise is not blown up to look like an effect, and ticks
        need no more decimals than there is room for.
    within: what it does not leave, such as the range of a metric.

    >>> limits(2.0, 4.0, 0.25, least=1.0)
    (1.5, 4.5)
    >>> limits(2.0, 4.0, 0.25, least=8.0, within=(0.0, 5.0))
    (0.0, 5.0)
    """
    extra = max(room * (high - low), (least - (high - low)) / 2)
    return max(low - extra, within[0]), min(high + extra, within[1])


def near(means: Iterable[float], sign: int = 1) -> list[float]:
    """The means that an axis shows, best first: those of arms far behind squeeze all others.

    A mean is far behind if it is more than `FAR` times as far from the next better one as all the
    better ones are from each other, and these are more than half. sign: 1 where more is better,
    else -1.

    >>> near([0.72, 0.5, 0.74, 0.73])
    [0.74, 0.73, 0.72]
    >>> near([0.3, 0.1, 0.11, 0.15], sign=-1)
    [0.1, 0.11, 0.15]
    """
    best_first = sorted(means, reverse=sign > 0)
    for count in range(max(3, len(best_first) // 2 + 1), len(best_first)):
        first, last, behind = best_first[0], best_first[count - 1], best_first[count]
        if 0 < FAR * abs(first - last) < abs(last - behind):
            return best_first[:count]
    return best_first


def beyond(
    axis: Axes, mean: float, at: float, text: str, *, part: str, across: bool = False
) -> None:
    """Tell the figure of an arm at the place `at` if it lies off the axis, upright or across."""
    low, high = axis.get_xlim() if across else axis.get_ylim()
    if low <= mean <= high:
        return
    less = mean < low
    end, inwards = (low, 3) if less else (high, -3)
    if across:
        told, places = f"← {text}" if less else f"{text} →", ((end, at), (inwards, 0))
        sides = {"ha": "left" if less else "right", "va": "center"}
    else:
        told, places = f"{text}\n↓" if less else f"↑\n{text}", ((at, end), (0, inwards))
        sides = {"ha": "center", "va": "bottom" if less else "top"}
    look: dict[str, Any] = {"color": FAINT, "fontsize": 7.5, **sides}
    tag([axis.annotate(told, *places, textcoords="offset points", **look)], part)


def aside(index: int, count: int, *, room: float, step: float = inf) -> float:
    """How far one of `count` marks at one place stands from it, so that none covers another.

    room: what all of them take at most; `step`: what each of them does.

    >>> [aside(i, 3, room=0.6, step=0.1) for i in range(3)]
    [-0.1, 0.0, 0.1]
    """
    return min(step, room / count) * (index - (count - 1) / 2)


def ends_of(estimates: Iterable[Estimate]) -> list[float]:
    """Both ends of each interval that is known."""
    return [end for e in estimates for end in (e.low, e.high) if end is not None]


def interval(
    axis: Axes, estimate: Estimate, at: float, *, part: str = "", across: bool = False, **look: Any
) -> None:
    """The interval of a mean as a line at the place `at`, upright or across, where it is known.

    part: see `tag`.
    """
    if ends := ends_of([estimate]):
        look = {"linewidth": 1.1} | look
        line = axis.plot(*((ends, [at, at]) if across else ([at, at], ends)), **look)
        if part:
            tag(line, part)


def course(
    axis: Axes,
    places: Sequence[float],
    estimates: Sequence[Estimate],
    look: Look,
    *,
    parts: Sequence[str],
    tips: Sequence[str],
) -> None:
    """Means joined by a line, each with its interval; without those that nothing is known of.

    Of each part is its mean, its interval and the line half-way to its neighbours.
    """
    known = [k for k, estimate in enumerate(estimates) if estimate.n]
    means = [(places[k], estimates[k].mean) for k in known]
    for i, k in enumerate(known):
        interval(axis, estimates[k], places[k], part=parts[k], color=look.color, linewidth=1.3)
        around = np.array(means[max(i - 1, 0) : i + 2])
        here = min(i, 1)
        x, y = (around + around[here]).T / 2
        line = axis.plot(x, y, markevery=[here], **look.line(5, linewidth=1.3))
        tag(line, parts[k], tips[k])


def difference_ticks(axis: Axis, most: int = 5) -> None:
    """Round differences with their signs."""
    axis.set_major_locator(MaxNLocator(nbins=most, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda value, _: words.short(value))


def key(label: str, **look: Any) -> Line2D:
    """An entry of a legend."""
    return Line2D([], [], label=label, **look)


def legend(figure: Figure, handles: Sequence[Any], narrow: bool, rows: int = 3) -> None:
    """One legend for all panels, below them; the figure grows if it takes more than `rows`."""
    more = max(legend_rows(handles, narrow) - rows, 0)
    wide, high = figure.get_size_inches()
    figure.set_size_inches(wide, high + LEGEND_ROW * more)
    in_row = _entries_in_row(handles, narrow)
    figure.legend(handles=list(handles), loc="outside lower center", ncols=in_row)


def legend_rows(handles: Sequence[Any], narrow: bool) -> int:
    """How many rows a legend takes."""
    return ceil(len(handles) / _entries_in_row(handles, narrow))


def _entries_in_row(handles: Sequence[Any], narrow: bool) -> int:
    longest = max((len(handle.get_label()) for handle in handles), default=0)
    # A letter takes 6 points, a mark and its gaps take 34.
    fitting = int(width(narrow) * 72 / (6 * longest + 34))
    return max(1, min(len(handles), fitting, 2 if narrow else 7))


def lines(text: str, room: int = 25) -> str:
    """A text in lines of at most `room` letters: broken at a blank, after a sign, or anywhere.

    >>> lines("no FM / no own experts / no chain")
    'no FM / no own experts /\\nno chain'
    >>> lines("diamond / 3 / 10"), lines("adaptive_weight_sharing", 15)
    ('diamond / 3 / 10', 'adaptive_\\nweight_sharing')
    """
    most = rf"\S.{{0,{max(room, 1) - 1}}}"
    pieces = re.findall(rf"{most}(?:(?=\s|$)|(?<=[_/:;=|&,-]))|{most}", text, re.MULTILINE)
    return "\n".join(piece.strip() for piece in pieces)


def keep_within_panels(figure: Figure) -> None:
    """Break titles and labels of axes that would reach into the next panel."""
    wide, high = figure.get_size_inches() * 72
    ticks = (label.get_text() for axis in figure.axes for label in axis.get_yticklabels())
    beside = 5.4 * max((len(line) for text in ticks for line in text.split("\n")), default=0)
    for axis in figure.axes:
        if place := axis.get_subplotspec():  # the layout is still to come
            rows, in_row = place.get_gridspec().get_geometry()
            across, up = 0.9 * (wide - beside) / in_row, 0.8 * high / rows
        else:
            across, up = wide * axis.get_position().width, high * axis.get_position().height
        titles = [a for a in axis.get_children() if isinstance(a, Text) and a not in axis.texts]
        rooms = [(text, across) for text in (*titles, axis.xaxis.label)]
        for text, room in (*rooms, (axis.yaxis.label, up)):
            letter = 0.6 * float(text.get_fontsize())
            text.set_text(lines(text.get_text(), int(room / letter)))


def look(index: int) -> Look:
    """The look of a study's arm number `index`, the same in all its figures."""
    return LOOKS[index % len(LOOKS)]


def tag(artists: Iterable[Any], part: str, *tips: str, on_demand: bool = False) -> None:
    """Let the page hide the artists as one part, such as an arm, and tell a value at each point.

    tips: one for each point of the artists, or none.
    on_demand: nobody sees them before the reader of a page asks for them.
    """
    for artist in artists:
        artist.set_gid(json.dumps({"part": part, "tips": tips, "on_demand": on_demand}))
        if isinstance(artist, Annotation) and artist.arrow_patch:  # the line to its point
            tag([artist.arrow_patch], part)


def tag_of(gid: str | None) -> dict[str, Any]:
    """What `tag` gave; empty for another one."""
    return dict(json.loads(gid)) if gid and gid.startswith("{") else {}
