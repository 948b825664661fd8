"""Encoding in parts: exact whatever parts and memory are; tags, hashes, scales, missing values."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.utils import murmurhash3_32

from fsmd import data
from fsmd.data.encode import encoded, write_encoded
from fsmd.data.encoder import Encoder, bucket_ids
from fsmd.data.fitting import words
from fsmd.data.fitting.hashing import text_hashes
from fsmd.data.fitting.numbers import Moments, RowSample
from fsmd.data.rows.frames import Tables, of_tables
from fsmd.data.rows.part import Part, taken
from fsmd.data.source import Categorical, Dense, Recipe, Source, Tags
from fsmd.errors import UserError
from fsmd.tasks import Task

SPLITS = ("train", "valid", "test")
RECIPE = Recipe(
    "toy",
    (
        Categorical("item", min_count=2),
        Categorical("city", buckets=5),
        Tags("seen", share="item", max_length=3, keep="end"),
        Tags("tags", max_length=2),
    ),
    (Dense("age"), Dense("price", "quantile"), Dense("size", "log", missing=3.0)),
    (Task("click"), Task("buy", after="click")),
    user="item",
)


def frame(seed: int, rows: int = 300) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    click = draw.integers(0, 2, rows)

    def lists(most: int) -> list[list[str | None] | None]:
        members = [*(f"w{w}" for w in range(most)), None]
        made = [
            [members[i] for i in draw.integers(0, len(members), draw.integers(0, 6))]
            for _ in range(rows)
        ]
        return [None if draw.random() < 0.1 else each for each in made]

    def holes(values: NDArray[Any]) -> pd.Series:
        return pd.Series(values, dtype=object).mask(draw.random(rows) < 0.2, None)

    return pd.DataFrame(
        {
            "item": holes(np.char.add("w", draw.integers(0, 150, rows).astype(str))),
            "city": holes(draw.integers(0, 30, rows)),
            "seen": lists(200),
            "tags": lists(5),
            "age": holes(draw.normal(40, 9, rows)),
            "price": draw.lognormal(2, 1, rows).round(1),
            "size": holes(draw.lognormal(1, 1, rows)),
            "click": click,
            "buy": click * draw.integers(0, 2, rows),
        }
    )


def tables() -> Tables:
    return Tables(frame(0), frame(1), frame(2))


def in_parts(source: Source, size: int) -> Source:
    """The same rows, so many at a time, the splits taking turns."""

    def parts() -> Iterator[Part]:
        pieces: list[tuple[int, Part]] = []
        for part in source.parts():
            rows = len(part.label_NK)
            for i in range(0, rows, size):
                pieces.append((i, taken(part, np.arange(i, min(i + size, rows)))))
        yield from (part for _, part in sorted(pieces, key=lambda piece: piece[0]))

    return replace(source, parts=parts)


class Written(NamedTuple):
    """An encoded folder, read."""

    encoder: Encoder
    arrays: dict[str, NDArray[Any]]
    facts: dict[str, Any]


def written(source: Source, memory: int = 2**30) -> Written:
    with TemporaryDirectory() as base:
        folder = Path(base, "new")
        folder.mkdir()
        write_encoded(source, folder, memory)
        return Written(
            Encoder.from_json((folder / "encoder.json").read_text("utf-8")),
            {path.stem: np.load(path) for path in folder.glob("*.npy")},
            json.loads((folder / "schema.json").read_text("utf-8")),
        )


def of(content: Tables, recipe: Recipe = RECIPE) -> Written:
    return written(of_tables(recipe, {}, lambda: content))


# --- parts and memory -----------------------------------------------------------------------


@pytest.mark.parametrize(("size", "memory"), [(1, 2**30), (40, 1), (128, 2**30)])
def test_parts_and_memory_change_no_number(
    size: int, memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = tables()
    want = of(content)
    monkeypatch.setattr(words, "_LEAST_WAITING", 20)
    monkeypatch.setattr(words, "_SHARES", 3)
    found = written(in_parts(of_tables(RECIPE, {}, lambda: content), size), memory)
    assert found.encoder.vocabularies == want.encoder.vocabularies
    for name, array in want.arrays.items():
        if name.endswith("dense"):  # sums of other parts are rounded otherwise
            np.testing.assert_allclose(found.arrays[name], array, atol=2e-6)
        else:
            np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)


def test_a_vocabulary_on_the_disk_is_the_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "_SHARES", 5)
    draw = np.random.default_rng(0)
    parts = [np.unique(draw.integers(0, 3000, 400), return_counts=True) for _ in range(12)]
    found = []
    for memory in (1, 2**30):
        tally = words.WordTally(memory, tmp_path / str(memory))
        codes = []
        for word_W, count_W in parts:
            codes.append(tally.codes(pa.array(word_W.astype(str)), count_W))
            tally._merge()
        kept, path = tally.settled(3)
        found.append((kept.to_pydict(), np.fromfile(path, np.int32)[np.concatenate(codes)]))
    (kept, ids), (other_kept, other_ids) = found
    assert kept == other_kept
    np.testing.assert_array_equal(ids, other_ids)
    total = np.bincount(
        np.concatenate([word_W for word_W, _ in parts]),
        np.concatenate([count_W for _, count_W in parts]),
    )
    want = sorted((w for w in range(3000) if total[w] >= 3), key=lambda w: (-total[w], str(w)))
    assert kept["word"] == [str(w) for w in want]
    position = {w: i + 2 for i, w in enumerate(want)}
    assert ids.tolist() == [position.get(w, 0) for word_W, _ in parts for w in word_W.tolist()]


@given(st.lists(st.lists(st.floats(-1e6, 1e6), max_size=20), min_size=1, max_size=6))
def test_moments_of_parts_are_those_of_the_whole(parts: list[list[float]]) -> None:
    moments = Moments()
    for part in parts:
        moments.see(np.array(part))
    whole = np.concatenate([np.array(part, float) for part in parts])
    assert moments.count == len(whole)
    if len(whole):
        assert moments.mean == pytest.approx(whole.mean(), rel=1e-9, abs=1e-6)
        assert moments.spread == pytest.approx(whole.std(), rel=1e-6, abs=1e-4)


def test_the_sampled_rows_are_the_same_in_any_parts_and_evenly_drawn() -> None:
    rows = np.arange(100_000.0)[:, None]
    samples = []
    for size in (100_000, 777):
        sample = RowSample(5000)
        for i in range(0, len(rows), size):
            sample.see(rows[i : i + size])
        samples.append(sample.rows())
    np.testing.assert_array_equal(samples[0], samples[1])
    assert len(samples[0]) == 5000
    assert samples[0].mean() == pytest.approx(50_000, rel=0.03)
    assert len(np.unique(samples[0] // 10_000)) == 10


def test_whatever_stops_the_reading_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSMD_CACHE", str(tmp_path))
    source = of_tables(RECIPE, {}, tables)

    def stopped() -> Iterator[Part]:
        yield next(source.parts())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encoded(replace(source, parts=stopped))
    assert [path for path in (tmp_path / "encoded").iterdir() if path.suffix != ".lock"] == []
    assert len(encoded(source).train) == 300


# --- categories ------------------------------------------------------------------------------


@given(st.lists(st.text(max_size=12), max_size=20))
@settings(deadline=None)
def test_hashes_of_texts_are_those_that_others_compute(texts: list[str]) -> None:
    want = [murmurhash3_32(text.encode(), positive=True) for text in texts]
    assert text_hashes(pa.array(texts, pa.string())).tolist() == want
    assert text_hashes(pa.array(["x", *texts], pa.string())[1:]).tolist() == want


def ids_of(found: Written, name: str, split: str) -> NDArray[Any]:
    first = 0
    for vocabulary in found.encoder.vocabularies:
        if vocabulary.name == name:
            return found.arrays[f"{split}_ids"][:, first : first + vocabulary.length]
        first += vocabulary.length
    raise KeyError(name)


def test_buckets_are_ids_from_2_on_and_a_missing_value_has_id_1() -> None:
    content = tables()
    found = of(content)
    assert found.facts["schema"]["categorical"][1]["cardinality"] == 7
    for split in SPLITS:
        column = getattr(content, split)["city"]
        texts = pa.array([None if v is None else str(v) for v in column])
        want = [
            1 if text is None else int(bucket_ids(pa.array([text]), 5)[0])
            for text in texts.to_pylist()
        ]
        assert ids_of(found, "city", split)[:, 0].tolist() == want


def test_tags_are_ids_of_their_members_padded_and_cut_at_one_end() -> None:
    content = tables()
    found = of(content)
    item, _, _, tags = found.encoder.vocabularies
    assert [field["length"] for field in found.facts["schema"]["categorical"]] == [1, 1, 3, 2]
    for split in SPLITS:
        for name, known, cut in (
            ("seen", item.words, slice(-3, None)),
            ("tags", tags.words, slice(2)),
        ):
            ids = ids_of(found, name, split)
            for row, members in zip(ids, getattr(content, split)[name], strict=True):
                want = [1]
                if members is not None:
                    there = [m for m in members if m is not None][cut]
                    want = [known.index(m) + 2 if m in known else 0 for m in there]
                assert row.tolist() == want + [-1] * (len(row) - len(want))


def test_of_tags_of_which_one_is_kept_a_list_without_any_is_a_missing_value() -> None:
    content = tables()
    recipe = replace(RECIPE, categorical=(Tags("tags", max_length=1),))
    found = of(content, recipe)
    members = content.train["tags"]
    is_empty_N = np.array([not any(m is not None for m in each or ()) for each in members])
    assert (is_empty_N & members.notna().to_numpy()).any()
    np.testing.assert_array_equal(ids_of(found, "tags", "train")[:, 0] == 1, is_empty_N)


def test_columns_that_share_ids_are_counted_together() -> None:
    content = tables()
    found = of(content)
    item, _, seen, _ = found.encoder.vocabularies
    assert (seen.words, seen.share) == ((), "item")
    counts = content.train["item"].value_counts().to_dict()
    for members in content.train["seen"].dropna():
        for member in [m for m in members if m is not None][-3:]:
            counts[member] = counts.get(member, 0) + 1
    assert set(item.words) == {word for word, count in counts.items() if count >= 2}
    fields = found.facts["schema"]["categorical"]
    assert fields[2]["share"] == "item"
    assert fields[2]["cardinality"] == fields[0]["cardinality"] == len(item.words) + 2
    recipe = replace(RECIPE, categorical=RECIPE.categorical[2:])
    with pytest.raises(UserError, match="'seen' must share the ids of a categorical column befo"):
        encoded(of_tables(recipe, {}, tables))


def test_a_missing_category_is_unseen_where_train_misses_none() -> None:
    content = tables()
    content.train["item"] = content.train["item"].fillna("w1")
    content.train["seen"] = [[] if v is None else v for v in content.train["seen"]]
    found = of(content)
    missing = content.valid["item"].isna().to_numpy()
    assert set(ids_of(found, "item", "valid")[missing, 0]) == {0}
    assert set(ids_of(found, "item", "train")[:, 0]) & {1} == set()


# --- numbers ---------------------------------------------------------------------------------


def number(found: Written, name: str, split: str) -> NDArray[Any]:
    return found.arrays[f"{split}_dense"][:, found.facts["schema"]["dense"].index(name)]


def test_a_missing_number_is_the_median_with_a_column_that_says_so() -> None:
    content = tables()
    found = of(content)
    assert found.facts["schema"]["dense"] == ["age", "age missing", "price", "size"]
    train = content.train["age"].astype(float)
    for split in SPLITS:
        column = getattr(content, split)["age"].astype(float)
        want = (column.fillna(train.median()) - train.mean()) / train.std(ddof=0)
        np.testing.assert_allclose(number(found, "age", split), want, atol=1e-5)
        np.testing.assert_array_equal(number(found, "age missing", split), column.isna())


def test_a_missing_number_may_be_a_value_or_be_refused() -> None:
    content = tables()
    filled = np.log1p(content.train["size"].astype(float).fillna(3.0))
    want = (filled - filled.mean()) / filled.std(ddof=0)
    np.testing.assert_allclose(number(of(content), "size", "train"), want, atol=1e-5)
    refusing = replace(RECIPE, dense=(Dense("age", missing="error"),))
    row = int(np.argmax(content.train["age"].isna()))
    with pytest.raises(UserError, match=rf"^toy, train, row {row} \(from 0\): .*none missing"):
        of(content, refusing)


def test_quantiles_are_the_share_of_train_below_as_a_standard_number() -> None:
    content = tables()
    found = of(content)
    train = number(found, "price", "train")
    assert train.mean() == pytest.approx(0, abs=1e-5)
    assert train.std() == pytest.approx(1, abs=1e-5)
    raw = content.train["price"].to_numpy()
    share = np.array([((raw < x).mean() + (raw <= x).mean()) / 2 for x in raw])
    want = (share - share.mean()) / share.std()
    np.testing.assert_allclose(train, want, atol=0.02)
    test = number(found, "price", "test")[np.argsort(content.test["price"])]
    assert (np.diff(test) >= 0).all()


def test_numbers_as_they_are_stay_as_they_are() -> None:
    content = tables()
    recipe = replace(RECIPE, dense=(Dense("price", "none"),))
    want = content.test["price"].astype("float32")
    np.testing.assert_array_equal(number(of(content, recipe), "price", "test"), want)


def test_an_encoder_from_its_file_encodes_the_fields_of_any_rows_alike() -> None:
    content = tables()
    found = of(content)
    for part in of_tables(RECIPE, {}, lambda: content).parts():
        ids, dense = found.encoder.transform(part.fields)
        np.testing.assert_array_equal(ids, found.arrays[f"{part.split}_ids"])
        np.testing.assert_array_equal(dense, found.arrays[f"{part.split}_dense"])
        last, _ = found.encoder.transform(part.fields.slice(299))
        np.testing.assert_array_equal(last, found.arrays[f"{part.split}_ids"][299:])


@pytest.mark.parametrize(
    "change",
    [
        lambda t: t.assign(tags=[["yes"] if c else ["no"] for c in t["click"]]),
        lambda t: t.assign(age=[1.0 if c else None for c in t["click"]]),
        lambda t: t.assign(item=[None if c else "w1" for c in t["click"]]),
    ],
    ids=["tags", "a missing number", "a missing category"],
)
def test_a_leak_by_tags_or_by_what_is_missing_is_refused(
    change: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    content = tables()
    with pytest.raises(UserError, match="alone gives task 'click' an AUC of 1"):
        of(replace(content, train=change(content.train)))


# --- descriptions ----------------------------------------------------------------------------


def test_a_description_is_loaded_by_its_path_with_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSMD_CACHE", str(tmp_path / "cache"))
    rows = 3000
    draw = np.random.default_rng(0)
    table = pd.DataFrame({"who": draw.integers(0, 50, rows), "x": draw.normal(size=rows).round(3)})
    table["click"] = (draw.random(rows) < 1 / (1 + np.exp(-table["x"]))).astype(int)
    table["day"] = np.arange(rows) // 30
    table.to_csv(tmp_path / "log.csv", index=False)
    path = tmp_path / "dataset.toml"
    path.write_text(
        """
[data]
name = "mine"
files = ["log.csv"]
[roles]
user = "who"
[fields]
who = "category"
x = "number"
[tasks]
click = "click == 1"
[split]
by = "rules"
train = "day < 80"
valid = "day >= 80 and day < 90"
test = "day >= 90"
"""
    )
    found = data.load(str(path))
    assert (found.name, found.schema.name) == ("mine", "mine")
    assert [len(s) for s in (found.train, found.valid, found.test)] == [2400, 300, 300]
    assert found.test.users is not None
    np.testing.assert_array_equal(found.test.labels[:, 0], table["click"][2700:])
    fewer = data.load(f"{path}:rows=600,metric=log_loss")
    assert fewer.name == "mine:rows=600,metric=log_loss"
    assert (len(fewer.train), fewer.schema.tasks[0].metric) == (600, "log_loss")
    with pytest.raises(UserError, match=r"no option 'colour' .*; it has rows, metric"):
        data.load(f"{path}:colour=1")
    with pytest.raises(UserError, match=r"nowhere\.toml"):
        data.load(str(tmp_path / "nowhere.toml"))
