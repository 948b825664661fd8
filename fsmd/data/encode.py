"""From parts of a log to arrays on disk. All that is fitted is fitted on train (`fitting`).

They lie in a folder named by a digest of the source's content, the recipe and this code. The
source is read once: rows are kept as codes until all categories are known, then they become ids.
Suffixes: N rows, C columns of ids, D of numbers, K tasks.
"""

import hashlib
import json
import os
import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from filelock import FileLock
from numpy.typing import NDArray
from scipy.special import logit

from fsmd.config import digest
from fsmd.data.checks.learnable import check_recipe, refusing
from fsmd.data.checks.remarks import Encodings, encodings_of, remarks
from fsmd.data.encoded import ENCODER, FACTS, SPLITS, fault_of, open_encoded, seal, sha256
from fsmd.data.encoder import Encoder
from fsmd.data.files import cache_root, writing_cache
from fsmd.data.fitting.fitting import Fitting, ToIds
from fsmd.data.fitting.hashing import Hashes64, encoded_hashes
from fsmd.data.progress import told
from fsmd.data.rows.part import Part
from fsmd.data.schema import Dataset
from fsmd.data.source import Recipe, Source
from fsmd.data.storing import Growing, pieces, rewritten, store, whole
from fsmd.errors import UserError
from fsmd.metrics import METRICS, measured
from fsmd.notices import say
from fsmd.writing import replacing


class Role(NamedTuple):
    """Whose numbers are kept, as `Part` has them, and of which splits."""

    codes: str
    splits: tuple[str, ...]


ROLES = {
    "users": Role("user_N", SPLITS),
    "requests": Role("request_N", ("valid", "test")),
    "items": Role("item_N", ("valid", "test")),
}
_USUAL_MEMORY = 2**32  # bytes, where the machine does not tell how many it has


def encoded(
    source: Source, name: str | None = None, file: str | None = None, memory: int | None = None
) -> Dataset:
    """The source's data set, encoded now if it never was.

    name: as it was asked for. file: where the source is written, another text is another encoding.
    memory: bytes that fitting may take; None: a quarter of the machine's.

    Raises UserError for data that cannot be learnt from honestly (see `checks`).
    """
    check_recipe(source.recipe)
    key = {"source": dict(source.key), "recipe": asdict(source.recipe), "code": _code(file)}
    shown = re.sub(r"[^\w.-]", "-", source.recipe.name)[:40]  # no name leads out of the cache
    folder = cache_root() / "encoded" / f"{shown}-{digest(key)[:16]}"
    if fault_of(folder) is not None:
        with writing_cache():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                fault = fault_of(folder)  # another process may have made it while we waited
                if fault is not None:
                    if os.path.lexists(folder):
                        say(f"{folder} is not as it was written ({fault}): encoded anew")
                    with replacing(folder) as fresh:
                        fresh.mkdir()
                        write_encoded(source, fresh, memory or quarter_of_machine())
    return open_encoded(folder, name)


