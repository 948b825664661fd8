"""What the paper reports: its numbers and conclusions, each with its place.

All its AUCs come from one run each: there are no seeds and no intervals to compare with.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from fsmd.tasks import MEAN
from studies.definition import VIDEO

METRIC = "auc"
"""What it measures."""
DIGITS = 4
"""Decimals that it prints, mostly."""
Numbers = tuple[float, ...]
"""Test AUC on each task, then their mean, as printed."""


class PaperSource(NamedTuple):
    """A table or figure of the paper."""

    place: str
    said: str
    """What it concludes."""
    tasks: tuple[str, ...]
    """As the paper calls them, in the order of the tasks that a study's claims name."""
    numbers: Mapping[str, Numbers] = MappingProxyType({})
    """By arm."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What its numbers are of."""
        return (*self.tasks, MEAN)


_VIDEO = ("click", "duration")
TASKS: Mapping[str, tuple[str, ...]] = MappingProxyType({VIDEO: _VIDEO})
"""What claims are about -> its tasks, where the paper calls them otherwise than our data does."""

SOURCES: Mapping[str, PaperSource] = MappingProxyType(
    {
        "Table II": PaperSource(
            "Section IV.A, Table II",
            "FS gains 0.0055 on income over PLE at little cost to marital status, gains on both "
            "tasks over Base, and has the best mean.",
            ("income", "marital"),
            MappingProxyType(
                {
                    "single_task": (0.9198, 0.9748, 0.9473),
                    "shared_bottom": (0.9148, 0.9754, 0.9451),
                    "mmoe": (0.9152, 0.9756, 0.9454),
                    "ple": (0.9161, 0.9764, 0.9463),
                    "base": (0.9134, 0.9706, 0.9420),
                    "fg": (0.9146, 0.9693, 0.9420),
                    "fs": (0.9216, 0.9756, 0.9486),
                }
            ),
        ),
        "Table IV": PaperSource(
            "Section IV.B.a, Table IV",  # its caption and its columns' names are those of others
            "FSMD has the best AUC on both tasks, FS the second best.",
            _VIDEO,
            MappingProxyType(
                {
                    "single_task": (0.7192, 0.6635, 0.6914),
                    "deepfm": (0.719, 0.658, 0.689),
                    "shared_bottom": (0.7184, 0.6916, 0.705),
                    "esmm": (0.7189, 0.6897, 0.7043),
                    "mmoe": (0.7201, 0.7057, 0.7129),
                    "base": (0.7193, 0.7086, 0.714),
                    "fg": (0.7201, 0.7084, 0.7143),
                    "fs": (0.7204, 0.7114, 0.7159),
                    "fsmd": (0.7205, 0.7117, 0.7161),
                }
            ),
        ),
        "Fig. 10": PaperSource(
            "Section IV.B.a, Fig. 10",
            "Against Base, only FS and FSMD gain on both tasks; every other model wins on one "
            "what it loses on the other.",
            _VIDEO,
        ),
        "Fig. 11": PaperSource(
            "Section IV.B.b, Fig. 11",
            "The diamond tower is best on duration and on the mean, at no notable cost to click.",
            _VIDEO,
        ),
        "Fig. 12": PaperSource(
            "Section IV.B.b, Fig. 12",
            "Three gate layers are best on duration and on the mean; three or four are advised.",
            _VIDEO,
        ),
        "Fig. 13": PaperSource(
            "Section IV.B.b, Fig. 13",
            "Duration rises from 2 to 10 experts and falls after; click hardly moves.",
            _VIDEO,
        ),
    }
)


def sources(figure: str) -> tuple[PaperSource, ...]:
    """The tables and figures that a study's `figure` names; `Figs. 11 to 13` names three.

    >>> [source.place for source in sources("Table IV and Fig. 10")]
    ['Section IV.B.a, Table IV', 'Section IV.B.a, Fig. 10']
    >>> len(sources("Figs. 11 to 13")), sources("")
    (3, ())
    """
    names = re.findall(r"Table [IVX]+", figure)
    for first, last in re.findall(r"Figs?\. (\d+)(?: to (\d+))?", figure):
        names += [f"Fig. {number}" for number in range(int(first), int(last or first) + 1)]
    return tuple(SOURCES[name] for name in names if name in SOURCES)


def table(figure: str) -> PaperSource | None:
    """The first table with numbers that `figure` names; None if there is none."""
    return next((source for source in sources(figure) if source.numbers), None)


def gains(figure: str, reference: str) -> Mapping[str, tuple[float, ...]]:
    """Arm -> on each of the paper's tasks its AUC minus the reference's.

    Empty where the paper has no numbers of the reference.

    >>> [round(gain, 4) for gain in gains("Table IV", "base")["fsmd"]]
    [0.0012, 0.0031]
    """
    source = table(figure)
    if source is None or reference not in source.numbers:
        return {}
    zero_K = source.numbers[reference][:-1]
    return {
        arm: tuple(value - zero for value, zero in zip(printed[:-1], zero_K, strict=True))
        for arm, printed in source.numbers.items()
        if arm != reference
    }
