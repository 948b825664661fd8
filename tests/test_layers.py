"""Hidden layers that train side by side are what torch's own modules are, one by one."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import fsmd.layers
from fsmd.layers import Dropout, HiddenLayers, mix
from fsmd.model import EmbeddingTable

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS, EXACT = 24, 1e-12
EVERY_SHAPE = [
    (d_in, widths, count)
    for d_in in (7, 8)
    for widths in ((5,), (8, 6), (6, 16, 5))
    for count in (1, 3)
]


@pytest.fixture(params=["together", "apart"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Whether the products of all networks are one."""
    monkeypatch.setattr(fsmd.layers, "TOGETHER", 2**40 if request.param == "together" else 0)
    way: str = request.param
    return way


BOTH_WAYS = pytest.mark.usefixtures("way")


def drawn(*shape: int, seed: int = 0, kind: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(kind)


def layers_of(
    d_in: int,
    widths: Sequence[int],
    count: int,
    batch_norm: bool = True,
    dropout: float = 0.0,
    kind: torch.dtype = torch.float64,
) -> HiddenLayers:
    layers = HiddenLayers(d_in, widths, batch_norm, dropout, count).to(kind)
    with torch.no_grad():
        for i, parameter in enumerate(layers.parameters()):
            parameter.copy_(drawn(*parameter.shape, seed=i + 1) * 0.5)
    return layers


def plain_of(layers: HiddenLayers, network: int) -> nn.Sequential:
    """One of the networks, of torch's own modules and our dropout."""
    parts: list[nn.Module] = []
    kind = next(layers.parameters()).dtype
    for layer in layers:
        _, d_in, width = layer.weight.shape  # type: ignore[misc]
        linear = nn.Linear(d_in, width, bias=not layers.batch_norm, dtype=kind)
        own = {"weight": layer.weight[network].T}  # type: ignore[index]
        if not layers.batch_norm:
            own["bias"] = layer.bias[network]  # type: ignore[index]
        linear.load_state_dict(own)
        parts.append(linear)
        if layers.batch_norm:
            norm = nn.BatchNorm1d(width, dtype=kind)
            norm.load_state_dict(norm_state(layer, network))
            parts.append(norm)
        parts += [nn.ReLU(), Dropout(layer.dropout.rate)]  # type: ignore[union-attr, arg-type]
    return nn.Sequential(*parts)


def norm_state(layer: Any, network: int) -> dict[str, Tensor]:
    """What the batch norm of one of the networks holds."""
    width = layer.weight.shape[2]
    own = slice(network * width, (network + 1) * width)
    return {name: v[own] if v.ndim else v for name, v in layer.norm.state_dict().items()}


def gradients_of(layers: HiddenLayers, network: int) -> list[Tensor]:
    """Of the parameters of one of the networks, in the order and shapes of torch's modules."""
    found = []
    for parameter in layers.parameters():
        assert parameter.grad is not None
        assert parameter.grad.dtype == parameter.dtype
        own = parameter.grad.chunk(layers.count)[network]
        found.append(own[0].T if own.ndim == 3 else own.flatten())
    return found


def assert_close(got: Any, want: Any, tolerance: float = EXACT) -> None:
    torch.testing.assert_close(got, want, rtol=tolerance, atol=tolerance)


def assert_gradients_alike(
    layers: HiddenLayers, plain: Sequence[nn.Module], tolerance: float = EXACT
) -> None:
    """Of all parameters; zeros where torch has none."""
    for n, network in enumerate(plain):
        want = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]
        assert_close(gradients_of(layers, n), want, tolerance)


def assert_alike_both_ways(
    got: Sequence[Tensor], want: Sequence[Tensor], x: Tensor, plain_x: Tensor
) -> None:
    """The outputs, and what any slopes of them give the inputs."""
    assert_close(got, want)
    slopes = [drawn(*out.shape, seed=n) for n, out in enumerate(got)]
    torch.autograd.backward(got, slopes)
    torch.autograd.backward(want, slopes)
    assert_close(x.grad, plain_x.grad)


