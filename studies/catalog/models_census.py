"""Table II: the paper's models on Census-Income, two that it shows elsewhere, and baselines."""

from dataclasses import replace

from fsmd.config import MODELS
from studies.definition import CENSUS, Above, Best, Claim, Study, baselines, models

_BASE = replace(MODELS["base"], layers=(512, 256))
PAPER = ("single_task", "shared_bottom", "mmoe", "ple", "base", "fg", "fs")
SIMPLE = ("constant", "logistic", "trees")

STUDY = Study(
    name="models_census",
    title="Models on Census-Income",
    question="Which model serves both tasks of Census-Income best, and does FS lead?",
    factor="model",
    base=_BASE,
    arms=(*models((*PAPER, "deepfm", "wide_deep"), _BASE), *baselines(SIMPLE)),
    reference="base",
    figure="Table II",
    claims=(
        Claim(
            id="table2-fs-ple",
            text="FS beats PLE on income.",
            source="Section IV.A, Table II",
            rules=(Above("income", "fs", "ple"),),
        ),
        Claim(
            id="table2-fs-base",
            text="FS beats Base on both tasks.",
            source="Section IV.A, Table II",
            rules=(Above("income", "fs", "base"), Above("marital", "fs", "base")),
        ),
        Claim(
            id="table2-fs-best",
            text="FS has the best mean AUC of the table's models.",
            source="Section IV.A, Table II",
            rules=(Best("mean", "fs", among=PAPER),),
        ),
    ),
    data="census",
    about=CENSUS,
    tasks=("income", "marital"),
)
