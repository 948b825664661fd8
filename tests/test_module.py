"""The Lightning module stands alone: any `Trainer`, its defaults, and what a user does with it."""

from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import EarlyStopping
from sklearn.metrics import roc_auc_score
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from fsmd import data as data_package
from fsmd.balancing import project
from fsmd.batches import Batch, Batches, columns_of
from fsmd.config import FSMDConfig
from fsmd.data.schema import Dataset, Field, Schema, Split
from fsmd.errors import UserError
from fsmd.forward import scored
from fsmd.metrics import METRICS, measured
from fsmd.model import scores, task_losses
from fsmd.module import FSMDModule
from fsmd.tasks import Task, names
from fsmd.training import Training, train

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings(r"ignore:::lightning\..*", "ignore:.*LeafSpec.*:FutureWarning"),
]

SMALL = FSMDConfig(
    layers=(16, 8), expert_count=2, tower_width=8, dropout=0.0, batch_size=256, learning_rate=0.02
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data() -> Dataset:
    return data_package.load("planted:rows=2500,tasks=3")


def plain_trainer(folder: Path, **options: Any) -> lightning.Trainer:
    """With Lightning's defaults but for what would write or print."""
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "max_epochs": 1,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "default_root_dir": folder,
    }
    return lightning.Trainer(**{**quiet, **options})


def test_the_module_trains_with_a_plain_trainer_and_loads_from_its_checkpoint(
    data: Dataset, tmp_path: Path
) -> None:
    module = FSMDModule.create(FSMDConfig(layers=(8,), tower_width=8), data.schema, seed=0)
    assert module.config.left_open == ()
    trainer = plain_trainer(tmp_path)
    trainer.fit(module, Batches(data.train, 500, CPU), Batches(data.valid, 500, CPU))
    assert set(trainer.logged_metrics) == {
        *("valid_auc_click", "valid_auc_long_view", "valid_auc_like", "valid_auc_mean")
    }
    (tested,) = trainer.test(module, Batches(data.test, 500, CPU), verbose=False)
    predicted: Any = trainer.predict(module, Batches(data.test, 500, CPU))
    p_NK = torch.cat(predicted)
    for k, task in enumerate(data.schema.tasks):
        want = roc_auc_score(data.test.labels[:, k], p_NK[:, k])
        assert tested[f"test_auc_{task.name}"] == pytest.approx(want, abs=1e-6)
    path = tmp_path / "plain.ckpt"
    trainer.save_checkpoint(path)
    loaded = FSMDModule.load_from_checkpoint(path).eval()
    assert torch.equal(probabilities(loaded, data.test), p_NK)


def probabilities(module: FSMDModule, split: Split) -> Tensor:
    with torch.no_grad():
        p_NK: Tensor = module(torch.from_numpy(split.ids), torch.from_numpy(split.dense))
    return p_NK


@pytest.mark.parametrize("model", ["shared", "separate", "pcgrad"])
def test_a_checkpoint_of_a_training_loads_as_the_epochs_that_validation_chose(
    data: Dataset, tmp_path: Path, model: str
) -> None:
    config = {
        "shared": SMALL,
        "separate": replace(SMALL, sharing="none", fm="per_task", chain=False),
        "pcgrad": replace(SMALL, balancing="pcgrad"),
    }[model]
    path = tmp_path / "training.ckpt"
    config = replace(config, weight_decay=0.0, learning_rate=0.005)
    result = train(Training(config, data.ref, seed=1, epochs=12, patience=2), None, path)
    tasks = names(data.schema.tasks)
    assert min(result.chosen_epochs.values()) < result.epochs
    assert (model == "separate") == (len(set(result.chosen_epochs.values())) > 1)
    loaded = FSMDModule.load_from_checkpoint(path).eval()
    ids, dense = torch.from_numpy(data.test.ids), torch.from_numpy(data.test.dense)
    with torch.no_grad():  # log-odds: rounding makes some probabilities equal
        odds_NK = scores(loaded.model(ids, dense), loaded.model.parents)
    for k, task in enumerate(tasks):
        want = roc_auc_score(data.test.labels[:, k], odds_NK[:, k].double())
        assert result.value("test", task, "auc") == pytest.approx(want, abs=1e-6)
    module = FSMDModule.create(loaded.config, data.schema, seed=9)
    predicted: Any = plain_trainer(tmp_path).predict(
        module, Batches(data.test, 500, CPU), ckpt_path=path, weights_only=True
    )
    torch.testing.assert_close(torch.cat(predicted), probabilities(loaded, data.test))
    torch.testing.assert_close(odds_NK.sigmoid(), probabilities(loaded, data.test))


