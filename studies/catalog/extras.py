"""The options that the paper names or that lie near, and that none of its experiments touches.

NOTE[PAPER]: Section II.C initialises "the information on user behaviour" by an auto-encoder and
names no fields. What a row of a log tells of behaviour is which user met which video and when, so
the auto-encoder reads all categorical fields here; `pretrain_fields` narrows it.
"""

from dataclasses import replace

from fsmd.config import MODELS
from studies.definition import Above, Claim, Study, named

_BASE = replace(MODELS["fsmd"], layers=(256, 128))
_ARMS = (
    ("fsmd", _BASE),
    ("bias_tower", replace(_BASE, bias_fields=("hour",))),
    ("dae", replace(_BASE, pretrain="dae")),
    ("fm_per_task", replace(_BASE, fm="per_task")),
    ("bottom_first", replace(_BASE, bottom=(128,))),
)

STUDY = Study(
    name="extras",
    title="Options beside FSMD",
    question="Does any option that the paper leaves without an experiment improve on FSMD?",
    factor="variant",
    base=_BASE,
    arms=named(_ARMS, "variant", _BASE),
    reference="fsmd",
    claims=(
        Claim(
            id="extras-bias",
            text="A shallow tower against selection bias helps the click task.",
            source="Section II.C, without an experiment",
            rules=(Above("click", "bias_tower", "fsmd"),),
        ),
        Claim(
            id="extras-dae",
            text="Embeddings from a denoising auto-encoder over all fields help on the mean.",
            source="Section II.C, without an experiment",
            rules=(Above("mean", "dae", "fsmd"),),
        ),
    ),
    about="",
)
