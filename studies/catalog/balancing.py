"""Does balancing the tasks' losses or gradients beat their plain sum?"""

from dataclasses import replace

from fsmd.config import BALANCINGS, MODELS
from studies.definition import MARGIN, Claim, Factor, NotWorse, Study, one_factor

STUDY = Study(
    name="balancing",
    title="Task balancing",
    question="Does balancing the tasks' losses or gradients beat their plain sum?",
    factor="balancing",
    arms=one_factor(replace(MODELS["fsmd"], layers=(256, 128)), Factor("balancing", BALANCINGS)),
    reference="fixed",
    figure="",
    claims=(
        Claim(
            id="balancing-fixed",
            text="The plain sum costs the mean nothing against any method of balancing.",
            source="this project, stated before the run",
            rules=(NotWorse("mean", "fixed", MARGIN),),
        ),
    ),
    about="",
)
