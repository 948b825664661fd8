"""In which precision a new study trains, where the user leaves that to the tool."""

from fsmd.config import MODELS, FSMDConfig
from search_spaces.spaces import SPACES
from studies.definition import Definition, Search

SHOWN = MODELS["fsmd"]
"""The model whose figures bfloat16 was shown to leave as they are: `nox -s bench_precision`, and
the table in docs/speed.md. What shares by experts in the same way is taken for it."""
SHARING = ("sharing", "extraction_levels")


def may_round(definition: Definition) -> bool:
    """Whether all networks of a study or a search are of the kind that bfloat16 was shown to suit.

    All or none: arms of two precisions would differ in more than in what the study asks. Baselines
    have no precision.
    """
    if isinstance(definition, Search):
        space = SPACES.get(definition.space)
        return space is not None and _is_shown(space.base) and not {*space.axes} & {*SHARING}
    configs = [arm.config(definition.base) for arm in definition.arms]
    networks = [config for config in configs if isinstance(config, FSMDConfig)]
    return bool(networks) and all(map(_is_shown, networks))


def _is_shown(config: FSMDConfig) -> bool:
    return all(getattr(config, name) == getattr(SHOWN, name) for name in SHARING)
