"""Hidden layers of networks side by side, and weighted sums of what they give.

While training, all layers of all networks that read one input are one step of autograd: as
modules of their own they cost as much again as their products do. Suffixes as in `fsmd.model`;
N networks, I inputs and O outputs of a layer.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, ClassVar, NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

TOGETHER = 2**21
"""Bytes of a layer's output up to which all networks are one product. Measured on a CPU: above,
the passes over it miss the cache, and one network after the other is faster."""
ALIGNED = 8
"""Numbers of single precision: products with matrices of such a width are up to twice as fast."""
_EPSILON, _MOMENTUM = 1e-5, 0.1  # of batch norm: torch's own
_relu_backward = torch.ops.aten.threshold_backward
_norm_backward = torch.ops.aten.native_batch_norm_backward


class Batchable:
    """While it is entered, layers compute by operators that `torch.vmap` can batch alone.

    Nothing is drawn then: dropout takes `bits`, 16 a unit, in the order in which a training on a
    CPU draws them, and a tensor of one `rate`. Without them nothing is dropped, and `draws` tells
    how many 64-bit draws would have been taken.
    """

    entered: ClassVar["Batchable | None"] = None

    def __init__(self, bits: Tensor | None = None, rate: Tensor | None = None) -> None:
        self.bits, self.rate, self.draws = bits, rate, 0

    def __enter__(self) -> Self:
        Batchable.entered = self
        return self

    def __exit__(self, *_: object) -> None:
        Batchable.entered = None

    def dropped(self, x: Tensor) -> Tensor:
        """As `_dropped`."""
        first, self.draws = 4 * self.draws, self.draws + _draws(x)
        if self.bits is None or self.rate is None:
            return x
        threshold = ((self.rate * 2**16).round() - 2**15).to(torch.int32)
        kept = self.bits[first : first + x.numel()].view(x.shape) >= threshold
        return x * (kept.to(x.dtype) * (1 / (1 - self.rate)).to(x.dtype))


class Dropout(nn.Module):
    """Inverted dropout of any shape; five times faster than torch's on a CPU.

    torch draws a float for each unit; 16 random bits are enough, so one 64-bit draw serves
    four units (the rate is rounded to a multiple of 2**-16).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Zero each unit with probability `rate` in training and scale up the others."""
        return _dropped(x, self.rate) if self.training else x


def _draws(x: Tensor) -> int:
    """64-bit draws that serve all units of `x`."""
    return (x.numel() + 3) // 4


def _dropped(x: Tensor, rate: float) -> Tensor:
    if not rate:
        return x
    if Batchable.entered is not None:
        return Batchable.entered.dropped(x)
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    draws = torch.empty(_draws(x), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[: x.numel()].view(x.shape)
    kept = bits >= round(rate * 2**16) - 2**15
    return x * kept.to(x.dtype).mul_(1 / (1 - rate))


class HiddenLayer(nn.Module):
    """Linear, batch norm, ReLU, dropout: one layer of N networks.

    Before batch norm there is no bias: the mean that is taken away would take it away too.
    """

    def __init__(self, count: int, d_in: int, width: int, batch_norm: bool, rate: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, d_in, width))
        self.bias = None if batch_norm else nn.Parameter(torch.zeros(count, width))
        self.norm = nn.BatchNorm1d(count * width, _EPSILON, _MOMENTUM) if batch_norm else None
        self.relu = nn.ReLU()
        self.dropout = Dropout(rate)

    def forward(self, x_BI: Tensor, network: int) -> Tensor:
        """B x O of one of the networks."""
        weight_IO = self.weight[network].to(x_BI.dtype)
        if self.bias is not None:
            x_BO = torch.addmm(self.bias[network].to(x_BI.dtype), x_BI, weight_IO)
        else:
            scale, shift, mean, variance = self.norm_of(range(network, network + 1))
            x_BO = F.batch_norm(
                *(x_BI @ weight_IO, mean, variance, scale, shift),
                *(self.training, _MOMENTUM, _EPSILON),
            )
        out_BO: Tensor = self.dropout(self.relu(x_BO))
        return out_BO

    def units(self, networks: range) -> slice:
        """Where the units of some networks stand among those of all."""
        width = self.weight.shape[2]
        return slice(networks.start * width, networks.stop * width)

    def norm_of(self, networks: range) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scale, shift, running mean and running variance of the units of some networks."""
        norm, own = self.norm, self.units(networks)
        assert norm is not None
        assert norm.running_mean is not None
        assert norm.running_var is not None
        return norm.weight[own], norm.bias[own], norm.running_mean[own], norm.running_var[own]


