"""python -m studies.export STUDY: train the chosen configuration again and write its folder."""

import studies.start  # noqa: F401  # isort: skip  (first: nothing may shadow what follows)
import sys

from studies.export.command import main

if __name__ == "__main__":
    sys.exit(main())
