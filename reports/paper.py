"""What the paper reports: its numbers and conclusions, each with its place.

All its AUCs come from one run each: there are no seeds and no intervals to compare with.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Numbers(NamedTuple):
    """Test AUC on the first task, on the second, and their mean, as printed."""

    first: float
    second: float
    mean: float


class Source(NamedTuple):
    """A table or figure: where it stands, what it concludes, and its numbers by arm."""

    place: str
    said: str
    tasks: tuple[str, str]
    numbers: Mapping[str, Numbers] = MappingProxyType({})


_VIDEO = ("click", "duration")

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "Table II": Source(
            "Section IV.A, Table II",
            "FS gains 0.0055 on income over PLE at little cost to marital status, gains on both "
            "tasks over Base, and has the best mean.",
            ("income", "marital"),
            MappingProxyType(
                {
                    "single_task": Numbers(0.9198, 0.9748, 0.9473),
                    "shared_bottom": Numbers(0.9148, 0.9754, 0.9451),
                    "mmoe": Numbers(0.9152, 0.9756, 0.9454),
                    "ple": Numbers(0.9161, 0.9764, 0.9463),
                    "base": Numbers(0.9134, 0.9706, 0.9420),
                    "fg": Numbers(0.9146, 0.9693, 0.9420),
                    "fs": Numbers(0.9216, 0.9756, 0.9486),
                }
            ),
        ),
        "Table IV": Source(
            "Section IV.B.a, Table IV",  # its caption and its columns' names are those of others
            "FSMD has the best AUC on both tasks, FS the second best.",
            _VIDEO,
            MappingProxyType(
                {
                    "single_task": Numbers(0.7192, 0.6635, 0.6914),
                    "deepfm": Numbers(0.719, 0.658, 0.689),
                    "shared_bottom": Numbers(0.7184, 0.6916, 0.705),
                    "esmm": Numbers(0.7189, 0.6897, 0.7043),
                    "mmoe": Numbers(0.7201, 0.7057, 0.7129),
                    "base": Numbers(0.7193, 0.7086, 0.714),
                    "fg": Numbers(0.7201, 0.7084, 0.7143),
                    "fs": Numbers(0.7204, 0.7114, 0.7159),
                    "fsmd": Numbers(0.7205, 0.7117, 0.7161),
                }
            ),
        ),
        "Fig. 10": Source(
            "Section IV.B.a, Fig. 10",
            "Against Base, only FS and FSMD gain on both tasks; every other model wins on one "
            "what it loses on the other.",
            _VIDEO,
        ),
        "Fig. 11": Source(
            "Section IV.B.b, Fig. 11",
            "The diamond tower is best on duration and on the mean, at no notable cost to click.",
            _VIDEO,
        ),
        "Fig. 12": Source(
            "Section IV.B.b, Fig. 12",
            "Three gate layers are best on duration and on the mean; three or four are advised.",
            _VIDEO,
        ),
        "Fig. 13": Source(
            "Section IV.B.b, Fig. 13",
            "Duration rises from 2 to 10 experts and falls after; click hardly moves.",
            _VIDEO,
        ),
    }
)


def sources(figure: str) -> tuple[Source, ...]:
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


def numbers(figure: str) -> Mapping[str, Numbers]:
    """Arm -> the paper's numbers, of the first table that `figure` names; may be empty."""
    return next((source.numbers for source in sources(figure) if source.numbers), {})


def gains(figure: str, reference: str) -> Mapping[str, tuple[float, float]]:
    """Arm -> (first, second) minus the reference's; empty where the paper has no reference.

    >>> [round(gain, 4) for gain in gains("Table IV", "base")["fsmd"]]
    [0.0012, 0.0031]
    """
    found = numbers(figure)
    if reference not in found:
        return {}
    zero = found[reference]
    return {
        arm: (each.first - zero.first, each.second - zero.second)
        for arm, each in found.items()
        if arm != reference
    }