def test_a_first_validation_batch_without_a_positive_is_no_error(
    data: Dataset, tmp_path: Path
) -> None:
    """Lightning checks the first two batches before training; there a figure is not defined."""
    order = np.argsort(data.valid.labels[:, 0], kind="stable")
    valid = data.valid
    sorted_rows = Split(valid.ids[order], valid.dense[order], valid.labels[order])
    assert not sorted_rows.labels[:100].any()
    trainer = plain_trainer(tmp_path)
    module = FSMDModule.create(SMALL, data.schema, seed=0)
    trainer.fit(module, Batches(data.train, 500, CPU), Batches(sorted_rows, 50, CPU))
    assert trainer.logged_metrics["valid_auc_click"] > 0


def test_a_validation_that_was_cut_off_leaves_nothing_to_the_next(data: Dataset) -> None:
    module = FSMDModule.create(SMALL, data.schema, seed=0).eval()
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    batches = list(Batches(data.valid, 100, CPU))
    with torch.no_grad():
        module.validation_step(batches[0], 0)
        module.on_validation_epoch_start()
        for batch in batches:
            module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    of = scored(module, "valid", data.valid)
    want = roc_auc_score(data.valid.labels[:, 0], of.score_NK[:, 0])
    assert module.valid_figures["click"] == pytest.approx(want)


def test_weights_that_are_not_finite_are_logged_so_that_early_stopping_sees_them(
    data: Dataset, tmp_path: Path
) -> None:
    module = FSMDModule.create(SMALL, data.schema, seed=0)
    torch.nn.init.constant_(module.model.get_parameter("towers.0.logit.weight"), float("nan"))
    stopping = EarlyStopping("valid_auc_mean", mode="max", check_finite=True, verbose=False)
    trainer = plain_trainer(tmp_path, max_epochs=5, callbacks=[stopping])
    trainer.fit(module, Batches(data.train, 500, CPU), Batches(data.valid, 500, CPU))
    assert trainer.current_epoch == 1
    assert trainer.logged_metrics["valid_auc_mean"].isnan()


def first_step(
    module: FSMDModule, batches: list[Batch], folder: Path, **options: Any
) -> list[Tensor]:
    """The gradient by which the first step of a `Trainer` goes."""
    seen: list[Tensor] = []

    def keep(optimizer: torch.optim.Optimizer) -> None:
        if not seen:
            seen.extend(
                torch.zeros_like(p) if p.grad is None else p.grad.clone()
                for p in module.model.parameters()
            )

    module.on_before_optimizer_step = keep  # type: ignore[method-assign]
    plain_trainer(folder, **options).fit(module, (batch for batch in batches))
    return seen


def naive_projected(module: FSMDModule, batch: Batch) -> list[Tensor]:
    """PCGrad's gradient of one batch, by one backward pass for each task."""
    model, shared = module.model, {id(p) for p in module.model.shared_parameters()}
    each_K = []
    for k in range(len(module.schema.tasks)):
        losses = task_losses(model(batch[0], batch[1]), batch[2], model.parents)
        grads = torch.autograd.grad(losses[k], list(model.parameters()), materialize_grads=True)
        each_K.append(grads)
    flat_K = [
        torch.cat(
            [g.flatten() for g, p in zip(gs, model.parameters(), strict=True) if id(p) in shared]
        )
        for gs in each_K
    ]
    joined, at, out = project(flat_K), 0, []
    for i, p in enumerate(model.parameters()):
        if id(p) in shared:
            out.append(joined[at : at + p.numel()].view_as(p))
            at += p.numel()
        else:
            out.append(sum((gs[i] for gs in each_K), torch.zeros_like(p)))
    return out


