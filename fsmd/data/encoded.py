"""Opening an encoded data set: its arrays are mapped into memory. Loads no pandas."""

import json
from pathlib import Path

import numpy as np

from fsmd.data.schema import Dataset, Schema, Split
from fsmd.data.settings import TrainingSettings

FACTS = "schema.json"
ENCODER = "encoder.json"
SPLITS = ("train", "valid", "test")


def open_encoded(path: Path, name: str | None = None) -> Dataset:
    """Map an encoded folder into memory; `name`: as the data set was asked for."""
    facts = json.loads((path / FACTS).read_text("utf-8"))
    schema = Schema.from_dict(facts["schema"])
    units = path / "test_units.npy"
    return Dataset(
        name=name or schema.name,
        schema=schema,
        **{split: _split(path, split, schema.weighted) for split in SPLITS},
        test_unseen=_mapped(path / "test_unseen.npy"),
        test_units=_mapped(units) if units.exists() else None,
        content_hash=facts["content_hash"],
        path=path,
        reachable=facts["reachable"],
        settings=TrainingSettings.from_dict(facts["settings"]),
    )


def _split(path: Path, split: str, weighted: bool) -> Split:
    parts = ("ids", "dense", "labels", *(("weights",) if weighted else ()))
    return Split(*(_mapped(path / f"{split}_{part}.npy") for part in parts))


def _mapped(path: Path) -> np.memmap:
    # Copy on write: torch wants writable memory, and nobody writes.
    array: np.memmap = np.load(path, mmap_mode="c")
    return array
