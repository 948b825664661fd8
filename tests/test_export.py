"""A model taken home: what is trained again, what its folder holds, and what is refused."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from fsmd import MODELS, DivergedError, FSMDModule, Scorer, Training, UserError, load, train
from fsmd.data.schema import Dataset
from fsmd.metrics import METRICS, measured
from fsmd.packing import unpack
from fsmd.refit import with_validation
from fsmd.saved.card import card
from fsmd.saved.facts import ModelFacts
from fsmd.saved.head import CHECKSUMS, FILES, read_example, read_head, seal_model
from fsmd.saved.model import load_model, save_model, with_score
from reports.chosen import choose
from studies.definition import Arm, Search, Study, baselines
from studies.export.command import main
from studies.session import execute
from studies.store.database import open_engine
from tests.lab import Immediate, no_report

ROWS = 2400
DESCRIPTION = """
# Kept as it is, this line too.
[data]
name = "shop"
files = "log.csv"

[[join]]
files = "items.parquet"
on = "item"

[roles]
user = "user"

[fields]
user = { kind = "category", min_count = 2 }
item = "category"
brand = { kind = "category", hash = 4 }
size = "number"
hour = { kind = "category", from = "hour(at / 1000)" }
price = { kind = "number", scale = "log" }
words = { kind = "tags", separator = " ", max_length = 3 }
colours = { kind = "tags", max_length = 2 }
later = { kind = "category", optional = true }

[tasks]
click = "clicked == 1"
buy = { label = "bought == 1", after = "click" }

[score]
formula = "click ** 0.5 * buy"

[split]
by = "fraction"
seed = 3

[training]
batch_size = 256
learning_rate = 0.02
epochs = 2

[origin]
folder = "shop"
source = "https://example.org/shop"
licence = "CC0"
"""
SMALL = replace(MODELS["shared_bottom"], layers=(16,), tower_width=8, tower_depth=1, chain=True)
STUDY = Study(
    *("shops", "Shops", "Does it need a chain?", "model", SMALL),
    arms=(
        Arm("chained", (), (("model", "chained"),)),
        Arm("apart", (("sharing", "none"), ("chain", False)), (("model", "apart"),)),
        *baselines(("constant",)),
    ),
    reference="chained",
    tasks=("click", "buy"),
)
SEARCH = Search(
    *("found", "Found", "What is best?", "paper"),
    sampler="random",
    pruner="none",
    trials=2,
    confirm=1,
    baselines=("constant",),
)
LOG = "log.csv"


def write_log(folder: Path) -> Path:
    draw = np.random.default_rng(0)
    user, item = draw.integers(0, 60, ROWS), draw.integers(0, 40, ROWS)
    score = draw.normal(size=60)[user] + draw.normal(size=40)[item]
    click = draw.random(ROWS) < 1 / (1 + np.exp(-score))
    buy = click & (draw.random(ROWS) < 0.5)
    rows = [
        f"{u},{i},{1.7e12 + 1e5 * n:.0f},{'' if n % 7 == 0 else 1 + n % 13},"
        f"{'red big' if n % 3 else 'blue'},{c:d},{b:d}"
        for n, (u, i, c, b) in enumerate(zip(user, item, click, buy, strict=True))
    ]
    head = "user,item,at,price,words,clicked,bought"
    (folder / LOG).write_text("\n".join((head, *rows, "")))
    items = {
        "item": pa.array([str(i) for i in range(40)]),
        "brand": pa.array([None if i == 5 else 100 + i % 9 for i in range(40)]),
        "size": pa.array([i / 10 for i in range(40)], pa.float32()),
        "colours": pa.array([["red"] * (i % 2) + ["blue"] for i in range(40)]),
    }
    pq.write_table(pa.table(items), folder / "items.parquet")
    path = folder / "dataset.toml"
    path.write_text(DESCRIPTION)
    return path


class Stored:
    """A study of a described log, and a search of planted data, in one database."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.url = folder, f"sqlite:///{folder}/studies.db"
        self.log = write_log(folder)
        few: dict[str, Any] = {"epochs": 2, "workers": 1, "storage": self.url}
        few |= {"out": folder / "out"}
        execute(STUDY, data=str(self.log), replicates=2, name="shops", **few)
        execute(SEARCH, data="planted:rows=1000", name="found", **(few | {"epochs": 1}))

    def export(self, *options: str, study: str = "shops", out: str = "model") -> int:
        asked = (study, "--storage", self.url, "--out", str(self.folder / out), *options)
        return main(asked)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stored]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("studies.session.LocalWorkers", lambda _: Immediate())
        patch.setattr("studies.session.publish_report", lambda *_, **__: None)
        # What takes longest, and what no export looks at:
        patch.setattr("reports.build.build", no_report)
        patch.setattr("studies.session.measure_latency", lambda *_, **__: None)
        patch.setattr("gc.collect", lambda *_: 0)
        yield Stored(tmp_path_factory.mktemp("export"))


