"""Fig. 13: how many experts should a gate weigh?"""

from dataclasses import replace

from fsmd.config import MODELS
from studies.definition import VIDEO, Above, Best, Claim, Factor, Flat, Study, one_factor

STUDY = Study(
    name="expert_count",
    title="Number of experts",
    question="How many experts should each task's gate weigh?",
    factor="expert_count",
    base=replace(
        MODELS["fsmd"],
        layers=(256, 128),
        gate_depth=1,
        tower_shape="decreasing",
        tower_depth=2,
        tower_width=128,
    ),
    arms=one_factor(Factor("expert_count", (2, 4, 6, 8, 10, 12, 14))),
    reference="10",
    figure="Fig. 13",
    claims=(
        Claim(
            id="fig13-peak",
            text="AUC on duration rises from 2 to 10 experts, peaks at 10, then falls.",
            source="Section IV.B.b, Fig. 13",
            rules=(
                *(Above("long_view", str(n + 2), str(n)) for n in (2, 4, 6, 8)),
                Best("long_view", "10"),
                *(Above("long_view", str(n), str(n + 2)) for n in (10, 12)),
            ),
        ),
        Claim(
            id="fig13-click",
            text="The number of experts hardly changes the click task's AUC.",
            source="Section IV.B.b, Fig. 13",
            rules=(Flat("click"),),
        ),
    ),
    about=VIDEO,
)