def assert_trains_alike(
    layers: HiddenLayers,
    x: Tensor,
    slopes: Sequence[Tensor | None],
    tolerance: float = EXACT,
) -> None:
    """Outputs, gradients of input and parameters, and statistics; `None`: an unused output."""
    plain = [plain_of(layers, n) for n in range(layers.count)]
    plain_x = x.detach().clone().requires_grad_(x.requires_grad)
    used = [n for n, slope in enumerate(slopes) if slope is not None]
    chosen: Any = [slopes[n] for n in used]
    got, want = layers(x).unbind(1), [network(plain_x) for network in plain]
    assert all(out.any() for out in got)
    assert_close(got, want, tolerance)
    torch.autograd.backward([got[n] for n in used], chosen)
    torch.autograd.backward([want[n] for n in used], chosen)
    if x.requires_grad:
        assert_close(x.grad, plain_x.grad, tolerance)
    assert_gradients_alike(layers, plain, tolerance)
    for n, network in enumerate(plain):
        norms = [module for module in network if isinstance(module, nn.BatchNorm1d)]
        for layer, norm in zip(layers, norms, strict=True):
            state, wanted = norm_state(layer, n), norm.state_dict()
            for name in ("running_mean", "running_var"):
                assert_close(state[name], wanted[name], tolerance)


@BOTH_WAYS
@pytest.mark.parametrize(("d_in", "widths", "count"), EVERY_SHAPE)
def test_a_step_of_training_is_that_of_torchs_own_modules(
    d_in: int, widths: tuple[int, ...], count: int
) -> None:
    layers, kind = layers_of(d_in, widths, count), torch.float64
    for step in range(2):  # the statistics move from where the first step left them
        layers.zero_grad()
        x = (3 * drawn(ROWS, d_in, seed=step) + 1).requires_grad_()
        slopes = [drawn(ROWS, widths[-1], seed=10 + n, kind=kind) for n in range(count)]
        assert_trains_alike(layers, x, slopes)
    plain = [plain_of(layers, n).eval() for n in range(count)]
    x = drawn(ROWS, d_in, seed=5)
    assert_close([*layers.eval()(x).unbind(1)], [network(x) for network in plain])


@BOTH_WAYS
@pytest.mark.parametrize(("d_in", "widths", "count"), EVERY_SHAPE)
def test_a_step_of_training_is_that_of_torchs_own_modules_in_single_precision(
    d_in: int, widths: tuple[int, ...], count: int
) -> None:
    kind = torch.float32
    layers = layers_of(d_in, widths, count, kind=kind)
    x = drawn(ROWS, d_in, kind=kind).requires_grad_()
    slopes = [drawn(ROWS, widths[-1], seed=10 + n, kind=kind) / ROWS for n in range(count)]
    assert_trains_alike(layers, x, slopes, 1e-5)


@BOTH_WAYS
def test_gradients_are_those_of_finite_differences() -> None:
    layers = layers_of(3, (4, 5), count=2)
    names = [name for name, _ in layers.named_parameters()]

    def outputs(x: Tensor, *parameters: Tensor) -> tuple[Tensor, ...]:
        called: Any = torch.func.functional_call(
            layers, dict(zip(names, parameters, strict=True)), (x,)
        )
        return tuple(called)

    parameters = [(1.5 * p).detach().requires_grad_() for p in layers.parameters()]
    x = drawn(5, 3, seed=3).requires_grad_()
    assert all(out.any() for out in outputs(x, *parameters))
    assert torch.autograd.gradcheck(outputs, (x, *parameters))


@BOTH_WAYS
@pytest.mark.parametrize("unused", [0, 1, 2])
def test_an_output_that_nothing_reads_moves_nothing(unused: int) -> None:
    layers = layers_of(7, (6, 5), count=3)
    slopes = [None if n == unused else drawn(ROWS, 5, seed=n) for n in range(3)]
    assert_trains_alike(layers, drawn(ROWS, 7).requires_grad_(), slopes)