@pytest.mark.parametrize("several", [1, 2, 3])
def test_projected_gradients_of_several_batches_are_averaged_over_them(
    data: Dataset, tmp_path: Path, several: int
) -> None:
    config = replace(SMALL, balancing="pcgrad", batch_norm=False)
    batches = list(Batches(data.train, 200, CPU))[:several]
    module = FSMDModule.create(config, data.schema, seed=0)
    got = first_step(module, batches, tmp_path, accumulate_grad_batches=several)
    fresh = FSMDModule.create(config, data.schema, seed=0)
    parts = [naive_projected(fresh, batch) for batch in batches]
    for gradient, *want in zip(got, *parts, strict=True):
        torch.testing.assert_close(gradient, torch.stack(want).mean(0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("balancing", "precision", "several"),
    [
        *product(("fixed", "uncertainty", "gradnorm", "pcgrad"), ("bf16-mixed",), (1, 2)),
        *product(("fixed", "gradnorm", "pcgrad"), ("bf16-true", "64-true"), (2,)),
    ],
)
def test_every_precision_and_accumulation_trains_to_finite_figures(
    data: Dataset, tmp_path: Path, balancing: str, precision: Any, several: int
) -> None:
    config = replace(SMALL, balancing=balancing, fm="none")
    module = FSMDModule.create(config, data.schema, seed=0)
    trainer = plain_trainer(
        tmp_path, precision=precision, accumulate_grad_batches=several, gradient_clip_val=1.0
    )
    trainer.fit(module, Batches(data.train, 250, CPU), Batches(data.valid, 500, CPU))
    assert all(0 < value < 1 for value in trainer.logged_metrics.values())
    (tested,) = trainer.test(module, Batches(data.test, 500, CPU), verbose=False)
    predicted: Any = trainer.predict(module, Batches(data.test, 500, CPU))
    p_NK = torch.cat(predicted).double()
    assert ((p_NK > 0) & (p_NK < 1)).all()
    for k, task in enumerate(data.schema.tasks):
        want = roc_auc_score(data.test.labels[:, k], p_NK[:, k])
        assert tested[f"test_auc_{task.name}"] == pytest.approx(want, abs=0.01)


@pytest.mark.parametrize(
    "metric", ["ndcg@3", *(name for name, metric in METRICS.items() if metric.judges)]
)
def test_labels_that_were_not_observed_and_weights_keep_their_figures(
    tmp_path: Path, metric: str
) -> None:
    tasks = (Task("a", metric=metric), Task("b", metric=metric))
    schema = Schema("odd", (Field("f", 5),), ("d",), tasks, masked=True, weighted=True)
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, (60, 2)).astype(np.float32)
    labels[:20, 1] = np.nan
    rows = Split(
        draw.integers(0, 5, (60, 1)).astype(np.int32),
        draw.normal(size=(60, 1)).astype(np.float32),
        labels,
        draw.uniform(0, 2, 60).astype(np.float32),
        draw.integers(0, 9, 60).astype(np.uint32),
        draw.integers(0, 20, 60).astype(np.uint32),
    )
    module = FSMDModule.create(replace(SMALL, chain=False), schema, seed=0)
    trainer = plain_trainer(tmp_path, max_epochs=2, accumulate_grad_batches=2)
    trainer.fit(module, Batches(rows, 20, CPU), Batches(rows, 20, CPU, groups=module.groups))
    assert {f"valid_{metric}_a", f"valid_{metric}_b", f"valid_{metric}_mean"} == set(
        trainer.logged_metrics
    )
    assert np.isfinite(list(trainer.logged_metrics.values())).all()
    with torch.no_grad():
        score_NK = module.eval().model(torch.from_numpy(rows.ids), torch.from_numpy(rows.dense))
    for k, task in enumerate(tasks):
        want = measured(
            METRICS[metric], score_NK[:, k].numpy(), labels[:, k], rows.weights, rows.groups
        )
        assert module.valid_figures[task.name] == pytest.approx(want)


def test_a_validation_batch_without_the_groups_that_a_metric_needs_is_told_in_one_line(
    tmp_path: Path,
) -> None:
    tasks = (Task("click"), Task("like", metric="user_auc"), Task("buy", metric="ndcg@5"))
    schema = Schema("odd", (Field("f", 5),), (), tasks)
    module = FSMDModule.create(replace(SMALL, chain=False), schema, seed=0)
    assert module.groups == ("user", "request")
    ids, dense = np.zeros((6, 1), np.int32), np.zeros((6, 0), np.float32)
    loader = Batches(Split(ids, dense, np.zeros((6, 3), np.float32)), 3, CPU)
    with pytest.raises(UserError) as told:
        plain_trainer(tmp_path).validate(module, loader, verbose=False)
    assert str(told.value).startswith(
        "a batch must be the tensors ids, dense, labels, users, requests (user AUC, the metric of "
        "task 'like', needs each row's user); got Tensor, Tensor, Tensor"
    )
    assert "\n" not in str(told.value)
    plain_trainer(tmp_path).fit(module, loader)  # without validation nothing is missing


def test_each_of_several_loaders_has_its_own_figures(data: Dataset, tmp_path: Path) -> None:
    module, trainer = FSMDModule.create(SMALL, data.schema, seed=0), plain_trainer(tmp_path)
    valid, test = (Batches(split, 500, CPU) for split in (data.valid, data.test))
    trainer.fit(module, Batches(data.train, 500, CPU), [valid, test])
    together, of_first = dict(trainer.logged_metrics), module.valid_figures
    for i, loader in enumerate((valid, test)):
        (alone,) = trainer.validate(module, loader, verbose=False)
        assert alone == {n: together[f"{n}/dataloader_idx_{i}"] for n in alone}
        assert (module.valid_figures == of_first) == (i == 0)
    assert len(trainer.test(module, [valid, test], verbose=False)) == 2
    assert [len(part) for part in trainer.predict(module, [valid, test]) or []] == [1, 1]


