"""Learning curves of a whole grid, for comparing search strategies by replay.

`python -m studies.record` runs it with every epoch trained and keeps the curves as one file.
"""

from dataclasses import replace

from fsmd.config import MODELS, TOWER_SHAPES
from studies.definition import Factor, Study, factorial

STUDY = Study(
    name="curves",
    title="Learning curves of a grid",
    question="Which search finds a good front soonest? (the material for nox -s bench_search)",
    factor="tower shape / gate depth / expert count / learning rate / dropout",
    base=replace(MODELS["fsmd"], layers=(64, 32), tower_depth=3, tower_width=64),
    arms=factorial(
        (
            Factor("tower_shape", tuple(TOWER_SHAPES)),
            Factor("gate_depth", (1, 2, 3, 4)),
            Factor("expert_count", (2, 4, 6, 8, 10)),
            Factor("learning_rate", (0.0005, 0.002)),
            Factor("dropout", (0.3,)),
        )
    ),
    reference="decreasing / 1 / 8 / 0.002 / 0.3",
    about="",
)
