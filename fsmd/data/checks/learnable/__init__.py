"""Data that cannot be learnt from honestly is an error, not a perfect score."""

from fsmd.data.checks.check import Check
from fsmd.data.checks.learnable.labels import Labels
from fsmd.data.checks.learnable.leaks import Leaks
from fsmd.data.checks.learnable.recipe import check_recipe
from fsmd.data.source import Recipe

__all__ = ["check_recipe", "refusing"]


def refusing(recipe: Recipe) -> tuple[Check, ...]:
    """All checks that refuse a data set."""
    return Labels(recipe), Leaks(recipe)
