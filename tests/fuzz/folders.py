"""What is written for later and read again: caches, checkpoints, models, plans."""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import fsmd
from fsmd.callbacks import CheckpointFile, ChosenWeights, Curve
from fsmd.config import MODELS
from fsmd.data.encoded import DIGESTS, open_encoded, seal
from fsmd.saved.head import CHECKSUMS, seal_model
from fsmd.saved.model import save_model
from fsmd.scorer import Scorer
from fsmd.selection import Selection
from fsmd.training import Training, train
from studies.auto.file import read_plan
from tests.fuzz.changes import EDITS, LEAF_EDITS, Edit, altered, edited
from tests.fuzz.rule import asked
from tests.fuzz.target import DATA, Check, Target
from tests.made_up.model_folders import untrained
from tests.test_auto import small_plan

FILE_CASES = st.tuples(st.integers(0, 10**6), st.booleans(), EDITS, LEAF_EDITS, st.booleans())
"""(which file, sealed anew, changes of bytes, changes of JSON, which of the two)."""


def changed(content: bytes, edits: list[Edit], leaves: list[Any], as_json: bool) -> bytes:
    if as_json and content[:1] in b"{[":
        return json.dumps(altered(json.loads(content), leaves)).encode()
    return edited(content, edits)


def _of_folder(
    whole: Path, list_file: str, sealing: Callable[[Path], None], opening: Callable[[Path], object]
) -> Check:
    """A folder with one of its files changed; it is whole again afterwards."""
    names = sorted(path.name for path in whole.iterdir())
    contents = {name: (whole / name).read_bytes() for name in names}

    def check(case: tuple[int, bool, list[Edit], list[Any], bool]) -> str:
        which, sealed, edits, leaves, as_json = case
        name = names[which % len(names)]
        (whole / name).write_bytes(changed(contents[name], edits, leaves, as_json))
        if sealed and name != list_file:
            (whole / list_file).unlink()
            sealing(whole)
        told = asked(lambda: opening(whole))
        if not sealed and name != list_file and (whole / name).read_bytes() != contents[name]:
            assert told == "refused", f"{name} was changed, and nobody noticed"
        for each in (name, list_file):
            (whole / each).write_bytes(contents[each])
        return told

    return check


@contextmanager
def _cache(place: Path) -> Iterator[Check]:
    whole = place / "whole"
    shutil.copytree(fsmd.load("planted:rows=600").path, whole)
    yield _of_folder(whole, DIGESTS, lambda path: seal(path, {}), open_encoded)


@contextmanager
def _model(place: Path) -> Iterator[Check]:
    whole = place / "model"
    save_model(untrained(DATA, score="click * long_view"), whole)
    yield _of_folder(whole, CHECKSUMS, seal_model, lambda path: Scorer.load(path, "onnx"))


@contextmanager
def _checkpoint(place: Path) -> Iterator[Check]:
    data = fsmd.load("planted:rows=600")
    training = replace(Training.on(data, replace(MODELS["mmoe"], batch_size=256)), epochs=2)
    path = place / "whole.ckpt"
    train(training, checkpoint=path, until=1)
    content = path.read_bytes()
    tasks = data.schema.tasks

    def check(edits: list[Edit]) -> str:
        path.write_bytes(edited(content, edits))
        curve = Curve()
        chosen = ChosenWeights(Selection.of(tasks, False, 2, None), curve)
        found: list[bool] = []
        asked(lambda: found.append(CheckpointFile(training, path).read(curve, chosen)))
        assert found == [True] or curve.epochs == 0, "half of a checkpoint was taken"
        return "done" if found == [True] else "refused"

    yield check


@contextmanager
def _plan(place: Path) -> Iterator[Check]:
    path = small_plan(place / "plan.json")
    text = path.read_bytes()

    def check(case: tuple[list[Edit], list[Any], bool]) -> str:
        path.write_bytes(changed(text, *case))
        return asked(lambda: read_plan(path))

    yield check


TARGETS: Mapping[str, Target] = {
    "caches": Target(FILE_CASES, _cache, 40, 6_000),
    "checkpoints": Target(EDITS, _checkpoint, 40, 6_000),
    "models": Target(FILE_CASES, _model, 40, 6_000),
    "plans": Target(st.tuples(EDITS, LEAF_EDITS, st.booleans()), _plan, 40, 5_000),
}
