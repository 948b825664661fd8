"""Tasks and features that contradict each other, whatever the rows are."""

from fsmd.data.source import Recipe
from fsmd.errors import UserError
from fsmd.metrics import METRICS
from fsmd.tasks import check_tasks, names


def check_recipe(recipe: Recipe) -> None:
    """Raise UserError for tasks or features that contradict each other."""
    check_tasks(recipe.tasks)
    _check_groups(recipe)
    features = [column.name for column in recipe.features]
    if not features:
        raise UserError(f"{recipe.name}: there must be a feature, categorical or dense; got none")
    for name in features:
        if name in names(recipe.tasks):
            raise UserError(f"{recipe.name}: task {name!r} is among the features; remove it there")
        if features.count(name) > 1:
            raise UserError(f"{recipe.name}: feature {name!r} is named twice; remove one")
    if recipe.weight in names(recipe.tasks):
        raise UserError(
            f"{recipe.name}: the weight of a row must be no task; got {recipe.weight!r}"
        )
    for i, column in enumerate(recipe.categorical):
        before = [c.name for c in recipe.categorical[:i]]
        if column.share is not None and column.share not in before:
            raise UserError(
                f"{recipe.name}: {column.name!r} must share the ids of a categorical column "
                f"before it, of {', '.join(before) or 'which there is none'}; got {column.share!r}"
            )


def _check_groups(recipe: Recipe) -> None:
    """A task's metric may need users or requests."""
    named = {"user": recipe.user, "request": recipe.request}
    for task in recipe.tasks:
        metric = METRICS[task.metric]
        if metric.group and named[metric.group] is None:
            raise UserError(
                f"{recipe.name}: task {task.name!r} is judged by {metric.label}, which needs each "
                f"row's {metric.group}; say which column that is (role `{metric.group}`), or "
                "judge it by another metric"
            )
