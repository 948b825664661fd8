"""What is a gzip: by its first bytes, whatever its name."""

from pathlib import Path

GZIP = b"\x1f\x8b"
"""What a gzip begins with."""


def is_packed(path: Path) -> bool:
    """Whether a file is one."""
    with path.open("rb") as file:
        return file.read(2) == GZIP