def _code(file: str | None) -> str:
    """The text of all that arrays come from: this folder without other data sets and without
    checks that refuse none, and the data set's own file."""
    here = Path(__file__).parent
    of_rows = sorted(p for p in here.rglob("*.py") if p.parent.name not in ("checks", "sets"))
    files = [*of_rows, *([Path(file)] if file else [])]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def quarter_of_machine() -> int:
    """Bytes of memory."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4
    except (AttributeError, ValueError, OSError):
        return _USUAL_MEMORY


def write_encoded(source: Source, folder: Path, memory: int) -> None:
    """Write a whole encoded data set into an empty folder, and what waits meanwhile beside it."""
    recipe, scratch = source.recipe, folder.with_name("scratch")
    users_of_train = scratch / "train_users.npy"
    scratch.mkdir()
    fitting = Fitting(recipe, memory // 2, scratch / "words")
    kept = _store(source, fitting, folder, scratch)
    encoder, to_ids = fitting.settled()
    found, unseen_N = _settle(encoder, to_ids, folder, scratch)
    for line in remarks(encoder, found):
        say(line)
    store(folder / "test_unseen.npy", unseen_N)
    roles = [name for name in kept.roles if not name.startswith("train")]
    for name in roles:
        store(folder / f"{name}.npy", groups(whole(scratch / f"{name}.npy")))
    if "train_users" in kept.roles and _are_others(scratch / "test_users.npy", users_of_train):
        numbered(users_of_train, folder)
        roles.append("train_users")
    digests = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    schema = encoder.schema(kept.masked, kept.weighted)
    facts = {
        "schema": asdict(schema),
        "content_hash": digest({"schema": asdict(schema), "arrays": digests}),
        **{each: [split for split in SPLITS if f"{split}_{each}" in roles] for each in ROLES},
        "reachable": _reachable(recipe, folder, scratch) if kept.truth else None,
        "settings": asdict(recipe.settings),
    }
    (folder / FACTS).write_text(json.dumps(facts, indent=1), "utf-8")
    encoder = replace(encoder, inputs=source.inputs or encoder.inputs)
    (folder / ENCODER).write_text(encoder.to_json(), "utf-8")
    seal(folder, digests)


class _Kept(NamedTuple):
    """What was there to store."""

    masked: bool
    weighted: bool
    truth: bool
    roles: tuple[str, ...]
    """Names of the arrays of users, requests and items."""


def _store(source: Source, fitting: Fitting, folder: Path, scratch: Path) -> _Kept:
    """Write all rows, their categories as codes.

    Raises UserError for the first error of the checks that refuse.
    """
    recipe, masked = source.recipe, False
    checks = refusing(recipe)
    with (
        Growing(folder) as arrays,
        Growing(scratch) as waiting,
        told(f"reading {recipe.name}") as advance,
    ):
        for part in map(coded, source.parts()):
            for check in checks:
                check.see(part)
            code_NC, number_ND = fitting.see(part)
            arrays.append(f"{part.split}_ids", code_NC)
            waiting.append(f"{part.split}_numbers", number_ND)
            arrays.append(f"{part.split}_labels", part.label_NK.astype(np.float32))
            masked = masked or bool(np.isnan(part.label_NK).any())
            if part.weight_N is not None:
                arrays.append(f"{part.split}_weights", part.weight_N.astype(np.float32))
            for role, of_role in ROLES.items():
                code_N = getattr(part, of_role.codes)
                if code_N is not None and part.split in of_role.splits:
                    waiting.append(f"{part.split}_{role}", code_N)
            if part.truth_NK is not None:
                waiting.append("truth", part.truth_NK)
            advance(len(code_NC))
        for finding in (each for check in checks for each in check.findings()):
            if finding.level == "error":
                raise UserError(finding.text)
        roles = tuple(
            n for n in sorted(waiting.names) if n.endswith(tuple(f"_{r}" for r in ROLES))
        )
        weighted = "train_weights" in arrays.names
        return _Kept(masked, weighted, "truth" in waiting.names, roles)


def _settle(
    encoder: Encoder, to_ids: tuple[ToIds, ...], folder: Path, scratch: Path
) -> tuple[dict[str, Encodings], NDArray[np.bool_]]:
    """Turn codes into ids and numbers into scaled ones: counts by split, and `test_unseen`."""
    found: dict[str, Encodings] = {}
    edges = np.cumsum([0, *(v.length for v in encoder.vocabularies)])
    hashes: list[Hashes64] = []
    seen: _Seen | None = None
    with Growing(folder) as arrays, told(f"encoding {encoder.name}") as advance:
        for split in reversed(SPLITS):
            if split == "train":
                seen = _Seen(np.concatenate(hashes))
            numbers = pieces(scratch / f"{split}_numbers.npy")
            ids = rewritten(folder / f"{split}_ids.npy")
            for id_NC, number_ND in zip(ids, numbers, strict=True):
                for c, of_codes in enumerate(to_ids):
                    these = slice(edges[c], edges[c + 1])
                    id_NC[:, these] = of_codes(id_NC[:, these])
                number_DN = np.ascontiguousarray(number_ND.T)
                by_name = {s.name: n for s, n in zip(encoder.scales, number_DN, strict=True)}
                dense_ND = encoder.scaled(by_name, len(id_NC))
                arrays.append(f"{split}_dense", dense_ND)
                counts = encodings_of(encoder, id_NC, dense_ND)
                found[split] = found[split] + counts if split in found else counts
                if split == "test":
                    hashes.append(encoded_hashes(id_NC, dense_ND))
                elif seen is not None:
                    seen.see(encoded_hashes(id_NC, dense_ND))
                advance(len(id_NC))
    assert seen is not None
    return found, seen.unseen()


class _Seen:
    """Which of some hashes come by among others, in memory of the former's size."""

    def __init__(self, hash_N: Hashes64) -> None:
        self._hash_U, self._of_row_N = np.unique(hash_N, return_inverse=True)
        self._seen_U = np.zeros(len(self._hash_U), bool)
        # Most of the others are told apart by their last bits, without a search.
        self._bits = np.uint64(2 ** (16 * len(self._hash_U)).bit_length() - 1)
        self._mark = np.zeros(int(self._bits) + 1, bool)
        self._mark[self._hash_U & self._bits] = True

    def see(self, hash_N: Hashes64) -> None:
        hash_N = hash_N[self._mark[hash_N & self._bits]]
        at_N = np.searchsorted(self._hash_U, hash_N).clip(max=len(self._hash_U) - 1)
        self._seen_U[at_N[self._hash_U[at_N] == hash_N]] = True

    def unseen(self) -> NDArray[np.bool_]:
        return ~self._seen_U[self._of_row_N]


