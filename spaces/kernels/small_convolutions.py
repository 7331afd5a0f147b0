"""Convolutions of small maps on a CPU, in training: the same sums as torch's in another order.

torch's convolutions on a CPU are oneDNN's, which are optimised for large maps. With small images,
the maps of every network are small.

**Depthwise.** Where a map is smaller than the kernel (for images of 32 pixels, 5×5 on 4×4 in the
last stages of MobileNetV3 or EfficientNet, 7×7 on 4×4 in those of ConvNeXt), oneDNN has no kernel
for the gradient of the weights. It multiplies matrices of a single row, one channel and one image
at a time. That takes ten to two hundred times as long as necessary, and 40 % of a training step of
MobileNetV3. Here one matrix product per channel computes the products of all pairs of locations,
and every tap of the kernel then sums those that it reads. torch computes the output and the
gradient of the map:

    P[c, i, o] = Σ_n x[n, c, i] · g[n, c, o]        i, o: a location of the input, of the output
    dw[c, t]   = Σ_{i, o} P[c, i, o] · M[i, o, t]   M: 1 where tap t reads i for o, else 0

**Pointwise.** A 1×1 convolution of a map with channels last is a product of two matrices that need
no rearranging. oneDNN copies the weights into its own layout before each of its three products,
which takes longer than the products if there are few locations.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import Function, once_differentiable

from .convolution_matrix import Pair, convolution_matrix
from .dispatch import kernels_enabled
from .limits import current_limits


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Pair = 1,
    padding: int | Pair | str = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """`torch.nn.functional.conv2d`, computed in another way where that is faster.

    `covers_depthwise` and `covers_pointwise` state where that is.

    Args:
        input: the map (N, C, H, W).
        weight: (C_out, C / groups, kernel height, kernel width).
        bias: (C_out,), or None.
        stride: of both directions, or vertical and horizontal.
        padding: likewise, in rows and columns of zeros; or "same" or "valid".
        dilation: likewise.
        groups: groups of channels that are convolved separately.
    """
    if isinstance(padding, str) or not _is_training_on_cpu(input, weight):
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    strides, paddings = _pair(stride), _pair(padding)
    if covers_depthwise(input, weight, groups) and _pair(dilation) == (1, 1):
        result: Tensor = DepthwiseFunction.apply(  # type: ignore[no-untyped-call]
            input, weight, bias, strides, paddings
        )
        return result
    plain_strides = strides == (1, 1) and paddings == (0, 0)
    if covers_pointwise(input, weight, groups) and plain_strides:
        rows = F.linear(input.permute(0, 2, 3, 1), weight.flatten(1), bias)
        return rows.permute(0, 3, 1, 2)
    return F.conv2d(input, weight, bias, stride, padding, dilation, groups)


def covers_depthwise(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether the weight gradient of this file is faster than torch's.

    This is so for depthwise weights if the map is smaller than the kernel, or if it is small and
    the kernel larger than 3×3; with channels last, the second case requires AVX-512.

    Args:
        x: the map (N, C, H, W).
        weight: (C_out, C_in / groups, kernel height, kernel width).
        groups: groups of the convolution.
    """
    if not groups == weight.shape[0] == x.shape[1] > 1:
        return False
    if _locations(x) > current_limits().max_depthwise_locations:
        return False
    height, width = weight.shape[2:]
    if height > x.shape[2] or width > x.shape[3]:
        return True
    if max(height, width) <= 3:
        return False
    return _has_avx512() or not x.is_contiguous(memory_format=torch.channels_last)


def covers_pointwise(x: Tensor, weight: Tensor, groups: int) -> bool:
    """Whether a 1×1 convolution is faster as a matrix product.

    This is so for few locations with channels last; with AVX-512, only for few multiplications.

    Args:
        x: the map (N, C, H, W).
        weight: (C_out, C_in / groups, kernel height, kernel width).
        groups: groups of the convolution.
    """
    limits, rows = current_limits(), len(x) * _locations(x)
    return (
        groups == weight.shape[2] == weight.shape[3] == 1
        and _locations(x) <= limits.max_pointwise_locations
        and rows <= limits.max_pointwise_rows
        and (rows * weight.numel() <= limits.max_pointwise_products or not _has_avx512())
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def replaceable_layers(model: nn.Module) -> list[nn.Conv2d]:
    """The layers that `conv2d` computes in another way if their map is small enough."""
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


def _locations(x: Tensor) -> int:
    return x.shape[2] * x.shape[3]


def _is_training_on_cpu(x: Tensor, weight: Tensor) -> bool:
    """Whether this is what the limits were measured for: training on a CPU in float32 or more."""
    return (
        x.ndim == 4
        and x.device.type == "cpu"
        and x.dtype == weight.dtype
        and x.dtype in (torch.float32, torch.float64)
        and weight.requires_grad
        and torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and kernels_enabled()
    )


class DepthwiseFunction(Function):
    """(x, weight, bias or None, stride, padding) to the map."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: Pair, padding: Pair
    ) -> Tensor:
        """The map, as torch computes it."""
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, bias, stride, padding, groups=len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of map, weight and bias."""
        x, weight = ctx.saved_tensors
        needs_map, needs_weight, needs_bias, *_ = ctx.needs_input_grad
        return (
            _map_gradient(grad, x, weight, ctx.stride, ctx.padding) if needs_map else None,
            _weight_gradient(grad, x, weight, ctx.stride, ctx.padding) if needs_weight else None,
            grad.sum((0, 2, 3)) if needs_bias else None,
            None,
            None,
        )


def _map_gradient(grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
    grad_map: Tensor = torch.ops.aten.convolution_backward(
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
    return grad_map


def _weight_gradient(
    grad: Tensor, x: Tensor, weight: Tensor, stride: Pair, padding: Pair
) -> Tensor:
    pairs = torch.bmm(_by_channel(x).transpose(1, 2), _by_channel(grad)).flatten(1)
    height, width = x.shape[2:]
    matrix = convolution_matrix((height, width), tuple(weight.shape[2:]), stride, padding)
    return (pairs @ matrix.to(pairs.dtype)).view_as(weight)


def _by_channel(x: Tensor) -> Tensor:
    """(C, N, H·W), contiguous, of a map in either memory layout."""
    samples, channels = x.shape[:2]
    if x.is_contiguous(memory_format=torch.channels_last):
        rows = x.permute(0, 2, 3, 1).reshape(-1, channels)
        return rows.t().contiguous().view(channels, samples, -1)
    return x.flatten(2).transpose(0, 1).contiguous()


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
