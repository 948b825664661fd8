"""Each replicate on a half of the training rows: the same for every arm, a source of chance."""

from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmd import trainer
from fsmd.baselines import BASELINES
from fsmd.baselines.columns import task_rows
from fsmd.batches import Batches, EpochOrder
from fsmd.data import load
from fsmd.data.encode import encoded
from fsmd.data.rows.frames import Tables, of_tables
from fsmd.data.schema import Dataset, Split
from fsmd.data.sets.planted import PlantedConfig, generate, recipe_of
from fsmd.half import half_of
from fsmd.refit import with_validation
from fsmd.stats.estimates import mean_interval, over_samples
from fsmd.training import Training, train
from reports.ran import run_command, what_ran
from reports.results import read
from reports.study.analysis import analyse_study
from reports.study.how_to_read import how_to_read
from reports.study.outline import headline
from reports.study.tables import difference_table, other_logs_table
from studies.run import main
from studies.store.database import open_engine
from tests import made_up
from tests.lab import without_training
from tests.test_batches import SMALL, numbered
from tests.test_stack import alone, assert_close, of, together

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")


@given(rows=st.integers(1, 400), users=st.integers(0, 50), seed=st.integers(0, 5))
@settings(max_examples=100, deadline=None)
def test_a_half_has_half_of_the_rows_and_whole_users_but_one(
    rows: int, users: int, seed: int
) -> None:
    split = numbered(rows)
    if users:
        drawn_N = np.random.default_rng(seed).integers(users, size=rows)
        user_N = np.unique(drawn_N, return_inverse=True)[1]
        split = replace(split, users=user_N.astype(np.uint32))
    in_N = half_of(split, seed)
    assert in_N.sum() == max(1, rows // 2)
    assert (in_N == half_of(split, seed)).all()
    if split.users is not None:
        shares = np.bincount(split.users, in_N) / np.bincount(split.users)
        assert ((shares > 0) & (shares < 1)).sum() <= 1


def test_every_row_is_as_often_in_a_half_as_any_other() -> None:
    counts_N = sum(half_of(numbered(40), seed).astype(int) for seed in range(2000))
    assert np.abs(counts_N / 2000 - 0.5).max() < 4.5 * 0.5 / 2000**0.5


def test_means_of_halves_scatter_as_means_of_all_rows_do_over_samples() -> None:
    """So a half stands for another sample of all rows; users' rows are alike, and drawn whole."""
    draw = np.random.default_rng(0)
    for users in (None, 100):
        unit_N = np.repeat(np.arange(users or 400), 400 // (users or 400))
        split = replace(numbered(400), users=None if users is None else unit_N.astype(np.uint32))
        scatter, of_halves = [], []
        for i in range(200):
            value_N = draw.normal(size=unit_N.max() + 1)[unit_N]
            scatter.append(value_N.mean())
            halves = [value_N[half_of(split, 31 * i + j)].mean() for j in range(8)]
            of_halves.append(np.var(halves, ddof=1))
        assert np.mean(of_halves) == pytest.approx(np.var(scatter), rel=0.25)


@pytest.mark.parametrize("seeds", [0.0, 1.0, 3.0])
def test_the_interval_for_other_logs_covers_what_that_for_halves_does_not(seeds: float) -> None:
    """seeds: deviation over seeds, where that over samples is 1."""
    draw, covered, narrow = np.random.default_rng(1), 0, 0
    for _ in range(1500):
        about = draw.normal()  # what all rows of this sample give; 0 is true
        found = mean_interval(about + draw.normal(size=8) + seeds * draw.normal(size=8))
        wide = over_samples(found)
        assert found.low is not None
        assert found.high is not None
        assert wide.low is not None
        assert wide.high is not None
        covered += wide.low < 0 < wide.high
        narrow += found.low < 0 < found.high
    assert covered / 1500 > 0.935
    assert narrow / 1500 < (0.65 if seeds == 0 else 0.9)


@given(
    rows=st.integers(2, 300),
    pool=st.one_of(st.none(), st.integers(1, 400)),
    size=st.integers(2, 40),
    seed=st.integers(0, 3),
)
@settings(max_examples=100, deadline=None)
def test_an_epoch_has_each_row_of_the_half_once_and_no_other(
    rows: int, pool: int | None, size: int, seed: int
) -> None:
    split = numbered(rows)
    in_N = half_of(split, seed)
    batches = Batches(split, size, CPU, EpochOrder(rows, seed, pool, in_N))
    seen = [ids.flatten().tolist() for ids, *_ in batches]
    flat = [i for batch in seen for i in batch]
    spared = in_N.sum() % size == 1 and in_N.sum() > 1
    assert len(seen) == len(batches)
    assert len(flat) == len(set(flat)) == in_N.sum() - spared
    assert in_N[flat].all()


def the_half_alone(data: Dataset, half: int) -> Dataset:
    """A data set that has no other training rows."""
    train_, in_N = data.train, half_of(data.train, half)
    few = Split(train_.ids[in_N], train_.dense[in_N], train_.labels[in_N])
    return replace(data, train=few)


@pytest.mark.parametrize("changes", [{}, {"pretrain": "dae", "pretrain_epochs": 1}])
def test_a_network_trains_as_if_there_were_no_other_rows(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = load("planted:rows=2000")
    monkeypatch.setattr("fsmd.trainer.GRADIENT_ROWS", 0)  # these are of all rows
    monkeypatch.setattr("fsmd.callbacks.gradient_cosines", lambda *_: ())
    config = replace(SMALL, **changes)  # type: ignore[arg-type]
    training = Training(config, data.ref, seed=3, epochs=2, half=5)
    found = train(training)
    monkeypatch.setattr(trainer, "open_encoded", lambda _: the_half_alone(data, 5))
    wanted = train(replace(training, half=None))
    assert found.predictions == wanted.predictions
    assert found.measurements == wanted.measurements


@pytest.mark.parametrize("kind", ["logistic", "trees"])
def test_so_does_a_baseline(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = load("planted:rows=2000")
    training = Training(BASELINES[kind], data.ref, seed=3, epochs=2, half=5)
    found = train(training)
    assert len(task_rows(data, 0, 5).rows) == len(data.train) // 2
    monkeypatch.setattr("fsmd.baselines.fitting.open_encoded", lambda _: the_half_alone(data, 5))
    assert found.predictions == train(replace(training, half=None)).predictions


def test_in_a_stack_each_training_has_its_own_half() -> None:
    data = load("planted:rows=2000")
    trainings = [replace(of(data, "mmoe"), epochs=1, seed=i, half=10 + i) for i in range(2)]
    for training, found in zip(trainings, together(trainings), strict=True):
        assert_close(found, alone(training), 5e-3)
    assert trainings[0].shape == trainings[1].shape != of(data, "mmoe").shape


def test_the_half_is_a_part_of_a_trainings_identity() -> None:
    training = Training.on(load("planted:rows=2000"), SMALL)
    ids = {replace(training, half=half).id for half in (None, 0, 1)}
    assert len(ids) == 3


def test_users_are_drawn_only_where_the_test_rows_are_of_others() -> None:
    """Elsewhere a test row would lose what its user did in train."""
    config = PlantedConfig(rows=3000, users=100, videos=50)
    log = generate(config)
    every = {name: getattr(log, name) for name in ("train", "valid", "test")}
    others = {
        name: table[(table["user_id"].astype(str).map(hash_of) < 50) == (name == "train")]
        for name, table in every.items()
    }
    alike, apart = (
        encoded(of_tables(recipe_of(2), {"of": name}, partial(Tables, **tables)))
        for name, tables in (("users alike", every), ("users apart", others))
    )
    assert alike.train.users is None
    assert apart.train.users is not None
    of_ids = np.unique(apart.train.ids[:, 0], return_inverse=True)[1]
    pairs = set(zip(of_ids.tolist(), apart.train.users.tolist(), strict=True))
    assert len(pairs) == len(set(of_ids)) == apart.train.users.max() + 1
    both = with_validation(apart)
    assert both.train.users is None
    assert len(both.train) == len(apart.train) + len(apart.valid)


def hash_of(user: str) -> int:
    return sum(map(ord, user)) * 7919 % 100


def test_a_run_stores_the_halves_and_goes_on_with_them_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_training(monkeypatch, "planted:rows=2000", tmp_path)
    command = ["tower_shape", "--data", "planted:rows=2000", "--name", "halves"]
    with redirect_stdout(StringIO()):
        assert main([*command, "--replicates", "2", "--resample-train"]) == 0
        assert main([*command, "--replicates", "3", "--resample-train"]) == 0
    results = read(open_engine("sqlite:///studies.db"), "halves")
    assert results.record.plan.halves
    assert len(results.runs) == 3 * len(results.arms)
    halves = [results.record.plan.half(replicate) for replicate in range(3)]
    assert len(set(halves)) == 3
    capsys.readouterr()
    assert main([*command, "--replicates", "3"]) == 2
    assert "resample-train: True there, False now" in capsys.readouterr().err
    assert main(["pareto", "--resample-train"]) == 2
    assert "--resample-train goes with a study only" in capsys.readouterr().err


def test_the_report_says_that_intervals_cover_halves(tmp_path: Path) -> None:
    engine = made_up.fresh_engine(tmp_path)
    made_up.store_study(engine, replicates=3, rows=200, halves=True)
    made_up.store_study(engine, replicates=3, rows=200, name="whole")
    halves, whole = (analyse_study(read(engine, name)) for name in ("towers", "whole"))
    said = ["seeds, halves of the training rows and the finite test set", "seeds and the finite"]
    for analysis, over in zip((halves, whole), said, strict=True):
        table = difference_table(analysis.results, analysis.comparisons, analysis.joint)
        assert table is not None
        assert f"95 % interval over {over}" in table.caption
        assert any(over in paragraph for paragraph in how_to_read(analysis))
    assert run_command(halves.results).count("--resample-train") == 1
    assert "--resample-train" not in run_command(whole.results)
    rows = halves.results.record.plan.data.rows["train"]
    told = f"a half of its own, {rows // 2:,} rows"
    assert any(told in fact.value for fact in what_ran(halves.results))
    saw = f" Each training saw half of the training rows: {rows // 2:,} of {rows:,}."
    assert headline(halves).endswith(saw)
    assert "half of" not in headline(whole)
    table = other_logs_table(halves.results, halves.comparisons)
    assert table is not None
    assert table.caption.startswith("Other logs: ")
    assert len(table.rows) == len(halves.results.arms) - 1
    assert other_logs_table(whole.results, whole.comparisons) is None