class HiddenLayers(nn.ModuleList):
    """The hidden layers of `count` networks that read one input, B x d_in -> B x widths[-1] each.

    They train in the precision of what comes in; parameters and statistics are as they are.
    """

    def __init__(
        self,
        d_in: int,
        widths: Sequence[int],
        batch_norm: bool,
        dropout: float = 0.0,
        count: int = 1,
    ) -> None:
        super().__init__(
            HiddenLayer(count, source, target, batch_norm, dropout)
            for source, target in pairwise([d_in, *widths])
            if count
        )
        self.count, self.widths = count, widths
        self.batch_norm = batch_norm

    def forward(self, x_BI: Tensor) -> Tensor:
        """B x N x widths[-1]."""
        if Batchable.entered and self.training and self.batch_norm and len(self):
            return self._batchable(x_BI)
        autocast = torch.is_autocast_enabled(x_BI.device.type)
        # Of one row `F.batch_norm` raises an error, and the one of `_Trained` gives NaN. One
        # network by itself is faster layer by layer.
        several = self.count > 1 and len(self) and len(x_BI) > 1
        if several and self.training and self.batch_norm and not autocast:
            trained_BNO: Tensor = _Trained.apply(x_BI, tuple(self), *_parameters(self))  # type: ignore[no-untyped-call]
            return trained_BNO
        outputs = []
        for network in range(self.count):
            out_BO = x_BI
            for layer in self:
                out_BO = layer(out_BO, network)
            outputs.append(out_BO)
        if not outputs:
            return x_BI.new_zeros(len(x_BI), 0, self.widths[-1])
        return torch.stack(outputs, 1)

    def _batchable(self, x_BI: Tensor) -> Tensor:
        """As `_Trained`, which `torch.vmap` cannot enter."""
        layers = [layer for layer in self if isinstance(layer, HiddenLayer)]
        weights, outputs = [layer.weight.to(x_BI.dtype) for layer in layers], list[Tensor]()
        for group in _groups(x_BI, weights):
            x = x_BI
            for layer, weight_NIO in zip(layers, weights, strict=True):
                scale, shift, mean, variance = layer.norm_of(group)
                product = _product(x, weight_NIO[group.start : group.stop])
                # Batched, batch norm takes statistics that lie close together alone, and no
                # shorter numbers beside whole ones.
                moved = mean.clone(), variance.clone()
                normed = F.batch_norm(
                    product.to(scale.dtype), *moved, scale, shift, True, _MOMENTUM, _EPSILON
                )
                mean.copy_(moved[0])
                variance.copy_(moved[1])
                x = layer.dropout(layer.relu(normed.to(x_BI.dtype)))
            outputs.append(x)
        return _side_by_side(outputs).view(len(x_BI), self.count, -1)


def _parameters(layers: Iterable[nn.Module]) -> Iterator[Tensor]:
    """Weight, scale and shift of layers with batch norm; `parameters()` would cost a step 3 %."""
    for layer in layers:
        assert isinstance(layer, HiddenLayer)
        assert layer.norm is not None
        yield from (layer.weight, layer.norm.weight, layer.norm.bias)


def _product(x: Tensor, weight_NIO: Tensor) -> Tensor:
    """B x (N O), of an input that all N read, B x I, or that has a part for each, B x (N I)."""
    count, d_in, _ = weight_NIO.shape
    if x.shape[1] == d_in:
        return x @ _flat(weight_NIO)
    return _side_by_side(map(torch.mm, x.chunk(count, 1), weight_NIO))


def _flat(weight_NIO: Tensor) -> Tensor:
    """I x (N O)."""
    return weight_NIO.transpose(0, 1).reshape(weight_NIO.shape[1], -1)


def _side_by_side(parts: Iterable[Tensor]) -> Tensor:
    """Of matrices of B rows, one."""
    first, *others = parts
    return torch.cat([first, *others], 1) if others else first


def _groups(x_BI: Tensor, weights: Sequence[Tensor]) -> list[range]:
    """The networks, those together whose products are one."""
    count = len(weights[0])
    units = max(count * weight_NIO.shape[2] for weight_NIO in weights)
    together = x_BI.is_cuda or len(x_BI) * units * x_BI.element_size() <= TOGETHER
    step = count if together else 1
    return [range(n, n + step) for n in range(0, count, step)]


