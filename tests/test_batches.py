"""An epoch of blocks has each row once, in an order as good as any, in little memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import Tensor

from fsmd import data as data_package
from fsmd.batches import Batches, EpochOrder, Pile
from fsmd.config import FSMDConfig
from fsmd.data.schema import Dataset, Field, Split
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.model import FSMD
from fsmd.packing import unpack
from fsmd.pretrain import pretrain
from fsmd.training import Training, train

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
SMALL = FSMDConfig(
    layers=(16, 8),
    expert_count=2,
    tower_width=8,
    dropout=0.0,
    weight_decay=0.0,
    batch_size=256,
    learning_rate=0.005,
)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return data_package.load("planted:rows=8000")


def numbered(rows: int, weighted: bool = False) -> Split:
    """Rows that hold their own number in each array."""
    number_N = np.arange(rows)
    column_N1 = number_N[:, None].astype(np.float32)
    weights = number_N.astype(np.float32) if weighted else None
    return Split(number_N[:, None].astype(np.int32), column_N1, column_N1, weights)


@given(
    rows=st.integers(1, 300),
    pool=st.integers(1, 400),
    blocks=st.integers(1, 20),
    size=st.integers(2, 40),
    seed=st.integers(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_pooled_batches_hold_each_row_once_but_never_a_single_row(
    rows: int, pool: int, blocks: int, size: int, seed: int
) -> None:
    split = numbered(rows, weighted=bool(seed % 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsmd.batches.BLOCKS_OF_POOL", blocks)
        batches = Batches(split, size, CPU, EpochOrder(rows, seed, pool))
        seen = list(batches)
        again = [ids.flatten().tolist() for ids, *_ in batches]
    flat = [i for ids, *_ in seen for i in ids.flatten().tolist()]
    assert [len(ids) for ids, *_ in seen][:-1] == [size] * (len(batches) - 1)
    spared = rows % size == 1 and rows > 1
    assert len(flat) == len(set(flat)) == rows - spared
    assert [ids.flatten().tolist() for ids, *_ in seen] == again
    for ids, *others in seen:
        assert len(ids) > 1 or rows == 1
        assert all(torch.equal(ids.flatten().float(), other.flatten()) for other in others)


def test_a_pool_mixes_rows_from_everywhere_and_epochs_differ() -> None:
    order = EpochOrder(10**5, seed=0, pool=10**4)
    epochs = []
    for epoch in range(2):
        order.set_epoch(epoch)
        pools = list(order.pools())
        assert sum(len(shuffled) for _, shuffled in pools) == 10**5
        assert max(len(shuffled) for _, shuffled in pools) <= 10**4
        for slices, shuffled in pools[:-1]:
            tenth = np.bincount([rows.start // 10**4 for rows in slices], minlength=10)
            assert tenth.min() > 0.07 * len(slices)
            assert abs(np.corrcoef(np.arange(len(shuffled)), shuffled)[0, 1]) < 0.05
        epochs.append(pools)
    assert epochs[0][0].slices != epochs[1][0].slices


def in_order_of_labels(data: Dataset, path: Path) -> Dataset:
    """The worst order that a log can have: all train rows without a click, then all others."""
    train_ = data.train
    order = np.argsort(train_.labels[:, 0], kind="stable")
    return replace(
        data,
        train=Split(train_.ids[order], train_.dense[order], train_.labels[order]),
        path=path,
    )


def test_a_training_by_blocks_is_as_good_as_by_rows_even_of_sorted_data(
    data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pools of an eighth of the rows. By rows, seeds alone move these figures by 0.005."""
    worst = in_order_of_labels(data, tmp_path)
    monkeypatch.setattr("fsmd.trainer.open_encoded", lambda path: worst)
    monkeypatch.setattr("fsmd.batches.POOL_BYTES", worst.train.nbytes // 8)
    value: dict[str, list[float]] = {"rows": [], "blocks": []}
    for shuffle, values in value.items():
        for seed in range(2):
            ref = replace(worst.ref, shuffle=shuffle)
            result = train(Training(SMALL, ref, seed, epochs=3, patience=3))
            values.append(result.value("test", "click", "auc"))
    assert np.mean(value["blocks"]) > np.mean(value["rows"]) - 0.01
    assert min(value["blocks"]) > 0.6


def test_a_paused_training_by_blocks_equals_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = data_package.load("planted:rows=2000")
    monkeypatch.setattr("fsmd.batches.POOL_BYTES", data.train.nbytes // 5)
    config = replace(SMALL, pretrain="dae")
    training = Training(config, replace(data.ref, shuffle="blocks"), seed=1, epochs=2)
    whole, path = train(training), tmp_path / "checkpoint"
    train(training, until=1, checkpoint=path)
    resumed = train(training, checkpoint=path)
    assert resumed.predictions == whole.predictions
    rows = train(replace(training, data=data.ref))
    assert rows.predictions != whole.predictions


def test_size_decides_how_an_epoch_is_shuffled_unless_it_is_said(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert data.ref.shuffle == "rows"
    said = replace(data, settings=replace(data.settings, shuffle="blocks"))
    assert said.ref.shuffle == "blocks"
    monkeypatch.setattr("fsmd.data.schema.LARGE", data.train.nbytes - 1)
    assert data.ref.shuffle == "blocks"
    assert replace(said, settings=replace(data.settings, shuffle="rows")).ref.shuffle == "rows"
    with pytest.raises(UserError, match="`shuffle` must be rows or blocks, or None"):
        TrainingSettings(shuffle="pools")


def test_a_large_split_is_evaluated_piece_by_piece_to_the_same_figures(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(SMALL, data.ref, seed=1, epochs=1)
    want = train(training)
    for name, value in (("LARGE", 1), ("IN_MEMORY", 1000)):
        monkeypatch.setattr(f"fsmd.batches.{name}", value)
    monkeypatch.setattr("fsmd.trainer.EVALUATION_BATCH", 300)
    monkeypatch.setattr("fsmd.forward.EVALUATION_BATCH", 300)
    got = train(training)
    for one, other in zip(got.measurements, want.measurements, strict=True):
        assert replace(one, value=0.0) == replace(other, value=0.0)
        assert one.value == pytest.approx(other.value, abs=1e-5)


@pytest.mark.parametrize("limit", [10, 10**6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.int64])
def test_a_pile_gives_back_all_rows_in_order(
    limit: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fsmd.batches.IN_MEMORY", limit)
    pile, whole = Pile(), torch.arange(74).reshape(37, 2).to(dtype)
    for part in torch.split(whole, 5):
        pile.add(part)
    joined = pile.joined()
    assert isinstance(joined, np.memmap) == (limit == 10)
    np.testing.assert_array_equal(joined, whole.numpy())
    assert joined.dtype == whole.numpy().dtype


def with_tags(data: Dataset) -> Dataset:
    """Two fields of two ids, of which many rows lack one or both: of places, and of users."""
    names = [field.name for field in data.schema.categorical]
    province, city = data.schema.categorical[names.index("province")], names.index("city")
    draw = np.random.default_rng(0)

    def joined(split: Split) -> Split:
        ids = np.array(split.ids[:, [names.index("province"), city, 0, 0]])
        ids[:, :2] += [[0, province.cardinality]]
        ids[:, :3] = np.where(draw.random((len(ids), 3)) < 0.3, -1, ids[:, :3])
        return replace(split, ids=ids)

    size = province.cardinality + data.schema.categorical[city].cardinality
    user = data.schema.categorical[0].cardinality
    schema = replace(data.schema, categorical=(Field("place", size, 2), Field("friends", user, 2)))
    return replace(
        data,
        schema=schema,
        train=joined(data.train),
        valid=joined(data.valid),
        test=joined(data.test),
    )


@pytest.mark.parametrize("fields", [(), ("place",)])
def test_pretraining_reads_fields_of_several_ids(data: Dataset, fields: tuple[str, ...]) -> None:
    tags = with_tags(data)
    config = replace(SMALL, pretrain="dae", pretrain_fields=fields)
    model, start = FSMD(config, tags.schema, seed=0), FSMD(config, tags.schema, seed=0)
    pretrain(model, tags, seed=0)
    table, before = (tables_of(one) for one in (model, start))
    size = tags.schema.categorical[0].cardinality
    moved = (table != before).any(1)
    seen = np.unique(tags.train.ids[:, :2])
    assert moved[seen[seen >= 0]].all()
    assert not table[-1].any()
    assert bool(moved[size:].any()) == (not fields)


def tables_of(model: FSMD) -> Tensor:
    return next(model.embeddings.parameters()).detach()


def test_tags_train_and_their_figures_are_those_of_the_scores(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = with_tags(data)
    monkeypatch.setattr("fsmd.trainer.open_encoded", lambda path: tags)
    result = train(Training(replace(SMALL, bias_fields=("friends",)), tags.ref, 0, epochs=2))
    want = roc_auc_score(tags.test.labels[:, 0], unpack(result.predictions["click"]))
    assert result.value("test", "click", "auc") == pytest.approx(want, abs=1e-6)
