"""Which part of FSMD earns its place? A factorial of its parts, and what can only be left out.

Networks that share nothing stand outside: they are a model for each task, each with an epoch of
its own, which a chain would make one. The studies of models have them.
"""

from dataclasses import replace
from itertools import product

from fsmd.config import MODELS
from search_spaces import Value
from studies.definition import Above, Arm, Claim, Study

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
    arms = []
    for fm, sharing, chain in product(_FM, _SHARING, _CHAIN):
        name = " / ".join(filter(None, (_FM[fm], _SHARING[sharing], _CHAIN[chain])))
        params = (("fm", fm), ("sharing", sharing), ("chain", chain))
        arms.append(Arm(name or FSMD, params, params))
    return tuple(arms)


def _without(name: str, axis: str, value: Value) -> Arm:
    whole = (("fm", "shared"), ("sharing", "extraction"), ("chain", True), (axis, value))
    return Arm(name, whole, whole)


_LEFT_OUT = (
    _without("no shared experts", "own_experts", 8),
    _without("no gate", "gate", "equal"),
    _without("two levels", "extraction_levels", 2),
)

STUDY = Study(
    name="components",
    title="FSMD's parts",
    question="Which part of FSMD earns its place, and do the parts depend on each other?",
    factor="model",
    base=replace(MODELS["fsmd"], layers=(256, 128)),
    arms=(*_factorial(), *_LEFT_OUT),
    reference=FSMD,
    claims=tuple(
        Claim(
            id=f"components-{part}",
            text=f"FSMD is better with {words} than {lacking}, on the mean.",
            source="implied by Sections III and IV; stated by this project before the run",
            rules=(Above("mean", FSMD, other),),
        )
        for part, words, lacking, other in (
            ("fm", "its FM", "without", "no FM"),
            ("own", "own experts", "with shared ones only", "no own experts"),
            ("shared", "shared experts", "with own ones only", "no shared experts"),
            ("gate", "its gates", "with equal weights", "no gate"),
            ("chain", "its chain", "without", "no chain"),
        )
    ),
    about="",
)
