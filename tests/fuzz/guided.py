"""python -m tests.fuzz.guided [options of libFuzzer]: bytes of a description, led by coverage.

Needs atheris, which nothing else does (`pip install atheris`). It begins with the known ones, and
ends at the first fault, or after `-max_total_time=SECONDS`.
"""

import sys
import tempfile
from pathlib import Path


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["fsmd.data.description", "tomllib"]):
        from fsmd.data.description.toml import parse
    from tests.fuzz.described import SEEDS
    from tests.fuzz.rule import asked

    with tempfile.TemporaryDirectory() as place:
        path = Path(place, "dataset.toml")
        for i, seed in enumerate(SEEDS):
            Path(place, str(i)).write_text(seed, "utf-8")

        def one(content: bytes) -> None:
            asked(lambda: parse(content.decode("utf-8", "replace"), path))

        atheris.Setup([*sys.argv, place], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
