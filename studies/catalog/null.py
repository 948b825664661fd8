"""A study in which nothing differs: four names for one model, so every finding is false."""

from dataclasses import replace

from fsmd.config import MODELS
from studies.definition import Arm, Best, Claim, Study

STUDY = Study(
    name="null",
    title="Nothing differs (A/A)",
    question="How often does this toolkit find a difference where there is none?",
    factor="variant",
    base=replace(MODELS["base"], layers=(32, 16), tower_width=16),
    arms=tuple(
        Arm(name, changes=(), params=(("variant", name),), stream=stream)
        for stream, name in enumerate(("null_a", "null_b", "null_c", "null_d"), start=1)
    ),
    reference="null_a",
    claims=(
        Claim(
            id="null-best",
            text="The first of four equal models is the best of them.",
            source="this project: false by construction",
            rules=(Best("mean", "null_a"),),
        ),
    ),
    about="",
)