@pytest.fixture(scope="module")
def model(stored: Stored) -> Path:
    assert stored.export("--pick", "arm:chained", out="whole") == 0
    return stored.folder / "whole"


def said(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    return told.out + told.err


# The model of a training


@pytest.fixture(scope="module")
def planted() -> Dataset:
    return load("planted:rows=1000")


@pytest.mark.parametrize("name", ["single_task", "esmm"])
def test_a_training_gives_the_model_of_the_epochs_that_it_chose(
    planted: Dataset, name: str, tmp_path: Path
) -> None:
    """Of tasks that share nothing, each task's own part is of its own epoch."""
    training = Training.on(planted, replace(MODELS[name], layers=(8,)), seed=3)
    training = replace(training, epochs=4, patience=4)
    checkpoint = tmp_path / "it.ckpt"
    result = train(training, checkpoint=checkpoint, keep_model=True)
    assert result.model is not None
    assert min(result.chosen_epochs.values()) < result.epochs
    score_NK = result.model.scores(planted.test.ids, planted.test.dense)
    for k, packed in enumerate(result.predictions.values()):
        assert np.array_equal(score_NK[:, k], unpack(packed))
    chosen = FSMDModule.load_from_checkpoint(checkpoint).model.state_dict()
    assert chosen.keys() == result.model.tensors.keys()
    for key, array in result.model.tensors.items():
        assert np.array_equal(chosen[key].numpy(), array), key
    assert result.model.logits(planted.test.ids[:0], planted.test.dense[:0]).shape == (0, 2)
    with pytest.raises(UserError, match="encode rows as the training data was"):
        result.model.logits(planted.test.ids + 10**6, planted.test.dense)


def test_nobody_gets_a_model_who_did_not_ask_or_paused(planted: Dataset) -> None:
    training = Training.on(planted, replace(MODELS["single_task"], layers=(8,)))
    training = replace(training, epochs=2)
    assert train(training).model is None
    assert train(training, until=1, keep_model=True).model is None


def test_a_training_computes_on_one_thread_in_numpy_too_so_that_figures_are_the_same_anywhere(
    planted: Dataset,
) -> None:
    """A worker has one thread, the process of an export as many as the machine has."""
    threads = set[int]()

    def look(_: object) -> None:
        threads.update(p["num_threads"] for p in threadpool_info() if p["user_api"] == "blas")

    training = Training.on(planted, replace(MODELS["single_task"], layers=(8,)))
    with threadpool_limits(2):
        train(replace(training, epochs=1), on_progress=look)
    assert threads <= {1}


def test_a_training_for_fixed_epochs_chooses_none(planted: Dataset) -> None:
    training = Training.on(planted, replace(MODELS["single_task"], layers=(8,)))
    fixed = {"click": 1, "long_view": 3}
    result = train(training, keep_model=True, fixed_epochs=fixed)
    assert (result.chosen_epochs, result.epochs, result.finished) == (fixed, 3, True)
    one = train(training, keep_model=True, fixed_epochs={"click": 1, "long_view": 1})
    assert result.model is not None
    assert one.model is not None
    same = {k for k, v in one.model.tensors.items() if np.array_equal(v, result.model.tensors[k])}
    own = "embeddings.0", "own.0", "towers.0"
    assert {name for name in one.model.tensors if name.startswith(own)} <= same
    assert not any(name.startswith("embeddings.1") for name in same)


def test_the_rows_of_a_refit_are_those_of_train_then_those_of_validation(
    planted: Dataset,
) -> None:
    both = with_validation(planted)
    for part in ("ids", "dense", "labels"):
        before = [getattr(split, part) for split in (planted.train, planted.valid)]
        assert np.array_equal(getattr(both.train, part), np.concatenate(before))
        assert np.array_equal(getattr(both.test, part), getattr(planted.test, part))
    assert both.content_hash != planted.content_hash
    assert with_validation(planted).content_hash == both.content_hash


# The folder


def test_a_folder_holds_all_that_scoring_needs_and_nothing_that_runs_code(
    stored: Stored, model: Path
) -> None:
    assert {path.name for path in model.iterdir()} == {*FILES}
    assert (model / "dataset.toml").read_bytes() == stored.log.read_bytes()
    head = read_head(model)
    assert [output.name for output in head.outputs] == [
        "P(click)",
        "P(buy)",
        "P(buy|click)",
        "score",
    ]
    assert (head.kind, head.score) == ("fsmd", "click ** 0.5 * buy")
    assert [each.name for each in head.inputs][-2:] == ["size", "price"]
    example = read_example(model)
    for engine in ("onnx", "torch"):
        scored = Scorer.load(model, engine=engine).score(list(example.rows))
        for got, expected in zip(scored, example.expected, strict=True):
            assert got == pytest.approx(dict(expected), abs=1e-6)
    saved = load_model(model)
    assert saved.trained.tensors.keys() == load_model(model).trained.tensors.keys()
    assert saved.facts.equal
    assert saved.facts.licence == "CC0"
    served = (model / "requirements.txt").read_text()
    assert all(name in served for name in ("numpy", "onnxruntime", "pyarrow"))
    assert "torch" not in served
    triton = (model / "config.pbtxt").read_text()
    assert '{ name: "user" data_type: TYPE_STRING dims: [ -1 ] }' in triton
    assert '{ name: "price" data_type: TYPE_FP64 dims: [ -1 ] }' in triton


def test_the_example_has_an_unseen_and_a_missing_value_and_no_row_of_anybody(
    stored: Stored, model: Path
) -> None:
    rows = read_example(model).rows
    names = {"user", "item", "brand", "size", "at", "price", "words", "colours"}
    assert all(set(row) == names for row in rows)
    assert rows[-2]["user"] == "never seen in train"
    assert None in rows[-1].values()
    assert "made up" in read_example(model).origin
    assert stored.export("--pick", "arm:chained", "--example-rows", out="real") == 0
    real = read_example(stored.folder / "real")
    log = (stored.folder / LOG).read_text().splitlines()
    for row in real.rows[:3]:
        assert any(line.startswith(f"{row['user']},{row['item']},") for line in log)


def test_the_card_says_what_it_is_how_good_and_where_from(model: Path) -> None:
    text = (model / "README.md").read_text("utf-8")
    _, top, body = text.split("---\n", 2)
    pairs = (line.partition(": ") for line in top.splitlines())
    head = {key: json.loads(value) for key, _, value in pairs}  # which YAML reads as it is
    assert head["library_name"] == "fsmd"
    assert head["license"] == "other"
    metrics = head["model-index"][0]["results"][1]["metrics"]
    assert {each["type"] for each in metrics} == {"auc", "ece", "pcoc"}
    for part in (
        "arm *chained* of the study `shops`",
        "asked for by name",
        "| click | test | AUC | 0.",
        "| buy | test | PCOC | ",
        "probability of buy, among the rows that have click",
        "| brand | category | `brand` | 4 buckets of a hash |",
        "| price | number | `price` | missing counts as 7, and is told |",
        "Its licence: CC0.",
        "content hash `",
        "every figure equals the stored one bit for bit",
        "python -m studies.export shops --pick arm:chained --replicate 0 --out model",
        "they are made up",
        "agree to 1e-06 on each P(task).",
    ):
        assert part in body, part


def test_the_figures_are_the_studys_with_intervals_and_this_trainings(
    stored: Stored, model: Path
) -> None:
    facts = ModelFacts.from_json((model / "figures.json").read_text("utf-8"))
    (auc,) = [f for f in facts.figures if (f.split, f.task, f.metric) == ("test", "buy", "auc")]
    engine = open_engine(stored.url)
    (same,) = [f for f in choose(engine, "shops", "arm:chained").figures if f == auc]
    engine.dispose()
    assert same.replicates == 2
    assert same.low is not None
    assert same.this is not None
    assert same.mean is not None
    assert same.low <= same.mean <= (same.high or 0)
    data = load(str(stored.log))
    scores_NK = load_model(model).trained.scores(data.test.ids, data.test.dense)
    now = measured(METRICS["auc"], scores_NK[:, 1], data.test.labels[:, 1], None, {})
    assert now == pytest.approx(same.this, abs=1e-12)
    assert facts.rates["test"]["click"] == pytest.approx(float(data.test.labels[:, 0].mean()))


def test_the_same_export_gives_the_same_bytes_in_the_place_of_the_old(
    stored: Stored, model: Path
) -> None:
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    assert stored.export("--pick", "arm:chained", "--force", out="whole") == 0
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before


@pytest.mark.parametrize("name", [*FILES])
def test_a_file_that_is_not_as_it_was_written_is_named(
    model: Path, tmp_path: Path, name: str
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    for read in (Scorer.load, load_model, read_head):
        with pytest.raises(UserError, match=f"{name} is damaged; export it again"):
            read(copy)
    (copy / name).unlink()
    with pytest.raises(UserError, match=name):
        read_head(copy)


def test_a_list_of_checksums_that_was_made_to_fit_is_found_out_by_the_example(
    model: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(model, copy)
    values = json.loads((copy / "example.json").read_text("utf-8"))
    values["expected"][2]["P(buy)"] += 1e-3
    (copy / "example.json").write_text(json.dumps(values), "utf-8")
    (copy / CHECKSUMS).unlink()
    seal_model(copy)
    with pytest.raises(UserError, match="example"):
        Scorer.load(copy)


def test_a_model_can_be_given_another_score(model: Path, tmp_path: Path) -> None:
    saved = load_model(model)
    save_model(with_score(saved, "buy + 2 * click"), tmp_path / "sum")
    scorer = Scorer.load(tmp_path / "sum")
    row = scorer.score(list(saved.example.rows))[0]
    assert row["score"] == pytest.approx(row["P(buy)"] + 2 * row["P(click)"], abs=1e-6)
    save_model(with_score(saved, None), tmp_path / "none")
    assert "score" not in Scorer.load(tmp_path / "none").outputs
    with pytest.raises(UserError, match="no task 'bye'; did you mean 'buy'"):
        with_score(saved, "bye")


# What is chosen


@pytest.mark.parametrize(
    ("pick", "arm"),
    [
        ("best", ("chained", "apart", "constant")),
        ("best:buy", ("chained", "apart")),
        ("knee", ("chained", "apart")),
        ("weights:1,0", ("chained", "apart")),
        ("arm:constant", ("constant",)),
    ],
)
def test_an_arm_of_a_study_is_picked_by_a_rule(
    stored: Stored, pick: str, arm: tuple[str, ...]
) -> None:
    engine = open_engine(stored.url)
    chosen = choose(engine, "shops", pick)
    engine.dispose()
    assert chosen.arm.name in arm
    assert chosen.why
    assert chosen.replicate == 0


def test_a_point_of_a_search_is_picked_by_a_rule_and_trained_from_a_fresh_seed(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = open_engine(stored.url)
    chosen = {p: choose(engine, "found", p) for p in ("best", "knee", "best:click", "trial:1")}
    engine.dispose()
    assert {c.replicate for c in chosen.values()} == {1}
    assert chosen["trial:1"].arm.name == "deep fsmd"
    assert stored.export("--pick", "trial:1", study="found", out="trial") == 0
    assert "its figures equal the stored ones bit for bit" in said(capsys)
    assert not (stored.folder / "trial" / "dataset.toml").exists()
    assert Scorer.load(stored.folder / "trial").head.name == "found-deep fsmd"


def test_a_baseline_is_taken_home_too(stored: Stored) -> None:
    assert stored.export("--pick", "arm:constant", "--replicate", "1", out="simple") == 0
    head = Scorer.load(stored.folder / "simple").head
    assert head.kind == "constant"
    assert "A simple model (constant)" in (stored.folder / "simple" / "README.md").read_text()


def test_a_refit_trains_on_validation_too_and_says_so(
    stored: Stored, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--pick", "arm:chained", "--refit", "train+validation", "--score", "buy")
    assert stored.export(*given, out="refit") == 0
    assert "Trained on train and validation" in said(capsys)
    folder = stored.folder / "refit"
    before, after = load_model(model), load_model(folder)
    assert after.facts.refit == "train+validation"
    assert after.facts.chosen_epochs == before.facts.chosen_epochs
    assert after.facts.equal
    assert {f.this is None for f in after.facts.figures if f.split == "valid"} == {True}
    assert {f.this is None for f in after.facts.figures if f.split == "test"} == {False}
    assert after.encoder == replace(before.encoder, score="buy")
    moved = [n for n, a in before.trained.tensors.items() if (after.trained.tensors[n] != a).any()]
    assert moved
    text = (folder / "README.md").read_text("utf-8")
    assert "no held-out figure of these weights exists but those of test" in text
    assert read_head(folder).score == "buy"


@pytest.mark.parametrize("refit", [None, "train+validation"])
def test_the_card_of_a_half_says_how_many_rows_it_saw(model: Path, refit: str | None) -> None:
    whole = load_model(model)
    sizes = {"model.onnx": 1}
    rows = whole.facts.rows["train"]
    facts = replace(whole.facts, half=rows // 2, refit=refit)
    told = f"half of the training rows**, {rows // 2:,} of {rows:,}"
    text = card(replace(whole, facts=facts), sizes)
    assert told in text
    assert ("so did these weights" in text) == (refit is None)
    assert "half of the training rows" not in card(whole, sizes)


def test_an_export_of_a_study_of_halves_says_so(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    few: dict[str, Any] = {"epochs": 1, "workers": 1, "storage": stored.url}
    few |= {"out": stored.folder / "out", "resample_train": True}
    execute(STUDY, data=str(stored.log), replicates=1, name="halves", **few)
    assert stored.export("--pick", "arm:constant", study="halves", out="half") == 0
    facts = load_model(stored.folder / "half").facts
    assert facts.half == facts.rows["train"] // 2
    assert f"saw half of the training rows, {facts.half:,} of" in said(capsys)


# What is refused


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--pick", "arm:chaind"), "no arm 'chaind' here; did you mean 'chained'?"),
        (("--pick", "bets"), "no rule 'bets' to pick by; did you mean 'best'?"),
        (("--pick", "best:by"), "no rule 'best:by' to pick by; did you mean 'best:buy'"),
        (("--pick", "trial:1"), "trial:N goes with a search"),
        (("--pick", "weights:1"), "needs a weight of at least 0 for each of click, buy"),
        (("--replicate", "7"), "--replicate must be a finished one of "),
        (("--score", "clik * 2"), "--score: no task 'clik'; did you mean 'click'"),
        (("--refit", "all"), "invalid choice: 'all'"),
        (("--device", "tpu"), "--device must be auto, cpu, cuda or cuda:N"),
    ],
)
def test_what_cannot_be_is_one_line_that_says_what_there_is(
    stored: Stored,
    options: tuple[str, ...],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert stored.export(*options, out="never") == 2
    last = said(capsys).splitlines()[-1]
    assert last.startswith("error: ")
    assert told in last
    assert not (stored.folder / "never").exists()


def test_an_unknown_study_or_trial_is_one_line(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    assert stored.export(study="shop") == 2
    assert "no study 'shop'" in said(capsys)
    assert stored.export("--pick", "trial:9", study="found") == 2
    assert "trial:N must name one of the trials 0 to 1; got '9'" in said(capsys)


def test_a_place_that_holds_something_else_is_left_as_it_is(
    stored: Stored, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    taken = stored.folder / "taken"
    taken.mkdir()
    (taken / "thesis.tex").write_text("years")
    (stored.folder / "a file").write_text("text")
    own = stored.folder / "own"
    shutil.copytree(model, own)
    (own / "notes.txt").write_text("mine")
    shutil.copytree(model, stored.folder / "inner")
    (stored.folder / "inner" / "README.md").unlink()
    (stored.folder / "inner" / "README.md").mkdir()
    for out, told in (
        ("taken", "is there and is no model"),
        ("whole", "--out must be a new folder; "),
        ("a file", "--out must be a folder that can be written; "),
        ("own", "holds 'notes.txt' too, which would be lost"),
        ("inner", "holds 'README.md' too, which would be lost"),
        ("a file/model", "must be a folder that can be written"),
    ):
        assert stored.export(*(() if out == "whole" else ("--force",)), out=out) == 2
        assert told in said(capsys)
    assert (taken / "thesis.tex").read_text() == "years"
    assert (own / "notes.txt").read_text() == "mine"
    read_head(own)


@pytest.mark.parametrize(
    ("error", "code"), [(KeyboardInterrupt(), 130), (DivergedError("at once"), 2)]
)
def test_a_training_that_is_cut_off_or_diverges_leaves_the_old_folder(
    stored: Stored,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    code: int,
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("studies.export.again.train", stopped)
    there = {path.name for path in stored.folder.iterdir()}
    before = (model / CHECKSUMS).read_bytes()
    assert stored.export("--force", out="whole") == code
    assert ("nothing was written" in said(capsys)) == (code == 130)
    assert (model / CHECKSUMS).read_bytes() == before
    assert {path.name for path in stored.folder.iterdir()} == there


def test_data_that_has_changed_is_refused_before_anything_is_trained(
    stored: Stored, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (stored.folder / LOG).read_text()
    (stored.folder / LOG).write_text(text.replace("red big", "red small"))
    try:
        assert stored.export(out="never") == 2
        assert "the data set shop is not what 'shops' was run on" in said(capsys)
        (stored.folder / LOG).unlink()
        assert stored.export(out="never") == 2
        assert LOG in said(capsys)
    finally:
        (stored.folder / LOG).write_text(text)
