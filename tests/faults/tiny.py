"""A study of trainings that take a tenth of a second, to be killed again and again."""

from dataclasses import replace

from fsmd.config import MODELS
from studies import Factor, Study, one_factor

STUDY = Study(
    name="tiny",
    title="A study to be killed",
    question="Does anything get lost?",
    factor="learning_rate",
    base=replace(MODELS["fsmd"], layers=(8,), tower_width=4, expert_count=2, batch_size=256),
    arms=one_factor(Factor("learning_rate", (0.001, 0.002, 0.01, 0.02))),
    reference="0.001",
    tasks=(),
)
