"""What a figure's file gives (`FIGURE`), and the one place where its view is put together."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any, Generic, TypeVar

from matplotlib.figure import Figure

from fsmd.errors import UserError
from fsmd.folder import held
from reports.page.model import FigureView, apology, fault_of

Of = TypeVar("Of")
"""What is drawn: the results of a study, the analysis of a search."""
Summary = TypeVar("Summary")
"""The figure's numbers, before any ink."""


def always(_: Any) -> bool:
    """Fits everything that it has data of."""
    return True


def nothing(_: Any) -> str:
    """What a figure finds that says nothing of itself."""
    return ""


@dataclass(frozen=True)
class FigureKind(Generic[Of, Summary]):
    """A figure of a report: its numbers, its drawing and its words."""

    key: str
    """The name of its files; unique in a report."""
    section: str
    """The key of the section where it stands."""
    order: int
    """Its place there: the lowest first."""
    summarize: Callable[[Of], Summary | None]
    """Its numbers; None where there is nothing to draw."""
    draw: Callable[[Summary, bool], Figure]
    """Draws them: wide, or narrow for a phone."""
    caption: Callable[[Summary], str]
    alt: Callable[[Summary], str]
    """For those who cannot see it; the first sentence is its title."""
    fits: Callable[[Of], bool] = always
    """Whether it suits the form of a study."""
    finding: Callable[[Summary], str] = nothing
    """What is to be seen in it, in a sentence."""


def kinds_in(package: ModuleType) -> tuple[FigureKind[Any, Any], ...]:
    """The `FIGURE` of each file of a package, by section and order; nobody keeps a list."""
    figures = held(package.__name__, "FIGURE", FigureKind).values()
    return tuple(sorted(figures, key=lambda kind: (kind.section, kind.order, kind.key)))


def views_of(
    kinds: Sequence[FigureKind[Any, Any]], section: str, subject: Any
) -> tuple[FigureView, ...]:
    """The figures of one section that suit the subject and have data; nothing is drawn yet."""
    views = (view_of(kind, subject) for kind in kinds if kind.section == section)
    return tuple(view for view in views if view is not None)


def view_of(kind: FigureKind[Any, Any], subject: Any) -> FigureView | None:
    """The figure with its words; None where it does not fit or there is nothing to draw.

    A fault of one figure costs that figure alone: see `fault_of`.
    """
    try:
        summary = kind.summarize(subject) if kind.fits(subject) else None
        if summary is None:
            return None
        drawing = partial(kind.draw, summary)
        told = kind.caption(summary), kind.alt(summary), kind.finding(summary)
        return FigureView(kind.key, *told, drawing)
    except UserError:
        raise  # what is stored is at fault, and so is the report
    except Exception as error:
        said = fault_of(kind.key, error)
        return FigureView(kind.key, said, said, "", partial(apology, said))
