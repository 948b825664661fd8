"""The search for the front of all tasks of a data set."""

from studies.definition import Search

SEARCH = Search(
    name="pareto",
    title="Architecture search for all tasks",
    question=(
        "Which architectures are on the front of the tasks, and does it hold on fresh seeds?"
    ),
    space="paper",
    objectives=("tasks",),
)
