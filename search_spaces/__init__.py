"""What may vary, and what a search may choose from."""

Level = str | int | float | bool
"""A value of an axis; what Optuna's categorical axes can hold."""
