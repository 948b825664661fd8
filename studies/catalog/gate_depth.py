"""Fig. 12: how many layers should a gate have?"""

from dataclasses import replace

from fsmd.config import MODELS
from studies.definition import VIDEO, Best, Claim, Factor, Study, one_factor

STUDY = Study(
    name="gate_depth",
    title="Gate depth",
    question="Do deeper gates help, and are three layers the best number?",
    factor="gate_depth",
    base=replace(
        MODELS["fsmd"],
        layers=(256, 128),
        expert_count=8,
        tower_shape="decreasing",
        tower_depth=2,
        tower_width=128,
    ),
    arms=one_factor(Factor("gate_depth", (1, 2, 3, 4, 5))),
    reference="3",
    figure="Fig. 12",
    claims=(
        Claim(
            id="fig12-three-layers",
            text="Gates of three layers have the best AUC on duration and on the mean.",
            source="Section IV.B.b, Fig. 12",
            rules=(Best("long_view", "3"), Best("mean", "3")),
        ),
    ),
    about=VIDEO,
)
