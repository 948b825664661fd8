"""The model states the paper's theory, and agrees with naive implementations of it."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from fsmd.config import MODELS, FSMDConfig
from fsmd.data.schema import Field, Schema
from fsmd.errors import UserError
from fsmd.layers import Dropout, HiddenLayer
from fsmd.model import (
    FSMD,
    Experts,
    ExtractionLayer,
    FactorizationMachine,
    Gate,
    log_probabilities,
    scores,
    task_losses,
)
from fsmd.tasks import Task, parents

SMALL = FSMDConfig(layers=(6, 5), expert_count=4, gate_width=7, tower_width=8, batch_norm=False)


def rows_of(schema: Schema, rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    ids = [torch.randint(f.cardinality, (rows,), generator=draw) for f in schema.categorical]
    dense = torch.randn(rows, len(schema.dense), generator=draw)
    return torch.stack(ids, 1).to(torch.int32), dense


def schema_of(*tasks: Task) -> Schema:
    fields = (Field("user", 7), Field("video", 5), Field("hour", 4))
    return Schema("tiny", fields, ("duration", "age"), tasks)


TREE = (
    Task("click"),
    Task("cart", after="click"),
    Task("share"),
    Task("like", after="click"),
    Task("buy", after="cart"),
)


def scramble(module: nn.Module, seed: int = 1) -> None:
    """Weights large enough for every part to matter."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.5)


# --- factorization machine ---------------------------------------------------------------


def test_fm_equals_the_double_sum_of_eq_2(schema: Schema) -> None:
    model = FSMD(replace(SMALL, chain=False), schema, seed=0)
    scramble(model)
    ids, dense = rows_of(schema, 9)
    fm, table = model.fms[0], model.embeddings[0].table
    assert isinstance(fm, FactorizationMachine)
    assert isinstance(table, nn.Embedding)
    assert fm.dense_vector is not None
    rows = model.columns(ids)
    got = fm(rows, dense, rows.of(table))
    for b in range(9):
        x = [1.0] * 3 + [float(v) for v in dense[b]]
        w = [fm.weight.weight[r, 0] for r in rows.row_BC[b]] + list(fm.dense_weight)
        v = [table.weight[r] for r in rows.row_BC[b]] + list(fm.dense_vector)
        pairs = combinations(range(5), 2)
        want = fm.bias + sum(wi * xi for wi, xi in zip(w, x, strict=True))
        want = want + sum(v[i] @ v[j] * x[i] * x[j] for i, j in pairs)
        torch.testing.assert_close(got[b], want)


def test_fm_of_wide_and_deep_has_no_second_order(schema: Schema) -> None:
    model = FSMD(replace(SMALL, fm="linear", sharing="none", chain=False), schema, seed=0)
    assert model.fms[0].dense_vector is None
    assert len(model.fms) == 2


def test_fm_adds_one_shared_scalar_to_both_logits(schema: Schema) -> None:
    with_fm = FSMD(SMALL, schema, seed=0)
    without = FSMD(replace(SMALL, fm="none"), schema, seed=0)
    scramble(with_fm.fms)
    difference = with_fm(*rows_of(schema, 8)) - without(*rows_of(schema, 8))
    assert difference.std() > 0.1
    torch.testing.assert_close(difference[:, 0], difference[:, 1])


def test_fm_per_task_has_own_first_orders_and_a_scale_on_the_shared_second(
    schema: Schema,
) -> None:
    model: Any = FSMD(replace(SMALL, fm="per_task"), schema, seed=0)
    shared: Any = FSMD(SMALL, schema, seed=0)
    scramble(model)
    ids, dense = rows_of(schema, 6)
    rows = model.columns(ids)
    vectors = model.embeddings[0](rows)
    got = model.fms[0](rows, dense, vectors)
    assert got.shape == (6, 2)
    fm = model.fms[0]
    for k in range(2):
        one = shared.fms[0]
        with torch.no_grad():
            one.bias.copy_(fm.bias[k : k + 1])
            one.weight.weight.copy_(fm.weight.weight[:, k : k + 1])
            one.dense_weight.copy_(fm.dense_weight[:, k : k + 1])
            one.dense_vector.copy_(fm.dense_vector)
        first = one.bias + rows.of(one.weight).sum(1) + dense @ one.dense_weight
        second = one(rows, dense, vectors) - first
        torch.testing.assert_close(got[:, [k]], first + fm.scale[k] * second)


