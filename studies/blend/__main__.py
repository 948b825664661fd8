"""python -m studies.blend MODEL: search how the tasks' probabilities make one score."""

import studies.start  # noqa: F401  # isort: skip  (first: nothing may shadow what follows)
import sys

from studies.blend.commands import main

if __name__ == "__main__":
    sys.exit(main())
