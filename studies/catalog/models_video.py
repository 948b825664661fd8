"""Table IV and Fig. 10: the paper's models on a video log, PLE and baselines."""

from dataclasses import replace

from fsmd.config import MODELS
from studies.definition import (
    VIDEO,
    Above,
    Best,
    Claim,
    NotEverywhere,
    Study,
    Trades,
    baselines,
    models,
)

_BASE = replace(MODELS["base"], layers=(256, 128))
PAPER = ("single_task", "deepfm", "shared_bottom", "esmm", "mmoe", "base", "fg", "fs", "fsmd")
_OTHERS = tuple(name for name in PAPER if name not in ("base", "fs", "fsmd"))

STUDY = Study(
    name="models_video",
    title="Models on a video log",
    question="Which model serves click and long view best, and which trade one for the other?",
    factor="model",
    base=_BASE,
    arms=(*models((*PAPER, "ple"), _BASE), *baselines(("constant", "logistic", "trees"))),
    reference="base",
    figure="Table IV and Fig. 10",
    claims=(
        Claim(
            id="table4-fsmd-best",
            text="FSMD is best on both tasks.",
            source="Section IV.B.a, Table IV",
            rules=(Best("click", "fsmd", among=PAPER), Best("long_view", "fsmd", among=PAPER)),
        ),
        Claim(
            id="fig10-gain",
            text="FS and FSMD gain on both tasks over Base.",
            source="Section IV.B.a, Fig. 10",
            rules=tuple(
                Above(target, arm, "base")
                for arm in ("fs", "fsmd")
                for target in ("click", "long_view")
            ),
        ),
        Claim(
            id="fig10-no-gain",
            text="No other model gains on both tasks over Base.",
            source="Section IV.B.a, Fig. 10",
            rules=tuple(NotEverywhere(arm, "base") for arm in _OTHERS),
        ),
        Claim(
            id="fig10-trade",
            text="Against Base, every other model trades one task for the other.",
            source="Section IV.B.a, Fig. 10",
            rules=tuple(Trades(arm, "base") for arm in _OTHERS),
        ),
    ),
    data="kuairand",
    about=VIDEO,
)
