"""One score of several tasks: its exponents, searched on validation: `python -m studies.blend`."""

from studies.blend.commands import main

__all__ = ["main"]
