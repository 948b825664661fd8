"""The descriptions that come with the toolkit: the files of fsmd/data/catalog, by their stem."""

from pathlib import Path

from fsmd.errors import UserError, alternatives

FOLDER = Path(__file__).parents[1] / "catalog"


def names() -> tuple[str, ...]:
    """All of them, in order of the alphabet."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def path_of(name: str) -> Path:
    """The file of a name; UserError that lists the names for another."""
    if name not in names():
        raise UserError(f"no description {name!r} in the catalog{alternatives(name, names())}")
    return FOLDER / f"{name}.toml"
