"""Libraries that only some baselines need."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from fsmd.errors import UserError

BOOSTING = ("lightgbm", "catboost")
"""Kinds that cannot be trained without the library of their name."""


def check_library(kind: str) -> None:
    """Raise UserError for a baseline whose library is not installed."""
    if kind in BOOSTING and find_spec(kind) is None:
        raise _missing(kind, "it is not installed")


def library(name: str) -> Any:
    """A library by its name; UserError where it is not installed."""
    try:
        return import_module(name)
    except ImportError as error:
        raise _missing(name, str(error)) from error


def _missing(name: str, why: str) -> UserError:
    return UserError(
        f"the baseline {name} needs the library {name} ({why}): pip install 'fsmd[boosting]', or "
        "take the baseline trees"
    )
