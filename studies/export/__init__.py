"""From a stored study or search to a model that scores new rows: `python -m studies.export`."""

from studies.export.command import main

__all__ = ["main"]