@BOTH_WAYS
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("layout", ["expanded", "transposed", "every other"])
def test_slopes_may_lie_in_memory_in_any_way(layout: str, count: int) -> None:
    slope = {
        "expanded": torch.ones((), dtype=torch.float64).expand(ROWS, 5),
        "transposed": drawn(5, ROWS).T,
        "every other": drawn(ROWS, 10)[:, ::2],
    }[layout]
    layers = layers_of(7, (6, 5), count)
    assert_trains_alike(layers, drawn(ROWS, 7).requires_grad_(), [slope] * count)


@BOTH_WAYS
def test_inputs_may_lie_in_memory_in_any_way_and_need_no_gradient() -> None:
    slopes = [drawn(ROWS, 5, seed=n) for n in range(3)]
    for x in (drawn(ROWS, 7), drawn(7, ROWS).T, drawn(ROWS, 1).expand(ROWS, 7)):
        assert not x.requires_grad
        assert_trains_alike(layers_of(7, (6, 5), 3), x, slopes)


@BOTH_WAYS
def test_several_losses_go_back_through_one_step_one_after_the_other() -> None:
    layers, x = layers_of(7, (6, 5), count=3, dropout=0.3), drawn(ROWS, 7).requires_grad_()
    parameters = [x, *layers.parameters()]
    outputs = layers(x).unbind(1)
    slopes = [[drawn(ROWS, 5, seed=10 * k + n) for n in range(3)] for k in range(2)]
    before = [out.detach().clone() for out in outputs]
    each = [
        torch.autograd.grad(outputs, parameters, slopes[k], retain_graph=True) for k in (0, 1, 0)
    ]
    both = torch.autograd.grad(outputs, parameters, [a + b for a, b in zip(*slopes, strict=True)])
    torch.testing.assert_close(each[2], each[0], rtol=0, atol=0)
    torch.testing.assert_close([a + b for a, b in zip(*each[:2], strict=True)], list(both))
    torch.testing.assert_close([*outputs], before, rtol=0, atol=0)


@BOTH_WAYS
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_parameters_that_moved_before_the_way_back_are_an_error(kind: torch.dtype) -> None:
    for name, _ in layers_of(8, (6, 5), 2).named_parameters():
        layers = layers_of(8, (6, 5), 2, kind=kind)
        loss = layers(drawn(ROWS, 8, kind=kind)).sum()
        with torch.no_grad():
            layers.get_parameter(name).mul_(2)
        if name.endswith("norm.bias"):  # which no gradient depends on
            torch.autograd.backward(loss)
        else:
            with pytest.raises(RuntimeError, match=r"modified.* inplace"):
                torch.autograd.backward(loss)


# --- dropout -----------------------------------------------------------------------------


@BOTH_WAYS
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_a_unit_that_was_dropped_gives_no_gradient_and_the_others_are_scaled_up(
    rate: float, count: int
) -> None:
    layers = layers_of(7, (6,), count, dropout=rate)
    plain = [plain_of(layers, n)[:3] for n in range(count)]  # without dropout
    x, plain_x = (drawn(ROWS, 7).requires_grad_() for _ in range(2))
    got, full = layers(x).unbind(1), [network(plain_x) for network in plain]
    kept = [(out != 0).double() / (1 - rate) for out in got]
    want = [out * factor for out, factor in zip(full, kept, strict=True)]
    there = torch.stack(full) > 0
    assert 0 < (torch.stack(kept)[there] == 0).double().mean() < 1
    assert_alike_both_ways(got, want, x, plain_x)
    assert_gradients_alike(layers, plain)