# --- fields of several ids, and of another's table ------------------------------------------


WITH_TAGS = Schema(
    "tags",
    (Field("video", 6), Field("tags", 5, length=3), Field("last", 6, length=2, share="video")),
    ("age",),
    (Task("click"), Task("long_view", after="click")),
)


def tags_of(rows: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Ids with any number of each field's members missing, at the end or not."""
    draw = torch.Generator().manual_seed(seed)
    columns = [f for f in WITH_TAGS.categorical for _ in range(f.length)]
    ids = [torch.randint(-(f.length > 1), f.cardinality, (rows,), generator=draw) for f in columns]
    ids_BC = torch.stack(ids, 1).to(torch.int32)
    ids_BC[0, 1:4] = -1
    return ids_BC, torch.randn(rows, 1, generator=draw)


def naive_vectors(weight: Tensor, ids_C: Sequence[int]) -> list[Tensor]:
    """Of one row, a vector for each field: the plain mean over its ids."""
    first = {"video": 0, "tags": 6, "last": 0}
    vectors, left = [], list(ids_C)
    for field in WITH_TAGS.categorical:
        members, left = left[: field.length], left[field.length :]
        rows = [weight[first[field.name] + i] for i in members if i >= 0]
        nothing = torch.zeros(weight.shape[1])
        vectors.append(sum(rows, nothing) / len(rows) if rows else nothing)
    return vectors


def scrambled(config: FSMDConfig) -> Any:
    model: Any = FSMD(config, WITH_TAGS, seed=0)
    scramble(model)
    for table in (m for m in model.modules() if isinstance(m, nn.Embedding)):
        with torch.no_grad():
            assert table.padding_idx in (None, len(table.weight) - 1)
            table.weight[table.padding_idx or len(table.weight) :] = 0
    return model


def test_a_field_of_several_ids_is_the_mean_of_those_that_a_row_has() -> None:
    model = scrambled(replace(SMALL, sharing="bottom", fm="shared"))
    assert len(model.embeddings[0].table.weight) == 6 + 5 + 1
    ids, dense = tags_of(12)
    lookup, fm = model.columns(ids), model.fms[0]
    vectors = model.embeddings[0](lookup)
    got = fm(lookup, dense, vectors)
    for b in range(12):
        v = naive_vectors(model.embeddings[0].table.weight, ids[b].tolist())
        torch.testing.assert_close(vectors[b], torch.stack(v))
        first = sum(naive_vectors(fm.weight.weight, ids[b].tolist()), torch.zeros(1))
        every = [*v, dense[b, 0] * fm.dense_vector[0]]
        second = sum((every[i] @ every[j] for i, j in combinations(range(4), 2)), torch.zeros(1))
        want = fm.bias + first + dense[b] @ fm.dense_weight + second
        torch.testing.assert_close(got[b], want)


def test_the_order_of_a_rows_ids_and_the_places_without_any_change_nothing() -> None:
    model = scrambled(SMALL).eval()
    ids, dense = tags_of(12)
    turned = torch.cat([ids[:, :1], ids[:, 1:4].roll(1, 1), ids[:, 4:].flip(1)], 1)
    torch.testing.assert_close(model(turned, dense), model(ids, dense))


def test_a_shared_table_learns_from_both_fields_and_no_id_from_a_place_without_any() -> None:
    model = scrambled(SMALL)
    ids = torch.tensor([[1, 2, -1, -1, 3, -1], [1, -1, -1, -1, -1, -1]], dtype=torch.int32)
    model(ids, torch.zeros(2, 1)).square().sum().backward()
    moved = model.embeddings[0].table.weight.grad.abs().sum(1) > 0
    assert moved.nonzero().flatten().tolist() == [1, 3, 6 + 2]


def test_the_bias_tower_reads_all_columns_of_its_fields() -> None:
    model = scrambled(replace(SMALL, bias_fields=("last", "video")))
    tower, (ids, _) = model.bias_tower, tags_of(12)
    got = tower(ids)
    for b in range(12):
        there = [i for i in ids[b, 4:].tolist() if i >= 0]
        last = sum((tower.tables[0].weight[i] for i in there), torch.zeros(4))
        inputs = torch.cat([last / max(1, len(there)), tower.tables[1].weight[ids[b, 0]]])
        torch.testing.assert_close(got[b], tower.logit(naive_mlp(tower.hidden, inputs)))


@pytest.mark.parametrize("fields", [(Field("a", 3, share="b"), Field("b", 3)), (Field("b", 3),)])
def test_a_field_that_cannot_share_is_refused(fields: tuple[Field, ...]) -> None:
    fields = (*fields, Field("c", 4, share="b"))
    with pytest.raises(UserError, match="must share the ids of a field before it"):
        FSMD(replace(SMALL, chain=False), Schema("x", fields, (), (Task("t"),)), seed=0)


# --- the bias tower ----------------------------------------------------------------------


@pytest.mark.parametrize("tasks", [TREE[:1], TREE[:2], TREE], ids=len)
def test_the_bias_tower_moves_tasks_that_follow_none_in_training_and_nothing_when_predicting(
    tasks: tuple[Task, ...],
) -> None:
    schema, plain_config = schema_of(*tasks), replace(SMALL, chain=len(tasks) > 1)
    config = replace(plain_config, bias_fields=("hour", "user"))
    model: Any = FSMD(config, schema, seed=0)
    plain = FSMD(plain_config, schema, seed=0)
    ids, dense = rows_of(schema, 6)
    scramble(model.bias_tower)
    difference = model.train()(ids, dense) - plain.train()(ids, dense)
    roots = [k for k, task in enumerate(tasks) if task.after is None]
    others = [k for k, task in enumerate(tasks) if task.after is not None]
    torch.testing.assert_close(difference[:, roots], model.bias_tower(ids))
    assert difference[:, roots].abs().min() > 0
    assert not difference[:, others].any()
    assert torch.equal(model.eval()(ids, dense), plain.eval()(ids, dense))


@pytest.mark.parametrize("option", ["bias_fields"])
def test_a_field_that_the_data_has_not_is_refused(schema: Schema, option: str) -> None:
    config = replace(SMALL, **{option: ("hour", "weather")})  # type: ignore[arg-type]
    with pytest.raises(UserError, match="user, video, hour; got 'weather'"):
        FSMD(config, schema, seed=0)


# --- gates and experts -------------------------------------------------------------------


def test_an_equal_gate_is_the_mean_of_the_experts_and_learns_nothing() -> None:
    config = replace(SMALL, gate="equal", gate_depth=3, chain=False)
    layer: Any = ExtractionLayer(config, d_in=9, tasks=2, own=2, last=True)
    scramble(layer)
    x = torch.randn(5, 9)
    outputs, _ = layer([x, x], x)
    for k in range(2):
        experts = [naive_mlp(part, x, n) for part in (layer.shared, layer.own[k]) for n in (0, 1)]
        want = torch.stack(experts).mean(0)
        torch.testing.assert_close(outputs[k], want)
    assert not list(layer.gates.parameters())


def test_own_experts_may_be_all_of_them(schema: Schema) -> None:
    model: Any = FSMD(replace(SMALL, own_experts=4), schema, seed=0)
    level = model.sharing.levels[0]
    assert experts_of(level) == (0, [4, 4])
    assert not list(level.shared.parameters())
    assert model(*rows_of(schema, 3)).shape == (3, 2)
    uneven: Any = FSMD(replace(SMALL, own_experts=1, expert_count=3), schema, seed=0)
    assert experts_of(uneven.sharing.levels[0]) == (2, [1, 1])


def experts_of(level: Any) -> tuple[int, list[int]]:
    """Shared ones, and own ones of each task, by their weights."""
    of_first = [next(hidden.parameters(), torch.empty(0)) for hidden in (level.shared, *level.own)]
    shared, *own = map(len, of_first)
    return shared, own


def test_shared_parameters_are_those_of_no_single_task(schema: Schema) -> None:
    def names(config: FSMDConfig) -> set[str]:
        model = FSMD(config, schema, seed=0)
        shared = {id(p) for p in model.shared_parameters()}
        return {name.partition(".")[0] for name, p in model.named_parameters() if id(p) in shared}

    plain = replace(SMALL, chain=False)
    assert names(replace(plain, sharing="none")) == set()
    assert names(replace(plain, sharing="embeddings")) == {"embeddings", "fms"}
    assert names(plain) == {"embeddings", "fms", "sharing"}
    per_task = FSMD(replace(plain, fm="per_task"), schema, seed=0)
    shared = {id(p) for p in per_task.shared_parameters()}
    of_fm = {n for n, p in per_task.fms.named_parameters() if id(p) in shared}
    assert of_fm == {"0.dense_vector"}
    model = FSMD(plain, schema, seed=0)
    shared = {id(p) for p in model.shared_parameters()}
    for name, parameter in model.named_parameters():
        if any(part in name for part in ("towers.", ".own.", ".gates.")):
            assert id(parameter) not in shared, name
        if ".shared." in name:
            assert id(parameter) in shared, name


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_gate_weights_sum_to_one_and_depth_counts_linear_layers(depth: int) -> None:
    gate = Gate(replace(SMALL, gate_depth=depth), d_in=11, experts=4)
    scramble(gate)
    weights = gate(torch.randn(20, 11))
    assert weights.shape == (20, 4)
    torch.testing.assert_close(weights.sum(1), torch.ones(20))
    assert sum(isinstance(m, nn.Linear | HiddenLayer) for m in gate.modules()) == depth


def test_equal_experts_make_the_gate_irrelevant() -> None:
    layer = ExtractionLayer(SMALL, d_in=9, tasks=2, own=2, last=False)
    scramble(layer)
    first = [parameter[0].detach().clone() for parameter in layer.shared.parameters()]
    for experts in (layer.shared, *layer.own):
        for parameter, of_first in zip(experts.parameters(), first, strict=True):
            with torch.no_grad():
                parameter.copy_(of_first.expand_as(parameter))
    x = torch.randn(12, 9)
    outputs, shared = layer([x, x], x)
    assert shared is not None
    for output in (*outputs, shared):
        torch.testing.assert_close(output, naive_mlp(layer.shared, x))


def naive_mlp(part: Any, x: Tensor, network: int = 0) -> Tensor:
    for layer in part:
        x = (x @ layer.weight[network] + layer.bias[network]).clamp(min=0)
    return x


def naive_gate(gate: Any, x: Tensor) -> Tensor:
    scores = naive_mlp(gate.hidden, x) @ gate.score.weight.T + gate.score.bias
    exponentials = torch.exp(scores)
    return exponentials / exponentials.sum(1, keepdim=True)


def naive_mix(weights: Tensor, candidates: list[Tensor]) -> Tensor:
    return torch.stack([weights[:, [i]] * c for i, c in enumerate(candidates)]).sum(0)


def test_mmoe_agrees_with_a_naive_loop(schema: Schema) -> None:
    config = replace(SMALL, fm="none", sharing="experts", chain=False, gate_depth=2)
    model: Any = FSMD(config, schema, seed=0)
    scramble(model)
    ids, dense = rows_of(schema, 10)
    level = model.sharing.levels[0]
    table = model.embeddings[0].table.weight
    offsets = [0, 7, 12]
    for b in range(10):
        vectors = [table[offsets[f] + int(ids[b, f])] for f in range(3)]
        x = torch.cat([*vectors, dense[b]]).unsqueeze(0)
        for k in range(2):
            weights = naive_gate(level.gates[k], x)
            mixed = naive_mix(weights, [naive_mlp(level.shared, x, n) for n in range(4)])
            tower = model.towers[k]
            hidden = naive_mlp(tower.hidden, mixed)
            want = hidden @ tower.logit.weight.T + tower.logit.bias
            torch.testing.assert_close(model(ids, dense)[b, k], want[0, 0])


def test_extraction_of_two_levels_agrees_with_a_naive_loop() -> None:
    config = replace(SMALL, sharing="extraction", extraction_levels=2, chain=False)
    experts: Any = Experts(config, d_in=9, tasks=2)
    scramble(experts)
    x = torch.randn(6, 9)
    inputs, shared_input = [x, x], x
    for j, level in enumerate(experts.levels):
        assert isinstance(level, ExtractionLayer)
        shared = [naive_mlp(level.shared, shared_input, n) for n in range(2)]
        own = [[naive_mlp(level.own[k], inputs[k], n) for n in range(2)] for k in range(2)]
        outputs = []
        for k in range(2):
            candidates = shared + own[k]
            weights = naive_gate(level.gates[k], inputs[k])
            outputs.append(naive_mix(weights, candidates))
        if j == 0:
            candidates = shared + own[0] + own[1]
            weights = naive_gate(level.shared_gate, shared_input)
            assert weights.shape[1] == 6  # the shared gate weighs ALL experts
            shared_input = naive_mix(weights, candidates)
        else:
            assert level.shared_gate is None
        inputs = outputs
    for got, want in zip(experts([x, x]), inputs, strict=True):
        torch.testing.assert_close(got, want)


def test_extraction_without_own_experts_is_mmoe() -> None:
    config = replace(SMALL, sharing="experts", chain=False)
    layer = ExtractionLayer(config, d_in=9, tasks=2, own=0, last=True)
    scramble(layer)
    x = torch.randn(6, 9)
    stack = torch.stack([naive_mlp(layer.shared, x, n) for n in range(4)], 1)
    outputs, shared = layer([x, x], x)
    assert shared is None
    for k in range(2):
        want = torch.einsum("bn,bnh->bh", layer.gates[k](x), stack)
        torch.testing.assert_close(outputs[k], want)


@pytest.mark.parametrize("name", ["mmoe", "fg", "ple", "fs", "fsmd"])
def test_each_tasks_gate_weighs_expert_count_experts(name: str, schema: Schema) -> None:
    model = FSMD(MODELS[name], schema, seed=0)
    for level in model.sharing.levels:  # type: ignore[union-attr]
        assert isinstance(level, ExtractionLayer)
        for gate in level.gates:
            assert gate.score.out_features == 8  # type: ignore[union-attr]
        assert experts_of(level) == ((8, [0, 0]) if name in ("mmoe", "fg") else (4, [4, 4]))


# --- independence ------------------------------------------------------------------------


def gradients_reach(model: FSMD, task: int, schema: Schema) -> set[str]:
    model.zero_grad()
    model(*rows_of(schema, 16))[:, task].sum().backward()
    return {
        name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum()
    }


@pytest.mark.parametrize("name", ["single_task", "deepfm", "wide_deep"])
def test_models_that_share_nothing_share_no_parameter(name: str, schema: Schema) -> None:
    model = FSMD(MODELS[name], schema, seed=0)
    assert not gradients_reach(model, 0, schema) & gradients_reach(model, 1, schema)


def test_esmm_shares_the_embeddings_and_nothing_else(schema: Schema) -> None:
    model = FSMD(MODELS["esmm"], schema, seed=0)
    both = gradients_reach(model, 0, schema) & gradients_reach(model, 1, schema)
    assert both == {"embeddings.0.table.weight"}


def test_a_task_never_reaches_the_other_tasks_own_experts(schema: Schema) -> None:
    model = FSMD(MODELS["fs"], schema, seed=0)
    assert not any(".own.1." in name for name in gradients_reach(model, 0, schema))
    assert any(".own.0." in name for name in gradients_reach(model, 0, schema))


# --- chain -------------------------------------------------------------------------------

LINE = (None, 0, 1)


def test_a_chained_probability_never_exceeds_that_of_the_task_it_follows() -> None:
    log_p, _ = log_probabilities(torch.randn(500, 5) * 5, parents(TREE))
    for k, parent in enumerate(parents(TREE)):
        if parent is not None:
            assert (log_p[:, k] <= log_p[:, parent]).all()


def naive_product(p: Tensor, tree: Sequence[int | None], k: int) -> Tensor:
    parent = tree[k]
    return p[:, k] if parent is None else naive_product(p, tree, parent) * p[:, k]


@pytest.mark.parametrize("tree", [LINE[:2], LINE, (None, None), parents(TREE)], ids=str)
def test_the_chain_is_the_product_along_the_path_to_the_root_and_its_complement(
    tree: Sequence[int | None],
) -> None:
    logits = torch.randn(200, len(tree), dtype=torch.float64)
    log_p, log_q = log_probabilities(logits, tree)
    want = torch.stack([naive_product(logits.sigmoid(), tree, k) for k in range(len(tree))], 1)
    torch.testing.assert_close(log_p.exp(), want)
    torch.testing.assert_close(log_q.exp(), 1 - want)
    torch.testing.assert_close(scores(logits, tree), (want / (1 - want)).log())


def test_scores_of_tasks_that_follow_none_are_their_logits_to_the_bit() -> None:
    logits = torch.randn(300, 5) * 20
    assert torch.equal(scores(logits, None), logits)
    chained = scores(logits, parents(TREE))
    assert chained.dtype == torch.float32
    for k, parent in enumerate(parents(TREE)):
        assert torch.equal(chained[:, k], logits[:, k]) == (parent is None)


@pytest.mark.parametrize("click", [-50.0, 50.0])
@pytest.mark.parametrize("convert", [-50.0, 50.0])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_loss_and_gradient_are_exact_at_extreme_logits(
    click: float, convert: float, label: float
) -> None:
    logits = torch.tensor([[click, convert]], requires_grad=True)
    labels = torch.tensor([[label, label]])
    loss = task_losses(logits, labels, (None, 0))
    loss.sum().backward()  # type: ignore[no-untyped-call]
    exact = torch.tensor([[click, convert]], dtype=torch.float64)
    log_p = -torch.log1p(torch.exp(-exact)).sum()
    log_q = torch.log(-torch.expm1(log_p)) if log_p < -1e-12 else torch.tensor(-49.3068)
    if click > 0 and convert > 0:
        log_q = torch.log(2 * torch.exp(torch.tensor(-50.0, dtype=torch.float64)))
    want = -(log_p if label else log_q)
    assert loss[1].item() == pytest.approx(float(want), rel=1e-5, abs=1e-7)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert scores(logits, (None, 0)).isfinite().all()


def test_without_the_chain_the_loss_is_cross_entropy_per_task() -> None:
    logits, labels = torch.randn(64, 2), torch.randint(2, (64, 2)).float()
    for k in range(2):
        want = binary_cross_entropy_with_logits(logits[:, k], labels[:, k])
        torch.testing.assert_close(task_losses(logits, labels, None)[k], want)


# --- rows that were not observed, rows that count more -------------------------------------


def some_rows(tasks: int, rows: int = 40) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(4)
    logits = torch.randn(rows, tasks, generator=draw, dtype=torch.float64)
    return logits, torch.randint(2, (rows, tasks), generator=draw).double()


@pytest.mark.parametrize("tree", [None, (None,), LINE, parents(TREE)], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_the_loss_is_the_weighted_mean_over_the_rows_where_a_task_was_observed(
    tree: Sequence[int | None] | None, weighted: bool
) -> None:
    logits, labels = some_rows(len(tree) if tree else 2)
    draw = torch.Generator().manual_seed(5)
    labels[torch.rand(labels.shape, generator=draw) < 0.3] = torch.nan
    weight = torch.rand(len(labels), generator=draw).double() if weighted else None
    got = task_losses(logits, labels, tree, weight_B=weight, masked=True)
    log_p, log_q = log_probabilities(logits, tree)
    for k in range(labels.shape[1]):
        total, above = 0.0, 0.0
        for b in range(len(labels)):
            if not labels[b, k].isnan():
                w = 1.0 if weight is None else float(weight[b])
                total += w
                above -= w * float(log_p[b, k] if labels[b, k] else log_q[b, k])
        assert float(got[k]) == pytest.approx(above / total)


def test_a_row_of_weight_two_counts_as_the_row_twice() -> None:
    logits, labels = some_rows(3)
    weight = torch.ones(40).double()
    weight[:10] = 2
    twice = torch.cat([torch.arange(10), torch.arange(40)])
    torch.testing.assert_close(
        task_losses(logits, labels, LINE, weight_B=weight),
        task_losses(logits[twice], labels[twice], LINE),
    )


def test_a_task_that_no_row_of_a_batch_has_gives_no_loss_and_no_gradient() -> None:
    logits, labels = some_rows(2)
    labels[:, 1] = torch.nan
    logits.requires_grad_()
    loss = task_losses(logits, labels, None, masked=True)
    loss.sum().backward()  # type: ignore[no-untyped-call]
    assert float(loss[1].detach()) == 0
    assert logits.grad is not None
    assert not logits.grad[:, 1].any()
    assert logits.grad[:, 0].any()


def test_nothing_hidden_and_equal_weights_change_nothing_but_rounding() -> None:
    logits, labels = some_rows(2)
    weight = torch.full((40,), 3.0).double()
    torch.testing.assert_close(
        task_losses(logits, labels, (None, 0), weight_B=weight, masked=True),
        task_losses(logits, labels, (None, 0)),
    )


# --- starts and dropout ------------------------------------------------------------------


def test_changing_the_tower_leaves_every_other_part_at_its_start(schema: Schema) -> None:
    one = FSMD(replace(SMALL, tower_shape="diamond", tower_depth=3), schema, seed=3)
    two = FSMD(replace(SMALL, tower_shape="increasing", tower_depth=3), schema, seed=3)
    other = dict(two.named_parameters())
    same = {n for n, p in one.named_parameters() if n in other and torch.equal(p, other[n])}
    assert {n for n in other if not n.startswith("towers")} <= same


def test_more_experts_leave_the_first_ones_at_their_start(schema: Schema) -> None:
    few = dict(FSMD(SMALL, schema, seed=3).named_parameters())
    many = dict(FSMD(replace(SMALL, expert_count=8), schema, seed=3).named_parameters())
    names = [name for name in few if ".shared." in name or ".own." in name]
    assert (
        len(names) == 2 * 2 * 3
    )  # weight and bias of two layers, shared, the first's, the second's
    for name in names:
        assert (len(few[name]), len(many[name])) == (2, 4)
        torch.testing.assert_close(few[name], many[name][:2], rtol=0, atol=0)


def test_experts_start_unlike_each_other_and_seeds_differ(schema: Schema) -> None:
    model: Any = FSMD(SMALL, schema, seed=3)
    level = model.sharing.levels[0]
    first, second = level.shared[0].weight
    assert not torch.equal(first, second)
    units = first.unique(dim=1)
    assert units.shape == first.shape == (14, 6)
    own, other = (level.own[k][0].weight[0] for k in range(2))
    assert not torch.equal(first, own)
    assert not torch.equal(own, other)
    again: Any = FSMD(SMALL, schema, seed=4)
    assert not torch.equal(model.embeddings[0].table.weight, again.embeddings[0].table.weight)


def test_building_a_model_leaves_the_global_generator_alone(schema: Schema) -> None:
    torch.manual_seed(0)
    want = torch.rand(3)
    torch.manual_seed(0)
    state = torch.get_rng_state()
    FSMD(SMALL, schema, seed=3)
    torch.set_rng_state(state)
    assert torch.equal(torch.rand(3), want)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_keeps_its_share_and_the_mean(rate: float) -> None:
    torch.manual_seed(0)
    dropout = Dropout(rate)
    x = torch.ones(1001, 997, requires_grad=True)
    y = dropout(x)
    kept = (y != 0).float().mean().item()
    assert kept == pytest.approx(1 - rate, abs=0.002)
    assert y.detach().mean().item() == pytest.approx(1, abs=0.02)
    y.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad, y.detach())
    # Each quarter of a 64-bit draw is fair.
    lanes = (y.detach().flatten()[: 1001 * 997 // 4 * 4].view(-1, 4) != 0).float().mean(0)
    assert lanes.tolist() == pytest.approx([1 - rate] * 4, abs=0.004)


def test_dropout_is_the_identity_when_predicting() -> None:
    x = torch.randn(5, 3)
    assert Dropout(0.5).eval()(x) is x
