"""Figs. 11 to 13 at once: the full factorial, for what one factor at a time cannot show."""

from dataclasses import replace

from fsmd.config import MODELS, TOWER_SHAPES
from studies.definition import VIDEO, Best, Claim, Factor, Study, factorial

STUDY = Study(
    name="architecture_grid",
    title="Tower shape x gate depth x expert count",
    question="Do the three choices depend on each other, and is the paper's triple the best?",
    factor="tower shape / gate depth / expert count",
    base=replace(MODELS["fsmd"], layers=(256, 128), tower_depth=3, tower_width=128),
    arms=factorial(
        (
            Factor("tower_shape", tuple(TOWER_SHAPES)),
            Factor("gate_depth", (1, 2, 3, 4, 5)),
            Factor("expert_count", (2, 4, 6, 8, 10, 12, 14)),
        )
    ),
    reference="diamond / 3 / 10",
    figure="Figs. 11 to 13",
    claims=(
        Claim(
            id="grid-best",
            text="The three winners together, diamond, 3 and 10, have the best mean AUC.",
            source="Section IV.B.b, Figs. 11 to 13, put together",
            rules=(Best("mean", "diamond / 3 / 10"),),
        ),
    ),
    about=VIDEO,
)
