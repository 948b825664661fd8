"""What is written for later and read again: caches, checkpoints, models, plans."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

import fsmd
from fsmd.callbacks import CheckpointFile, ChosenWeights, Curve
from fsmd.config import MODELS
from fsmd.data.encoded import DIGESTS, open_encoded, seal
from fsmd.module import FSMDModule
from fsmd.saved.head import CHECKSUMS, seal_model
from fsmd.saved.model import save_model
from fsmd.scorer import Scorer
from fsmd.selection import Selection
from fsmd.training import DivergedError, Training, train
from studies.auto.file import read_plan
from tests.fuzz.changes import EDITS, LEAF_EDITS, Edit, altered, edited, mostly
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


def _packed_anew(content: bytes, which: int, edits: list[Edit]) -> bytes:
    """A checkpoint of which one part is another, as its list of contents has it."""
    fresh = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(fresh, "w") as new:
        names = old.namelist()
        parts = [name for name in names if name.endswith("data.pkl")] * len(names) + names
        for name in names:
            part = old.read(name)
            new.writestr(name, edited(part, edits) if name == parts[which % len(parts)] else part)
    return fresh.getvalue()


@contextmanager
def _checkpoint(place: Path) -> Iterator[Check]:
    """Changed, packed anew around a changed part, of another training: what is taken, goes on."""
    data = fsmd.load("planted:rows=600")
    config = replace(MODELS["mmoe"], batch_size=256, layers=(8,))
    own = replace(Training.on(data, config), epochs=2)
    wider = replace(Training.on(data, replace(config, layers=(6,))), epochs=2)
    others = (own, replace(own, seed=1), wider)
    path, contents = place / "whole.ckpt", list[bytes]()
    for each in others:
        train(each, checkpoint=path, until=1)
        contents.append(path.read_bytes())
        path.unlink()
    tasks = data.schema.tasks
    module = FSMDModule.create(config, data.schema, own.seed, own.runtime.precision)

    def check(case: tuple[int, bool, int, list[Edit]]) -> str:
        of, packed, which, edits = case
        change = partial(_packed_anew, which=which) if packed else edited
        path.write_bytes(change(contents[of], edits=edits))
        curve = Curve()
        chosen = ChosenWeights(Selection.of(tasks, False, 2, None), curve)
        found: list[bool] = []
        file = CheckpointFile(own, path)
        asked(lambda: found.append(file.read(curve, chosen, module=module, by_lightning=True)))
        assert found == [True] or curve.epochs == 0, "half of a checkpoint was taken"
        assert found == [False] or of == 0, "another training's was taken"
        if found == [True] and packed and path.read_bytes() != contents[0]:
            with suppress(DivergedError):  # a weight may be any number
                asked(lambda: train(own, checkpoint=path))
        path.unlink(missing_ok=True)
        return "done" if found == [True] else "refused"

    yield check


CHECKPOINTS = st.tuples(
    mostly(st.just(0), st.sampled_from((1, 2))), st.booleans(), st.integers(0, 10**6), EDITS
)


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
    "checkpoints": Target(CHECKPOINTS, _checkpoint, 12, 6_000),
    "models": Target(FILE_CASES, _model, 40, 6_000),
    "plans": Target(st.tuples(EDITS, LEAF_EDITS, st.booleans()), _plan, 40, 5_000),
}
