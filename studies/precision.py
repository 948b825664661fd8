"""In which precision a new study trains, where the user leaves that to the tool."""

from collections.abc import Iterator, Mapping

from fsmd.config import MODELS, FSMDConfig
from search_spaces.spaces import SPACES
from studies.definition import Definition, Search

_SHOWN = MODELS["fsmd"]
_PARTS = ("sharing", "fm")
"""What makes FSMD, for which bfloat16 was shown to move no AUC by .0005; for other models seeds
scatter too much to tell: see `nox -s bench_precision`, and its results in docs/start.md."""


def may_round(definition: Definition) -> bool:
    """Whether all networks of a study or a search are of those for which bfloat16 is the same.

    All or none: arms of two precisions would differ in more than in what the study asks. Baselines
    have no precision.
    """
    parts = list(_parts(definition))
    return bool(parts) and all(part == getattr(_SHOWN, name) for name, part in parts)


def _parts(definition: Definition) -> Iterator[tuple[str, object]]:
    """(name, value) of the parts of every network that may be trained; none without a space."""
    if isinstance(definition, Search):
        if space := SPACES.get(definition.space):
            axes: Mapping[str, object] = {axis.name: axis.domain for axis in space.choices}
            for name in _PARTS:
                values = getattr(axes.get(name), "choices", (getattr(space.base, name),))
                yield from ((name, value) for value in values)
        return
    for arm in definition.arms:
        config = arm.config(definition.base)
        if isinstance(config, FSMDConfig):
            yield from ((name, getattr(config, name)) for name in _PARTS)
