"""Does balancing the tasks' losses or gradients beat their plain sum?"""

from dataclasses import replace

from fsmd.config import BALANCINGS, MODELS
from studies.definition import Claim, Factor, NotWorse, Study, one_factor

STUDY = Study(
    name="balancing",
    title="Task balancing",
    question="Does balancing the tasks' losses or gradients beat their plain sum?",
    factor="balancing",
    base=replace(MODELS["fsmd"], layers=(256, 128)),
    arms=one_factor(Factor("balancing", BALANCINGS)),
    reference="fixed",
    claims=(
        Claim(
            id="balancing-fixed",
            text="The plain sum costs the mean nothing against any method of balancing.",
            source="this project, stated before the run",
            rules=(NotWorse("mean", "fixed"),),
        ),
    ),
    about="",
)
