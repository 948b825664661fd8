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
AT_ONCE = ("cuda",)
"""Devices on which networks, and places of a stack, compute at once: few large steps. On a CPU
their matrices would miss the cache."""
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
        bits = self.bits_of(x.numel())
        if bits is None or self.rate is None:
            return x
        return x * _kept(bits.view(x.shape), self.rate, x.dtype)

    def bits_of(self, units: int) -> Tensor | None:
        """The next bits, of so many units."""
        first, self.draws = 4 * self.draws, self.draws + _draws(units)
        return None if self.bits is None else self.bits[first : first + units]


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


def _draws(units: int) -> int:
    """64-bit draws that serve so many units."""
    return (units + 3) // 4


def _kept(bits: Tensor, rate: Tensor, dtype: torch.dtype) -> Tensor:
    """What dropout multiplies units by."""
    threshold = ((rate * 2**16).round() - 2**15).to(torch.int32)
    return (bits >= threshold).to(dtype) * (1 / (1 - rate)).to(dtype)


def _dropped(x: Tensor, rate: float) -> Tensor:
    if not rate:
        return x
    if Batchable.entered is not None:
        return Batchable.entered.dropped(x)
    if x.device.type != "cpu":
        return F.dropout(x, rate)
    draws = torch.empty(_draws(x.numel()), dtype=torch.int64).random_(-(2**63), None)
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
        entered, at_once = Batchable.entered, x_BI.device.type in AT_ONCE
        if at_once and self.batch_norm and len(self) and not self.training:
            return self._evaluated(x_BI)
        if entered and self.training and self.batch_norm and len(self):
            if at_once and entered.rate is not None:
                return self._of_all_places(x_BI, entered)
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

    def _evaluated(self, x_BI: Tensor) -> Tensor:
        """All networks side by side, batch norm being a part of their products."""
        x_NBI = x_BI.expand(self.count, -1, -1)
        for layer in self:
            assert isinstance(layer, HiddenLayer)
            scale, shift, mean, variance = layer.norm_of(range(self.count))
            factor = scale * (variance + _EPSILON).rsqrt()
            added_N1O = (shift - mean * factor).view(self.count, 1, -1)
            weight_NIO = layer.weight * factor.view(self.count, 1, -1)
            x_NBI = layer.relu(torch.baddbmm(added_N1O, x_NBI, weight_NIO))
        return x_NBI.transpose(0, 1)

    def _of_all_places(self, x_BI: Tensor, entered: Batchable) -> Tensor:
        """As `_batchable`, by fewer passes over what a GPU's memory holds."""
        layers = [layer for layer in self if isinstance(layer, HiddenLayer)]
        tensors = [
            t for layer in layers for t in (layer.weight, *layer.norm_of(range(self.count)))
        ]
        bits = [entered.bits_of(len(x_BI) * self.count * width) for width in self.widths]
        drawn = [part for part in bits if part is not None]
        out_BNO: Tensor = _OfAPlace.apply(x_BI, entered.rate, len(layers), *tensors, *drawn)  # type: ignore[no-untyped-call]
        return out_BNO

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


class _Stacked(torch.autograd.Function):
    """As `_Trained`, of S places at once; gives B x S x N x O.

    Rows come first, then places, networks and units: so each product writes what batch norm reads
    as it is, and reads what batch norm wrote.
    """

    @staticmethod
    def forward(ctx: Any, x_SBI: Tensor, rate_S: Tensor, layers: int, *tensors: Tensor) -> Tensor:
        """tensors: of each layer weight, scale, shift, running mean and variance; then bits."""
        ctx.d_in = x_SBI.shape[2]
        spare = -ctx.d_in % ALIGNED  # products of rows at odd places are slow
        x, bits, kept = F.pad(x_SBI, (0, spare)), tensors[5 * layers :], list[Tensor]()
        for i in range(layers):
            weight_SNIO, scale_SU, shift_SU, *running = tensors[5 * i : 5 * i + 5]
            places, count, _, width = weight_SNIO.shape
            weight = weight_SNIO.to(x.dtype)
            product_BSU = x.new_empty(x_SBI.shape[1], places, count * width)
            if i:
                weight = weight.flatten(0, 1)
                torch.bmm(_by_network(x, weight), weight, out=_by_network(product_BSU, weight, 2))
            else:
                weight = F.pad(weight.transpose(1, 2).flatten(2), (0, 0, 0, spare))
                torch.bmm(x, weight, out=product_BSU.transpose(0, 1))
            product, scale = product_BSU.flatten(1), scale_SU.flatten()
            moved = [statistic_SU.flatten() for statistic_SU in running]
            out, mean, root = torch.native_batch_norm(
                product, scale, shift_SU.flatten(), moved[0], moved[1], True, _MOMENTUM, _EPSILON
            )
            for statistic_SU, new in zip(running, moved, strict=True):
                statistic_SU.copy_(new.view_as(statistic_SU))
            out.relu_()
            if bits:
                bits_BSU = bits[i].view(places, -1, count * width).transpose(0, 1)
                out.view_as(product_BSU).mul_(_kept(bits_BSU, rate_S.unsqueeze(1), out.dtype))
            kept += [x, weight, product, scale, mean, root, out]
            x = out
        ctx.layers, ctx.shape, ctx.drops = layers, tensors[0].shape, bool(bits)
        ctx.rest = [None] * len(bits)
        ctx.save_for_backward(rate_S, *kept)
        return x.view(-1, places, count, width)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_BSNO: Tensor) -> tuple[Tensor | None, ...]:
        rate_S, *tensors = ctx.saved_tensors
        found: list[Tensor | None] = []
        slope, (places, count, *_) = slope_BSNO.flatten(1).contiguous(), ctx.shape
        for i in reversed(range(ctx.layers)):
            x, weight, product, scale, mean, root, out = tensors[7 * i : 7 * i + 7]
            slope = _relu_backward(slope, out, 0)
            if ctx.drops:
                slope_BSU = slope.view(len(slope), places, -1)
                slope_BSU.mul_((1 / (1 - rate_S)).to(slope.dtype).unsqueeze(1))
            slope, *of_norm = _norm_backward(
                *(slope, product, scale, None, None, mean, root),
                *(True, _EPSILON, (True, True, True)),
            )
            of_scale, of_shift = (of.view(places, -1) for of in of_norm)
            if i:
                part = _by_network(slope, weight, 2)
                of_weight = torch.bmm(_by_network(x, weight).mT, part)
                of_weight = of_weight.view(places, count, *of_weight.shape[1:])
                slope = torch.empty_like(x)
                torch.bmm(part, weight.mT, out=_by_network(slope, weight))
            else:
                part = slope.view(len(slope), places, -1).transpose(0, 1)
                of_flat = torch.bmm(x.mT, part)[:, : ctx.d_in]
                of_weight = of_flat.reshape(places, ctx.d_in, count, -1).transpose(1, 2)
                of_x = torch.bmm(part, weight.mT)[:, :, : ctx.d_in]
            found = [of_weight.to(scale.dtype), of_scale, of_shift, None, None, *found]
        return of_x, None, None, *found, *ctx.rest


