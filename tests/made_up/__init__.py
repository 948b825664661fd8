"""Made-up studies and searches: stored as the real ones are, without any training.

Their figures are drawn from seeds and plausible. With test rows (`rows=300`), labels and scores
are stored too, and each stored test figure is the metric of the stored scores.
"""

from tests.made_up.databases import fresh_engine
from tests.made_up.definitions import counts, grid, knob, many, models, small_grid, towers
from tests.made_up.searches import drawn_points, grid_points, paper_points, store_search
from tests.made_up.studies import store_study
from tests.made_up.tasks import CENSUS, MIXED, tasks
from tests.made_up.trainings import FAILURE

__all__ = [
    "CENSUS",
    "FAILURE",
    "MIXED",
    "counts",
    "drawn_points",
    "fresh_engine",
    "grid",
    "grid_points",
    "knob",
    "many",
    "models",
    "paper_points",
    "small_grid",
    "store_search",
    "store_study",
    "tasks",
    "towers",
]
