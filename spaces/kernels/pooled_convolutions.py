"""Convolutions of pooled maps (rows, columns, planes, vectors), in shapes that are fast on a CPU.

A pooled map is small, but oneDNN, which runs torch's convolutions on a CPU, is slow for such
shapes: it takes at least 0.1 ms forwards and 0.2 ms backwards.

- `convolve_strips` computes a 1×1 convolution along (N, C, L) as a matrix product, and passes a
  depthwise one to oneDNN with channels last, as a convolution of (N, C, 1, L). `concatenate_strips`
  joins strips along L in the layout that this needs, and `normalise_strips` is their batch norm.
- `convolve_vectors` slides a small kernel over vectors (N, C), as a product with the matrix that
  has the kernel in every row, or with a matrix of all windows.
- `convolve_planes` computes a k×k convolution from few planes to one. For small planes it is a
  single matrix product. For larger ones it is a k×1 convolution from columns to columns: each
  column of the result is a weighted sum of the columns near it. This multiplies by more zeros than
  weights, and still takes a third to a tenth of the time.
- `project_to_plane` computes a 1×1 convolution to a single channel as a matrix product.

The layers have a stride of 1 and keep the size; for `convolve_vectors` and `convolve_planes` they
have no bias. Values are the same up to rounding. Where operators are traced, the plain layer runs.
Where multiply-adds are counted, it also replaces the forms that multiply by zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .convolution_matrix import convolution_matrix
from .dispatch import can_fuse
from .limits import current_limits
from .pool_scale import can_fuse_map, is_fused_channels_last


def convolve_strips(layer: nn.Conv1d, strips: Tensor, x: Tensor) -> Tensor:
    """The output of `layer` for strips.

    Args:
        layer: a 1×1 or a depthwise convolution.
        strips: (N, C, L), pooled from the map.
        x: the map (N, C, H, W), whose layout decides how a depthwise convolution is computed.

    Returns:
        (N, C_out, L).
    """
    if not can_fuse(strips):
        return _run(layer, strips)
    if layer.groups == 1 and layer.kernel_size == (1,):
        return F.linear(strips.mT, layer.weight.flatten(1), layer.bias).mT
    # The plain layer is slow for every depthwise convolution, and for others on large maps.
    if not (layer.groups > 1 or can_fuse_map(x)):
        return _run(layer, strips)
    row = strips.unsqueeze(2).contiguous(memory_format=torch.channels_last)
    weight, padding = layer.weight.unsqueeze(2), (0, layer.kernel_size[0] // 2)
    return F.conv2d(row, weight, layer.bias, padding=padding, groups=layer.groups).squeeze(2)


def concatenate_strips(*strips: Tensor) -> Tensor:
    """Strips (N, C, L) joined along L, in the layout for which `convolve_strips` is fast."""
    if not can_fuse(*strips):
        return torch.cat(strips, dim=2)
    return torch.cat([strip.mT for strip in strips], dim=1).mT


def normalise_strips(norm: nn.Module, strips: Tensor) -> Tensor:
    """The output of a batch norm for strips (N, C, L): the same shape."""
    rows = strips.mT
    if not (can_fuse(strips) and rows.is_contiguous()):
        return normalise(norm, strips)
    return normalise(norm, rows.flatten(0, 1)).view_as(rows).mT


def normalise(norm: nn.Module, x: Tensor) -> Tensor:
    """The output of a batch norm for (N, C) or (N, C, L): the same shape.

    The norm may have been converted to one of maps, such as timm's split batch norm.
    """
    if isinstance(norm, nn.BatchNorm2d):
        return _run(norm, x.reshape(*x.shape[:2], -1, 1)).view_as(x)
    return _run(norm, x)


def convolve_vectors(layer: nn.Conv1d, vectors: Tensor) -> Tensor:
    """The output of `layer` for vectors (N, C): the same shape.

    Args:
        layer: a convolution of one channel with an odd kernel.
        vectors: (N, C).
    """
    size, kernel = vectors.shape[1], layer.kernel_size[0]
    if not can_fuse(vectors, adds_operations=True):
        return _run(layer, vectors.unsqueeze(1)).squeeze(1)
    long = size > current_limits().max_matrix_locations
    if long and _is_bf16_inference(vectors):
        return _run(layer, vectors.unsqueeze(1)).squeeze(1)
    weight = layer.weight.flatten()
    if long:
        return F.pad(vectors, (kernel // 2, kernel // 2)).unfold(1, kernel, 1) @ weight
    matrix = convolution_matrix((1, size), (1, kernel), (1, 1), (0, kernel // 2))
    return vectors @ (matrix.to(weight) @ weight).view(size, size)


def convolve_planes(layer: nn.Conv2d, *planes: Tensor) -> Tensor:
    """The output of `layer`, with one output channel, for planes (N, A, B): (N, 1, A, B)."""
    # With so few channels, channels last alone saves half of the time.
    x = torch.stack(planes, dim=3)
    if not can_fuse(*planes, adds_operations=True):
        return _run(layer, x.permute(0, 3, 1, 2))
    limits = current_limits()
    samples, height, width, channels = x.shape
    if height * width <= limits.max_matrix_locations:
        return (x.flatten(1) @ _plane_matrix(layer, (height, width))).view(
            samples, 1, height, width
        )
    locations = samples * height * width
    if (
        width > limits.max_column_convolution_width
        or locations < limits.min_column_convolution_locations
    ):
        return _run(layer, x.permute(0, 3, 1, 2))
    columns = x.view(samples, height, 1, width * channels).permute(0, 3, 1, 2)
    weight = _column_weight(layer.weight, width)
    return F.conv2d(columns, weight, padding=(layer.kernel_size[0] // 2, 0)).permute(0, 3, 2, 1)


def project_to_plane(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """The output of a 1×1 convolution to one channel for the map (N, C, H, W): (N, 1, H, W)."""
    if not is_fused_channels_last(x):
        return _run(layer, x)
    return F.linear(x.permute(0, 2, 3, 1), layer.weight.flatten(1), layer.bias).permute(0, 3, 1, 2)


def _is_bf16_inference(x: Tensor) -> bool:
    """Whether the plain layer is faster for long vectors: in bf16, without gradients."""
    return x.dtype == torch.bfloat16 and not torch.is_grad_enabled()


def _run(layer: nn.Module, x: Tensor) -> Tensor:
    """Call the plain layer; its result is typed here for mypy."""
    result: Tensor = layer(x)
    return result


def _plane_matrix(layer: nn.Conv2d, size: tuple[int, int]) -> Tensor:
    """A kernel (1, channels, k, k) as the matrix (locations · channels, locations)."""
    channels, height, width = layer.weight.shape[1:]
    pairs = convolution_matrix(size, (height, width), (1, 1), (height // 2, width // 2))
    matrix = pairs.to(layer.weight) @ layer.weight.view(channels, -1).mT
    locations = size[0] * size[1]
    return matrix.view(locations, locations, channels).mT.reshape(-1, locations)


def _column_weight(weight: Tensor, width: int) -> Tensor:
    """A kernel (1, channels, k, k) as (width, width · channels, k, 1): from columns to columns."""
    channels, k = weight.shape[1:3]
    margin = width - 1 - k // 2
    # Window i of the padded kernel has the weights for column `width - 1 - i` of the result.
    windows = F.pad(weight[0], (margin, margin)).unfold(2, width, 1).flip(2)
    return windows.permute(2, 3, 0, 1).reshape(width, width * channels, k, 1)
