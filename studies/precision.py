"""In which precision a new study trains, where the user leaves that to the tool."""

from collections.abc import Iterator

from fsmd.config import GATED, FSMDConfig
from search_spaces.spaces import SPACES
from studies.definition import Definition, Search

TRIED = GATED
"""The sharings of fsmd, mmoe and ple, in whose figures bfloat16 showed no difference: see
`nox -s bench_precision`, and the table of its results in docs/start.md."""


def may_round(definition: Definition) -> bool:
    """Whether all networks of a study or a search are of those that bfloat16 was tried on.

    All or none: arms of two precisions would differ in more than in what the study asks. Baselines
    have no precision.
    """
    sharings = set(_sharings(definition))
    return bool(sharings) and sharings <= set(TRIED)


def _sharings(definition: Definition) -> Iterator[str]:
    """Of every network that may be trained; none for a space that there is not."""
    if isinstance(definition, Search):
        if space := SPACES.get(definition.space):
            axes = {choice.name: choice.domain for choice in space.choices}
            values = getattr(axes.get("sharing"), "choices", (space.base.sharing,))
            yield from map(str, values)
    else:
        configs = (arm.config(definition.base) for arm in definition.arms)
        yield from (c.sharing for c in configs if isinstance(c, FSMDConfig))
