"""The data of a last training: with nothing left to choose, validation rows are trained on too.

The encoder stays the one that was fitted on train, so that all models of a study read rows alike.
"""

import json
import shutil
from pathlib import Path

from filelock import FileLock

from fsmd.config import digest
from fsmd.data.encoded import DIGESTS, FACTS, fault_of, open_encoded, seal
from fsmd.data.files import cache_root, writing_cache
from fsmd.data.schema import Dataset
from fsmd.data.storing import Growing, pieces
from fsmd.writing import replacing

TRAIN_AND_VALIDATION = "train+validation"
_TRAIN = "train_"
_NUMBERED = ("train_users",)
"""Left out: each split numbers them anew, and no half is drawn of all rows."""


def with_validation(data: Dataset) -> Dataset:
    """The data set whose train rows are those of train, then those of validation.

    It lies in the cache beside the other, made now if it never was. Figures on its validation rows
    say nothing, as they were trained on.
    """
    content = digest({"of": data.content_hash, "train": TRAIN_AND_VALIDATION})
    folder = cache_root() / "encoded" / f"{data.path.name}-{content[:16]}"
    if fault_of(folder) is not None:
        with writing_cache():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                if fault_of(folder) is not None:
                    with replacing(folder) as fresh:
                        fresh.mkdir()
                        _write(data.path, fresh, content)
    return open_encoded(folder, data.name)


def _write(before: Path, folder: Path, content: str) -> None:
    for path in sorted(before.iterdir()):
        if path.name not in (FACTS, DIGESTS) and not path.name.startswith(_TRAIN):
            shutil.copyfile(path, folder / path.name)
    with Growing(folder) as arrays:
        of_train = (p for p in before.glob(f"{_TRAIN}*.npy") if p.stem not in _NUMBERED)
        for path in sorted(of_train):
            for split in (path, path.with_name(f"valid_{path.name.removeprefix(_TRAIN)}")):
                for piece in pieces(split):
                    arrays.append(path.stem, piece)
    facts = json.loads((before / FACTS).read_text("utf-8"))
    users = [split for split in facts["users"] if f"{split}_users" not in _NUMBERED]
    text = json.dumps({**facts, "users": users, "content_hash": content}, indent=1)
    (folder / FACTS).write_text(text, "utf-8")
    seal(folder, {})
