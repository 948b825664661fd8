"""Which part of FSMD earns its place? A factorial of its parts, and what can only be left out.

Networks that share nothing stand outside: they are a model for each task, each with an epoch of
its own, which a chain would make one. The studies of models have them.
"""

from dataclasses import replace

from fsmd.config import MODELS, FSMDConfig
from search_spaces import Level
from studies.definition import Above, Arm, Claim, Study

_FULL = replace(MODELS["fsmd"], layers=(256, 128))
_FM = {"shared": "", "none": "no FM"}
_SHARING = {
    "extraction": "",
    "experts": "no own experts",
    "bottom": "no experts",
    "embeddings": "no shared network",
}
_CHAIN = {True: "", False: "no chain"}

FSMD = "fsmd"


def _factorial() -> tuple[Arm, ...]:
    """Every combination of FM, sharing and chain, named by what it lacks; FSMD is the first."""
    return tuple(
        Arm(
            name=" / ".join(filter(None, (_FM[fm], _SHARING[sharing], _CHAIN[chain]))) or FSMD,
            config=replace(_FULL, fm=fm, sharing=sharing, chain=chain),
            params=(("fm", fm), ("sharing", sharing), ("chain", chain)),
        )
        for fm in _FM
        for sharing in _SHARING
        for chain in _CHAIN
    )


def _without(name: str, config: FSMDConfig, axis: str, level: Level) -> Arm:
    whole = (("fm", "shared"), ("sharing", "extraction"), ("chain", True))
    return Arm(name, config, (*whole, (axis, level)))


_LEFT_OUT = (
    _without("no shared experts", replace(_FULL, own_experts=8), "own_experts", 8),
    _without("no gate", replace(_FULL, gate="equal"), "gate", "equal"),
    _without("two levels", replace(_FULL, extraction_levels=2), "extraction_levels", 2),
)

STUDY = Study(
    name="components",
    title="FSMD's parts",
    question="Which part of FSMD earns its place, and do the parts depend on each other?",
    factor="model",
    arms=(*_factorial(), *_LEFT_OUT),
    reference=FSMD,
    figure="",
    claims=tuple(
        Claim(
            id=f"components-{part}",
            text=f"FSMD is better with {words} than {other}, on the mean.",
            source="implied by Sections III and IV; stated by this project before the run",
            rules=(Above("mean", FSMD, level),),
        )
        for part, words, other, level in (
            ("fm", "its FM", "without", "no FM"),
            ("own", "own experts", "with shared ones only", "no own experts"),
            ("shared", "shared experts", "with own ones only", "no shared experts"),
            ("gate", "its gates", "with equal weights", "no gate"),
            ("chain", "its chain", "without", "no chain"),
        )
    ),
    about="",
)
