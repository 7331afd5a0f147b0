"""Convolutions over small maps on a CPU, in training: the same sums as torch's in another order.

oneDNN is made for large maps, and small pictures bring every network to small ones.

**Depthwise.** Where a map is smaller than the kernel that goes over it (5×5 over 4×4 in the last
stages of MobileNetV3 or EfficientNet, 7×7 over 4×4 in ConvNeXt's, for pictures of 32 pixels),
oneDNN has no kernel for the gradient of the weights and multiplies matrices of a single row, a
channel and a picture at a time: ten to two hundred times as long as it needs, and 40 % of a step
of MobileNetV3. Here it is all pairs of places first, a product of matrices for each channel, of
which every tap of the kernel then sums its own; output and gradient of the map stay torch's:

    P[c, i, o] = Σ_n x[n, c, i] · g[n, c, o]        i, o: a place of the input, of the output
    dw[c, t]   = Σ_{i, o} P[c, i, o] · M[i, o, t]   M: 1 where tap t reads i for o, else 0

**Pointwise.** A 1×1 convolution of a map with channels last is a product of two matrices that lie
ready. oneDNN brings the weights into an order of its own before each of its three products; over
few places that takes longer than the products.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable

from .convolution_matrix import Pair, convolution_matrix

PLACES = 64
"""Most places of a map: products of all pairs of them grow with their square."""

ROWS = 2048
"""Most places of a batch, pointwise: with 4,096 there is as much to lose as to gain."""

PRODUCTS = 2**25
"""Most multiplications, pointwise, on a processor with AVX-512: oneDNN uses that better than the
product of matrices does, so that with more of them the order of the weights matters less."""


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """`torch.nn.functional.conv2d`, otherwise where that is faster (`depthwise`, `pointwise`)."""
    if isinstance(padding, str) or not _trains(input, weight):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    steps, margins = _pair(stride), _pair(padding)
    if depthwise(input, weight, groups) and _pair(dilation) == (1, 1):
        result: Tensor = _Depthwise.apply(  # type: ignore[no-untyped-call]
            input, weight, bias, steps, margins
        )
        return result
    if pointwise(input, weight, groups) and steps == (1, 1) and margins == (0, 0):
        rows = F.linear(input.permute(0, 2, 3, 1), weight.flatten(1), bias)
        return rows.permute(0, 3, 1, 2)
    return F.conv2d(input, weight, bias, stride, padding, dilation, groups)


def depthwise(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether these are depthwise weights and a map for which our gradient is faster: smaller than
    the kernel, or small and the kernel larger than 3×3; with channels last only with AVX-512."""
    if not groups == weight.shape[0] == x.shape[1] > 1 or _places(x) > PLACES:
        return False
    height, width = weight.shape[2:]
    if height > x.shape[2] or width > x.shape[3]:
        return True
    if max(height, width) <= 3:
        return False
    return _has_avx512() or not x.is_contiguous(memory_format=torch.channels_last)


def pointwise(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether these are 1×1 weights and a map that is faster as a matrix: few places, and the
    channels of each together; with AVX-512, few multiplications as well."""
    rows = len(x) * _places(x)
    return (
        groups == weight.shape[2] == weight.shape[3] == 1
        and _places(x) <= PLACES
        and rows <= ROWS
        and (rows * weight.numel() <= PRODUCTS or not _has_avx512())
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def layers(model: nn.Module) -> list[nn.Conv2d]:
    """The layers for which `conv2d` has a way of its own, were the map small enough."""
    return [
        module
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
        and module.padding_mode == "zeros"
        and (
            module.groups == module.in_channels == module.out_channels > 1
            or (module.groups == 1 and max(module.kernel_size) == 1)
        )
    ]


def _has_avx512() -> bool:
    return torch.backends.cpu.get_cpu_capability() == "AVX512"


def _places(x: Tensor) -> int:
    return x.shape[2] * x.shape[3]


def _trains(x: Tensor, weight: Tensor) -> bool:
    """Whether it is known how fast this is: whole pictures, on a CPU, not in half precision."""
    return (
        x.ndim == 4
        and x.device.type == "cpu"
        and x.dtype == weight.dtype
        and x.dtype in (torch.float32, torch.float64)
        and weight.requires_grad
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
    )


class _Depthwise(Function):
    """(x, weight, bias or None, stride, padding) to the map."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair
    ) -> Tensor:
        """As torch does it."""
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Those of map, weight and bias."""
        x, weight = ctx.saved_tensors
        of_map, of_weight, of_bias, *_ = ctx.needs_input_grad
        return (
            _of_map(grad, x, weight, ctx.stride, ctx.padding) if of_map else None,
            _of_weight(grad, x, weight, ctx.stride, ctx.padding) if of_weight else None,
            grad.sum((0, 2, 3)) if of_bias else None,
            None,
            None,
        )


def _of_map(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    found: Tensor = torch.ops.aten.convolution_backward(
        grad,
        x,
        weight,
        None,
        stride,
        padding,
        (1, 1),
        False,
        (0, 0),
        len(weight),
        (True, False, False),
    )[0]
    return found


def _of_weight(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    pairs = torch.bmm(_by_channel(x).transpose(1, 2), _by_channel(grad)).flatten(1)
    height, width = x.shape[2:]
    meet = convolution_matrix((height, width), tuple(weight.shape[2:]), stride, padding)
    return (pairs @ meet.to(pairs.dtype)).view_as(weight)


def _by_channel(x: Tensor) -> Tensor:
    """(C, N, H·W), contiguous, of a map in either memory layout."""
    count, channels = x.shape[:2]
    if x.is_contiguous(memory_format=torch.channels_last):
        rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
        return rows.t().contiguous().view(channels, count, -1)
    return x.flatten(2).transpose(0, 1).contiguous()


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