@pytest.mark.parametrize("count", [1, 3])
def test_dropout_between_layers_goes_back_as_it_came(way: str, count: int) -> None:
    rate, widths = 0.4, (6, 16, 5)
    layers = layers_of(7, widths, count, dropout=rate)
    plain = [plain_of(layers, n) for n in range(count)]
    x, plain_x = (drawn(ROWS, 7).requires_grad_() for _ in range(2))
    torch.manual_seed(0)
    got = layers(x).unbind(1)
    torch.manual_seed(0)
    at_once, ones = count if way == "together" else 1, torch.ones(ROWS, 1, dtype=torch.float64)
    groups = [
        [Dropout(rate)(ones.repeat(1, at_once * width)).chunk(at_once, 1) for width in widths]
        for _ in range(count // at_once)
    ]
    factors = [of_network for group in groups for of_network in zip(*group, strict=True)]
    want = []
    for network, of_network in zip(plain, factors, strict=True):
        out = plain_x
        for i, factor in enumerate(of_network):
            out = network[4 * i : 4 * i + 3](out) * factor
        want.append(out)
    assert_alike_both_ways(got, want, x, plain_x)
    assert_gradients_alike(layers, plain)


@BOTH_WAYS
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_keeps_what_is_expected_of_each_network(rate: float) -> None:
    torch.manual_seed(0)
    layers = layers_of(7, (6,), count=3, dropout=rate, kind=torch.float32)
    x = drawn(40_000, 7, kind=torch.float32)
    full = [plain_of(layers, n)[:3](x) for n in range(3)]
    for got, want in zip(layers(x).unbind(1), full, strict=True):
        torch.testing.assert_close(got.mean(0), want.mean(0), rtol=0.05, atol=0.001)
        kept = (got[want > 0] != 0).float().mean()
        assert float(kept) == pytest.approx(1 - rate, abs=0.01)


# --- other precisions, and what trains in the plain way ---------------------------------------


@BOTH_WAYS
def test_bfloat16_rounds_as_torchs_own_modules_do_in_autocast() -> None:
    """From them 1 %; from single precision 1 % of an output's length, 25 % of a gradient's."""
    x = drawn(256, 7, kind=torch.float32)
    layers, short = (layers_of(7, (32, 16), 3, kind=torch.float32) for _ in range(2))
    plain = [plain_of(layers, n) for n in range(3)]
    slopes = [drawn(256, 16, seed=n, kind=torch.bfloat16) for n in range(3)]
    outputs, short_outputs = layers(x).unbind(1), short(x.bfloat16()).unbind(1)
    with torch.autocast("cpu", torch.bfloat16):
        plain_outputs = [network(x) for network in plain]
    assert {out.dtype for out in short_outputs} == {torch.bfloat16}
    torch.autograd.backward(outputs, [slope.float() for slope in slopes])
    torch.autograd.backward(short_outputs, slopes)
    torch.autograd.backward(plain_outputs, slopes)
    for n, network in enumerate(plain):
        got, long = (gradients_of(each, n) for each in (short, layers))
        assert {gradient.dtype for gradient in got} == {torch.float32}
        for found, of_plain, of_long in zip(got, network.parameters(), long, strict=True):
            assert of_plain.grad is not None
            assert distance(found, of_plain.grad) <= 0.01
            assert distance(found, of_long) <= 0.25
        assert distance(short_outputs[n], plain_outputs[n]) <= 0.01
        assert distance(short_outputs[n], outputs[n]) <= 0.01
    for name, value in short.named_buffers():
        assert value.dtype in (torch.float32, torch.int64)
        torch.testing.assert_close(value, layers.get_buffer(name), rtol=0.01, atol=0.01)


def distance(one: Tensor, other: Tensor) -> float:
    """As a share of the other's length."""
    one, other = one.detach().float(), other.detach().float()
    return float((one - other).norm() / other.norm())


@pytest.fixture
def only_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        pytest.fail("all layers as one step of autograd")

    monkeypatch.setattr(fsmd.layers._Trained, "forward", refused)


@pytest.mark.usefixtures("only_plain")
def test_layers_without_batch_norm_train_as_torchs_own_modules() -> None:
    for d_in, widths, count in EVERY_SHAPE:
        layers = layers_of(d_in, widths, count, batch_norm=False)
        plain = [plain_of(layers, n) for n in range(count)]
        x, plain_x = (drawn(ROWS, d_in).requires_grad_() for _ in range(2))
        got, want = layers(x).unbind(1), [network(plain_x) for network in plain]
        assert_alike_both_ways(got, want, x, plain_x)
        assert_gradients_alike(layers, plain)


@pytest.mark.usefixtures("only_plain")
def test_torchs_autocast_computes_as_it_does_with_its_own_modules() -> None:
    layers = layers_of(7, (6, 5), count=3, kind=torch.float32)
    x = drawn(ROWS, 7, kind=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        got, want = layers(x).unbind(1), [plain_of(layers, n)(x) for n in range(3)]
    assert {out.dtype for out in got} == {torch.bfloat16}
    torch.testing.assert_close([*got], want)
    torch.autograd.backward(torch.stack(got).float().sum())
    assert all(parameter.grad is not None for parameter in layers.parameters())


@pytest.mark.usefixtures("only_plain")
def test_one_row_has_no_batch_norm_as_torch_says() -> None:
    with pytest.raises(ValueError, match="Expected more than 1 value per channel"):
        layers_of(7, (6,), count=2)(drawn(1, 7))


@pytest.mark.parametrize("batch_norm", [True, False])
def test_without_layers_the_input_is_the_output(batch_norm: bool) -> None:
    x = drawn(ROWS, 7)
    assert torch.equal(HiddenLayers(7, (), batch_norm)(x).squeeze(1), x)
    assert HiddenLayers(7, (6, 5), batch_norm, count=0)(x).shape == (ROWS, 0, 5)


# --- mixing, and looking up -------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3])
def test_mixing_is_the_weighted_sum_of_each_gate(count: int) -> None:
    weights, vectors = [drawn(9, count, seed=g) for g in range(2)], drawn(9, count, 4, seed=9)
    want = [torch.einsum("bn,bnh->bh", weight, vectors) for weight in weights]
    assert_close(mix(weights, vectors), want)


def test_mixing_nothing_gives_zeros() -> None:
    assert_close(mix([drawn(9, 0)], drawn(9, 0, 4)), [torch.zeros(9, 4, dtype=torch.float64)])


def test_weights_of_single_precision_get_such_gradients_from_shorter_vectors() -> None:
    weights = drawn(9, 2, kind=torch.float32).requires_grad_()
    vectors = drawn(9, 2, 4, kind=torch.bfloat16).requires_grad_()
    (mixed,) = mix([weights], vectors)
    torch.autograd.backward(mixed.sum())
    assert mixed.dtype == torch.bfloat16
    assert weights.grad is not None
    assert weights.grad.dtype == torch.float32
    want = vectors.detach().float().sum(2)
    torch.testing.assert_close(weights.grad, want, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("blank", [False, True])
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("shape", [(6,), (6, 3), (0, 3), (6, 0)], ids=str)
@pytest.mark.parametrize("kind", [torch.int32, torch.int64], ids=str)
def test_looking_up_a_table_is_that_of_torch_and_its_gradient_too(
    blank: bool, sparse: bool, shape: tuple[int, ...], kind: torch.dtype
) -> None:
    table = EmbeddingTable(5, 4, blank)
    table.sparse = sparse
    with torch.no_grad():
        table.weight.copy_(drawn(*table.weight.shape))
    plain = table.weight.detach().clone().requires_grad_()
    row = torch.arange(torch.Size(shape).numel(), dtype=kind).remainder(5 + blank).view(shape)
    got = table(row)
    want = F.embedding(row, plain, padding_idx=5 if blank else None)
    assert torch.equal(got, want)
    slope = drawn(*want.shape, seed=1, kind=torch.float32)
    got.backward(slope)
    torch.autograd.backward(want, slope)
    assert table.weight.grad is not None
    assert table.weight.grad.is_sparse == sparse
    torch.testing.assert_close(table.weight.grad.to_dense(), plain.grad)
    if blank:
        assert not table.weight.grad.to_dense()[-1].any()
