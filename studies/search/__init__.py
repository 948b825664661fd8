"""Searches: what to try next, how far to train it, what to confirm, and what was tried."""

from studies.search.attempt import Attempt, AttemptState, read_attempts
from studies.search.run import SearchOutcome, check_search, run_search, search_mirror

__all__ = [
    "Attempt",
    "AttemptState",
    "SearchOutcome",
    "check_search",
    "read_attempts",
    "run_search",
    "search_mirror",
]
