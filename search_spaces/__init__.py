"""What may vary, and what a search may choose from."""

Value = str | int | float | bool
"""A point on an axis; what Optuna's categorical axes can hold."""