def _by_network(units: Tensor, weight: Tensor, dim: int = 1) -> Tensor:
    """B x ..., of all places' networks, as (S N) x B x I, or as x O with `dim` 2: no copy."""
    return units.view(len(units), len(weight), weight.shape[dim]).transpose(0, 1)


def _of_places(given: Tensor, dim: int | None, places: int) -> Tensor:
    """What `torch.vmap` hands over, by place."""
    return given.expand(places, *given.shape) if dim is None else given.movedim(dim, 0)


class _OfAPlace(torch.autograd.Function):
    """What `torch.vmap` sees of `_Stacked`."""

    @staticmethod
    def forward(*_: Any) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def setup_context(*_: Any) -> None:
        raise NotImplementedError

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *given: Any) -> tuple[Tensor, int]:
        """Of all places; what they have in common is repeated."""
        stacked = [
            _of_places(each, dim, info.batch_size) if isinstance(each, Tensor) else each
            for each, dim in zip(given, in_dims, strict=True)
        ]
        out_BSNO: Tensor = _Stacked.apply(*stacked)  # type: ignore[no-untyped-call]
        return out_BSNO, 1


class _Mixed(torch.autograd.Function):
    """Of all places, what gates make of B x S x N x H, by weights B x S x G x N: B x S x G x H.

    A GPU multiplies matrices of one column or one row fast, and those of a few of both slowly.
    """

    @staticmethod
    def forward(ctx: Any, weight_BSGN: Tensor, vector_BSNH: Tensor) -> Tensor:
        ctx.save_for_backward(weight_BSGN, vector_BSNH)
        parts = [
            torch.bmm(weight_BSN.flatten(0, 1).unsqueeze(1), vector_BSNH.flatten(0, 1))
            for weight_BSN in weight_BSGN.unbind(2)
        ]
        return torch.stack(parts, 1).view(*weight_BSGN.shape[:3], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope_BSGH: Tensor) -> tuple[Tensor, Tensor]:
        weight_BSGN, vector_BSNH = ctx.saved_tensors
        slope_BSGH = slope_BSGH.contiguous()
        of_weight = torch.bmm(slope_BSGH.flatten(0, 1), vector_BSNH.flatten(0, 1).mT)
        weights, slopes = weight_BSGN.unsqueeze(4).unbind(2), slope_BSGH.unsqueeze(3).unbind(2)
        of_vector = weights[0] * slopes[0]
        for weight_BSN1, slope_BS1H in zip(weights[1:], slopes[1:], strict=True):
            of_vector.addcmul_(weight_BSN1, slope_BS1H)
        return of_weight.view_as(weight_BSGN), of_vector


class _MixedOfAPlace(_OfAPlace):
    """What `torch.vmap` sees of `_Mixed`."""

    @staticmethod
    def vmap(info: Any, in_dims: Sequence[int | None], *given: Any) -> tuple[Tensor, int]:
        """Of all places."""
        moved = [
            each.movedim(dim, 1).contiguous() for each, dim in zip(given, in_dims, strict=True)
        ]
        out_BSGH: Tensor = _Mixed.apply(*moved)  # type: ignore[no-untyped-call]
        return out_BSGH, 1


def mix(weight_G_BN: Sequence[Tensor], vector_BNH: Tensor) -> list[Tensor]:
    """What each of G gates makes of the same vectors: their weighted sum, B x H (Eq. 5)."""
    weight_BGN, entered = torch.stack(list(weight_G_BN), 1).to(vector_BNH.dtype), Batchable.entered
    if entered and entered.rate is not None and vector_BNH.device.type in AT_ONCE:
        mixed_BGH: Tensor = _MixedOfAPlace.apply(weight_BGN, vector_BNH)  # type: ignore[no-untyped-call]
        return list(mixed_BGH.unbind(1))
    return list(torch.bmm(weight_BGN, vector_BNH).unbind(1))