def _slope_before(slope: Tensor, out: Tensor, layer: HiddenLayer) -> Tensor:
    """The way back through a layer's dropout and ReLU, which gave `out`."""
    slope = _relu_backward(slope, out, 0)
    return slope.mul_(1 / (1 - layer.dropout.rate)) if layer.dropout.rate else slope


class _Kept(NamedTuple):
    """What the way back through a layer needs, of one group of networks."""

    x: Tensor
    weight: Tensor
    product: Tensor
    scale: Tensor
    mean: Tensor
    root: Tensor
    """1 / standard deviation."""


class _Trained(torch.autograd.Function):
    """All layers of N networks with batch norm; parameters: weight, scale and shift of each layer.

    Groups of networks come one after the other, so that what a layer reads is in the cache.
    """

    @staticmethod
    def forward(ctx: Any, x_BI: Tensor, layers: Sequence[HiddenLayer], *_: Tensor) -> Tensor:
        weights = [layer.weight.to(x_BI.dtype) for layer in layers]
        spare = -x_BI.shape[1] % ALIGNED if x_BI.dtype == torch.float32 else 0
        if spare:
            x_BI, weights[0] = F.pad(x_BI, (0, spare)), F.pad(weights[0], (0, 0, 0, spare))
        ctx.layers, ctx.groups = layers, _groups(x_BI, weights)
        kept: list[_Kept] = []
        outputs: list[Tensor] = []
        for group in ctx.groups:
            x = x_BI
            for layer, weight_NIO in zip(layers, weights, strict=True):
                weight = weight_NIO[group.start : group.stop]
                scale, shift, mean, variance = layer.norm_of(group)
                product = _product(x, weight)
                out, mean, root = torch.native_batch_norm(
                    product, scale, shift, mean, variance, True, _MOMENTUM, _EPSILON
                )
                out = _dropped(out.relu_(), layer.dropout.rate)
                kept.append(_Kept(x, weight, product, scale, mean, root))
                x = out
            outputs.append(x)
        out_BNO = _side_by_side(outputs).view(len(x_BI), len(weights[-1]), -1)
        ctx.save_for_backward(out_BNO, *chain.from_iterable(kept))
        return out_BNO

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_BNO: Tensor) -> tuple[Tensor | None, ...]:
        layers, (out_BNO, *tensors) = ctx.layers, ctx.saved_tensors
        kept = [_Kept(*each) for each in zip(*[iter(tensors)] * len(_Kept._fields), strict=True)]
        found = [torch.empty_like(parameter) for parameter in _parameters(layers)]
        d_in, of_x = layers[0].weight.shape[1], None
        slope_BNO = _slope_before(slope_BNO, out_BNO, layers[-1])
        for g, group in enumerate(ctx.groups):
            count = len(group)
            slope = slope_BNO[:, group.start : group.stop].flatten(1).contiguous()
            for i, layer in reversed(list(enumerate(layers))):
                at = kept[g * len(layers) + i]
                of_weight, of_scale, of_shift = found[3 * i : 3 * i + 3]
                of_own, units = of_weight[group.start : group.stop], layer.units(group)
                slope, of_scale[units], of_shift[units] = _norm_backward(
                    *(slope, at.product, at.scale, None, None, at.mean, at.root),
                    *(True, _EPSILON, (True, True, True)),
                )
                if i:
                    parts = slope.chunk(count, 1)
                    for into, x, part in zip(of_own, at.x.chunk(count, 1), parts, strict=True):
                        into.copy_(x.T @ part)
                    slope = _side_by_side(map(torch.mm, parts, at.weight.transpose(1, 2)))
                    slope = _slope_before(slope, at.x, layers[i - 1])
                    continue
                of_padded = (at.x.T @ slope).unflatten(1, (count, -1)).transpose(0, 1)
                of_own.copy_(of_padded[:, :d_in])
                if ctx.needs_input_grad[0]:
                    flat = _flat(at.weight).T
                    of_x = slope @ flat if of_x is None else of_x.addmm_(slope, flat)
        of_x = None if of_x is None else of_x[:, :d_in]
        return of_x, None, *found


def mix(weight_G_BN: Sequence[Tensor], vector_BNH: Tensor) -> list[Tensor]:
    """What each of G gates makes of the same vectors: their weighted sum, B x H (Eq. 5)."""
    weight_BGN = torch.stack(list(weight_G_BN), 1).to(vector_BNH.dtype)
    return list(torch.bmm(weight_BGN, vector_BNH).unbind(1))