def coded(part: Part) -> Part:
    """The part with each text as its place in a list of distinct ones, for all that counts."""
    columns = [
        column.dictionary_encode() if pa.types.is_string(column.type) else column
        for column in part.fields.columns
    ]
    return part._replace(
        fields=pa.RecordBatch.from_arrays(columns, names=part.fields.schema.names)
    )


def groups(code_N: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Numbers from 0 that are equal where the codes are."""
    return np.unique(code_N, return_inverse=True)[1].astype(np.uint32)


def _are_others(of_test: Path, of_train: Path) -> bool:
    """Whether most test rows are of users that no row of train is of."""
    seen = _Seen(whole(of_test))
    for code_N in pieces(of_train):
        seen.see(code_N)
    return bool(seen.unseen().mean() > 0.5)


def numbered(path: Path, folder: Path) -> None:
    """Write as `groups` of all rows of a file, in memory of the distinct codes alone."""
    code_U = np.empty(0, np.uint64)
    for code_N in pieces(path):
        code_U = np.union1d(code_U, code_N)
    with Growing(folder) as arrays:
        for code_N in pieces(path):
            arrays.append(path.stem, np.searchsorted(code_U, code_N).astype(np.uint32))


def _reachable(recipe: Recipe, folder: Path, scratch: Path) -> dict[str, float]:
    """Each task's metric of the true probabilities on test."""
    truth_NK = whole(scratch / "truth.npy")
    label_NK = whole(folder / "test_labels.npy")
    weights = folder / "test_weights.npy"
    weight_N = whole(weights) if weights.exists() else None
    files = {name: folder / f"test_{name}s.npy" for name in ("user", "request")}
    groups = {name: whole(file) for name, file in files.items() if file.exists()}
    best = {
        task.name: measured(
            METRICS[task.metric], logit(truth_NK[:, k]), label_NK[:, k], weight_N, groups
        )
        for k, task in enumerate(recipe.tasks)
    }
    return {
        name: value for name, value in best.items() if value is not None and np.isfinite(value)
    }
