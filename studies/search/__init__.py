"""Searches: what to try next, how far to train it, what to confirm, and what was tried."""

from studies.search.halving import MultiObjectiveHalving

__all__ = ["MultiObjectiveHalving"]
