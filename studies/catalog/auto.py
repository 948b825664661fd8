"""The best model within a time: baselines, a search, and fresh seeds for what came out best."""

from studies.auto.plan import AutoPlan
from studies.definition import Search

SEARCH = Search(
    name="auto",
    title="What to use, found within a time",
    question="Which model should be used on this data, and is it worth more than a simple one?",
    space="full",
    objectives=("tasks",),
    sampler="random",
    pruner="none",
    auto=AutoPlan(),
)
