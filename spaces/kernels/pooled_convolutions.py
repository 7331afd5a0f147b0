"""Convolutions of pooled maps (rows, columns, planes, vectors), in shapes that are fast on a CPU.

A pooled map is small, but oneDNN, which runs torch's convolutions on a CPU, is slow at such shapes:
it takes at least a tenth of a millisecond forwards and a fifth backwards.

- `convolve_strips` computes a 1×1 convolution along (N, C, L) as a product of matrices, and gives a
  depthwise one to oneDNN with channels last, as one over (N, C, 1, L). `concatenate_strips` joins
  strips along L in the layout that this needs, and `normalise_strips` is a batch norm of them.
- `convolve_vectors` slides a small kernel over vectors (N, C): as a product with the matrix that
  holds the kernel in every row, or with a matrix of all windows.
- `convolve_planes` computes a k×k convolution from few planes to one. Small planes take a single
  product of matrices. Larger ones take a k×1 convolution from columns to columns: each column of
  the result is a sum over the columns near it, whose weights are the kernel's, shifted. That
  multiplies by more zeros than weights and still takes a third to a tenth of the time.
- `project_to_plane` computes a 1×1 convolution to a single channel as a product of matrices.

The layers have a stride of 1 and keep the size; `convolve_vectors` and `convolve_planes` accept
none with a bias. Values are the same up to rounding. Where operators are traced, all of these are
the plain layer, and where multiply-adds are counted, so are those that multiply by zeros.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .convolution_matrix import convolution_matrix
from .pool_scale import can_fuse, can_fuse_map, is_fused_channels_last

WIDEST = 32
"""Columns of the widest plane that is turned: the work grows with their square."""

SMALLEST = 2**11
"""Places of all samples from which on it pays."""

FEW = 64
"""Places of a plane, or values of a vector, up to which all pairs of them are multiplied."""


def convolve_strips(layer: nn.Conv1d, strips: Tensor, x: Tensor) -> Tensor:
    """What `layer` makes of strips (N, C, L) of the map `x`: the same shape."""
    if not can_fuse(strips):
        return _plain(layer, strips)
    if layer.groups == 1 and layer.kernel_size == (1,):
        return F.linear(strips.mT, layer.weight.flatten(1), layer.bias).mT
    if not (layer.groups > 1 or can_fuse_map(x)):  # depthwise the plain layer is slow in any case
        return _plain(layer, strips)
    row = strips.unsqueeze(2).contiguous(memory_format=torch.channels_last)
    weight, padding = layer.weight.unsqueeze(2), (0, layer.kernel_size[0] // 2)
    return F.conv2d(row, weight, layer.bias, padding=padding, groups=layer.groups).squeeze(2)


def concatenate_strips(*strips: Tensor) -> Tensor:
    """Strips (N, C, L) one after another along L, as `convolve_strips` is quick at them."""
    if not can_fuse(*strips):
        return torch.cat(strips, dim=2)
    return torch.cat([each.mT for each in strips], dim=1).mT


def normalise_strips(norm: nn.BatchNorm1d, strips: Tensor) -> Tensor:
    """What `norm` makes of strips (N, C, L): the same shape."""
    rows = strips.mT
    if not (can_fuse(strips) and rows.is_contiguous()):
        return _plain(norm, strips)
    return _plain(norm, rows.flatten(0, 1)).view_as(rows).mT


def convolve_vectors(layer: nn.Conv1d, values: Tensor) -> Tensor:
    """What `layer`, of one channel and an odd kernel, makes of vectors (N, C): the same shape."""
    size, kernel = values.shape[1], layer.kernel_size[0]
    if not can_fuse(values, counted=True) or (size > FEW and _forwards_in_bf16(values)):
        return _plain(layer, values.unsqueeze(1)).squeeze(1)
    weight = layer.weight.flatten()
    if size > FEW:
        return F.pad(values, (kernel // 2, kernel // 2)).unfold(1, kernel, 1) @ weight
    pairs = convolution_matrix((1, size), (1, kernel), (1, 1), (0, kernel // 2))
    return values @ (pairs.to(weight) @ weight).view(size, size)


def convolve_planes(layer: nn.Conv2d, *planes: Tensor) -> Tensor:
    """What `layer` makes of planes (N, A, B): (N, 1, A, B)."""
    # They lie with channels last: with so few of them that alone saves half of the time.
    x = torch.stack(planes, dim=3)
    if not can_fuse(*planes, counted=True):
        return _plain(layer, x.permute(0, 3, 1, 2))
    n, height, width, number = x.shape
    if height * width <= FEW:
        return (x.flatten(1) @ _pairs(layer, (height, width))).view(n, 1, height, width)
    if width > WIDEST or n * height * width < SMALLEST:
        return _plain(layer, x.permute(0, 3, 1, 2))
    columns = x.view(n, height, 1, width * number).permute(0, 3, 1, 2)
    weight = _shifted(layer.weight, width)
    return F.conv2d(columns, weight, padding=(layer.kernel_size[0] // 2, 0)).permute(0, 3, 2, 1)


def project_to_plane(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """What a 1×1 convolution to one channel makes of the map (N, C, H, W): (N, 1, H, W)."""
    if not is_fused_channels_last(x):
        return _plain(layer, x)
    return F.linear(x.permute(0, 2, 3, 1), layer.weight.flatten(1), layer.bias).permute(0, 3, 1, 2)


def _forwards_in_bf16(x: Tensor) -> bool:
    """Where the layer is the quicker one at long vectors."""
    return x.dtype == torch.bfloat16 and not torch.is_grad_enabled()


def _plain(layer: nn.Module, x: Tensor) -> Tensor:
    made: Tensor = layer(x)
    return made


def _pairs(layer: nn.Conv2d, size: tuple[int, int]) -> Tensor:
    """A kernel (1, number, k, k) as (places · number, places): from all planes to the result."""
    number, height, width = layer.weight.shape[1:]
    pairs = convolution_matrix(size, (height, width), (1, 1), (height // 2, width // 2))
    matrix = pairs.to(layer.weight) @ layer.weight.view(number, -1).mT
    places = size[0] * size[1]
    return matrix.view(places, places, number).mT.reshape(-1, places)


def _shifted(weight: Tensor, width: int) -> Tensor:
    """A kernel (1, number, k, k) as (width, width · number, k, 1): from columns to columns."""
    number, k = weight.shape[1:3]
    beyond = width - 1 - k // 2
    # Window i of the padded kernel has the weights for column `width - 1 - i` of the result.
    windows = F.pad(weight[0], (beyond, beyond)).unfold(2, width, 1).flip(2)
    return windows.permute(2, 3, 0, 1).reshape(width, width * number, k, 1)
