"""From the files of a log to a description of it that studies run on: `python -m studies.data`."""

from studies.data.commands import main

__all__ = ["main"]
