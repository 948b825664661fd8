"""Fig. 11: which tower shape?"""

from dataclasses import replace

from fsmd.config import MODELS, TOWER_SHAPES
from studies.definition import VIDEO, Best, Claim, Factor, NotWorse, Study, one_factor

STUDY = Study(
    name="tower_shape",
    title="Tower shape",
    question="Does the shape of the towers matter, and is diamond the best one?",
    factor="tower_shape",
    base=replace(
        MODELS["fsmd"],
        layers=(256, 128),
        gate_depth=2,
        expert_count=8,
        tower_depth=3,
        tower_width=128,
    ),
    arms=one_factor(Factor("tower_shape", tuple(TOWER_SHAPES))),
    reference="diamond",
    figure="Fig. 11",
    claims=(
        Claim(
            id="fig11-duration",
            text="The diamond tower has the best AUC on duration and on the mean.",
            source="Section IV.B.b, Fig. 11",
            rules=(Best("long_view", "diamond"), Best("mean", "diamond")),
        ),
        Claim(
            id="fig11-click",
            text="The diamond tower costs the click task nothing significant.",
            source="Section IV.B.b, Fig. 11",
            rules=(NotWorse("click", "diamond"),),
        ),
    ),
    about=VIDEO,
)