@pytest.mark.parametrize("balancing", ["fixed", "uncertainty", "gradnorm", "pcgrad"])
def test_a_plain_loader_of_64_bits_that_ends_with_one_row_trains(
    data: Dataset, tmp_path: Path, balancing: str
) -> None:
    def loader(split: Split, rows: int, size: int) -> DataLoader[Any]:
        ids, dense, labels = columns_of(split, [slice(rows)], CPU)
        return DataLoader(TensorDataset(ids.long(), dense.double(), labels.long()), size)

    module = FSMDModule.create(replace(SMALL, balancing=balancing), data.schema, seed=0)
    trainer = plain_trainer(tmp_path, accumulate_grad_batches=2)
    trainer.fit(module, loader(data.train, 301, 100), loader(data.valid, 301, 300))
    assert all(0 < value < 1 for value in module.valid_figures.values())
    assert trainer.global_step == 2


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_batch_without_what_the_schema_says_is_refused(draws: st.DataObject) -> None:
    tasks = tuple(Task(f"task {k}") for k in range(draws.draw(st.integers(1, 3))))
    masked, weighted = draws.draw(st.booleans()), draws.draw(st.booleans())
    schema = Schema("any", (Field("f", 3),), ("d",), tasks, masked, weighted)
    config = replace(SMALL, chain=False)
    module = FSMDModule.create(config, schema, seed=0).train(draws.draw(st.booleans()))
    ids, dense, labels = torch.zeros(3, 1, dtype=torch.int32), torch.ones(3, 1), torch.eye(3)
    labels, weights = labels[:, : len(tasks)].clone(), torch.tensor([0.0, 1.0, 2.0])
    good: list[Any] = [ids, dense, labels, *([weights] if weighted else [])]
    if masked:
        labels[draws.draw(st.integers(0, 2)), 0] = torch.nan
    assert module.losses(tuple(good)).isfinite().all()
    outside = torch.where(ids == 0, draws.draw(st.sampled_from([-1.0, 0.5, 2.0, torch.inf])), 0.0)
    bad: list[list[Any]] = [
        good[:-1],
        [*good, weights],
        [tuple(good)] * len(good),
        [ids.float(), *good[1:]],
        [ids, dense, labels[:, 0], *good[3:]],
        [ids, dense, labels[:2], *good[3:]],
        [ids, dense, labels.repeat(1, 2), *good[3:]],
        [ids, dense, labels + outside, *good[3:]],
    ]
    bad += [] if masked else [[ids, dense, labels * torch.nan, *good[3:]]]
    if weighted:
        impossible = draws.draw(st.sampled_from([-1.0, torch.inf, torch.nan]))
        bad += [[*good[:3], weights[:, None]], [*good[:3], weights + impossible]]
    for batch in bad:
        for use in (module.losses, lambda batch: module.validation_step(batch, 0)):
            with pytest.raises(UserError, match=r"of a batch must be|a batch must be the"):
                use(tuple(batch))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_rows_that_the_schema_does_not_describe_are_refused(draws: st.DataObject) -> None:
    fields = draws.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    lengths = [draws.draw(st.integers(1, 3)) for _ in fields]
    field_C = [i for i, length in enumerate(lengths) for _ in range(length)]
    schema = Schema(
        "any",
        tuple(Field(f"field {i}", n, lengths[i]) for i, n in enumerate(fields)),
        ("d",),
        (Task("a"),),
    )
    config = replace(SMALL, chain=False)
    module = FSMDModule.create(config, schema, seed=0).train(draws.draw(st.booleans()))
    ids = torch.tensor(
        [
            [draws.draw(st.integers(-(lengths[i] > 1), fields[i] - 1)) for i in field_C]
            for _ in range(3)
        ],
        dtype=torch.int32,
    )
    dense, labels = torch.zeros(3, 1), torch.tensor([[0.0], [1.0], [0.0]])
    assert module(ids, dense).isfinite().all()
    column = draws.draw(st.integers(0, len(field_C) - 1))
    spoilt = field_C[column]
    size, least = fields[spoilt], -(lengths[spoilt] > 1)
    ids[draws.draw(st.integers(0, 2)), column] = draws.draw(
        st.one_of(st.integers(-(2**31), least - 1), st.integers(size, 2**31 - 1))
    )
    for use in (
        lambda: module(ids, dense),
        lambda: module.predict_step((ids, dense), 0),
        lambda: module.losses((ids, dense, labels)),
        lambda: module.validation_step((ids, dense, labels), 0),
    ):
        with pytest.raises(UserError, match=f"field 'field {spoilt}' must lie between {least}"):
            use()
    for wrong in ((ids[:, :0], dense), (ids, torch.zeros(3, 2)), (ids[0], dense)):
        with pytest.raises(UserError, match="a batch must have ids of"):
            module(*wrong)
