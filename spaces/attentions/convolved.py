"""Convolutions over pooled strips and planes, in the shape that a CPU is quick at.

A pooled map is small, but oneDNN, which runs torch's convolutions on a CPU, is slow at the shapes
it comes in. `over_strips` gives a convolution along (N, C, L) with channels last, as one over
(N, C, 1, L). `over_planes` turns a k×k convolution from few planes to one into a k×1 convolution
from columns to columns: each column of the result is a sum over the columns near it, whose weights
are the kernel's, shifted. That multiplies by more zeros than by weights, and takes a third to a
tenth of the time.

`to_plane` gives a 1×1 convolution to a single channel
as a product of matrices.

The layers have a stride of 1 and leave the size as it is; `over_planes` takes none with a bias.
Values are the same up to rounding. Where operators are looked at or counted, both are the plain
layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .fused import fuses, fuses_map, lies_last

WIDEST = 32
"""Columns of the widest plane that is turned: the work grows with their square."""

SMALLEST = 2**11
"""Places of all samples from which on it pays."""


def over_strips(layer: nn.Conv1d, strips: Tensor, x: Tensor) -> Tensor:
    """What `layer` makes of strips (N, C, L) of the map `x`: the same shape."""
    depthwise = layer.groups > 1  # for these the plain layer is slow in any case
    if not fuses(strips) or not (depthwise or fuses_map(x)):
        return _plain(layer, strips)
    row = strips.unsqueeze(2).contiguous(memory_format=torch.channels_last)
    weight, padding = layer.weight.unsqueeze(2), (0, layer.kernel_size[0] // 2)
    return F.conv2d(row, weight, layer.bias, padding=padding, groups=layer.groups).squeeze(2)


def over_planes(layer: nn.Conv2d, *planes: Tensor) -> Tensor:
    """What `layer` makes of planes (N, A, B): (N, 1, A, B)."""
    # They lie with channels last: with so few of them that alone saves half of the time.
    x = torch.stack(planes, dim=3)
    if not fuses(*planes, counted=True):
        return _plain(layer, x.permute(0, 3, 1, 2))
    n, height, width, number = x.shape
    if width > WIDEST or n * height * width < SMALLEST:
        return _plain(layer, x.permute(0, 3, 1, 2))
    columns = x.view(n, height, 1, width * number).permute(0, 3, 1, 2)
    weight = _shifted(layer.weight, width)
    return F.conv2d(columns, weight, padding=(layer.kernel_size[0] // 2, 0)).permute(0, 3, 2, 1)


def to_plane(layer: nn.Conv2d, x: Tensor) -> Tensor:
    """What a 1×1 convolution to one channel makes of the map (N, C, H, W): (N, 1, H, W)."""
    if not lies_last(x):
        return _plain(layer, x)
    return F.linear(x.permute(0, 2, 3, 1), layer.weight.flatten(1), layer.bias).permute(0, 3, 1, 2)


def _plain(layer: nn.Module, x: Tensor) -> Tensor:
    made: Tensor = layer(x)
    return made


def _shifted(weight: Tensor, width: int) -> Tensor:
    """A kernel (1, number, k, k) as (width, width · number, k, 1): from columns to columns."""
    number, k = weight.shape[1:3]
    beyond = width - 1 - k // 2
    # Window i of the padded kernel has the weights for column `width - 1 - i` of the result.
    windows = F.pad(weight[0], (beyond, beyond)).unfold(2, width, 1).flip(2)
    return windows.permute(2, 3, 0, 1).reshape(width, width * number, k, 1)
