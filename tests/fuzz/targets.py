"""All ways in."""

from collections.abc import Mapping

from tests.fuzz import described, folders, lines, scored, stored
from tests.fuzz.target import Target

TARGETS: Mapping[str, Target] = {
    **described.TARGETS,
    **lines.TARGETS,
    **stored.TARGETS,
    **folders.TARGETS,
    **scored.TARGETS,
}
