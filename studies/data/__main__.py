"""python -m studies.data COMMAND: describe, check and convert logs, and name the known ones."""

import studies.start  # noqa: F401  # isort: skip  (first: nothing may shadow what follows)
import sys

from studies.data.commands import main

if __name__ == "__main__":
    sys.exit(main())
