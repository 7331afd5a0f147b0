"""The small stem: a backbone made for 224-pixel pictures, opened for tiny ones.

A stem that shrinks 32×32 pictures four times leaves nothing to look at. `small` takes every layer
before the first block that shrinks the map:

    pooling, blurring                 left out
    patches, 1 < k ≤ s (ConvNeXt)     half as large: 2×2 with stride 2 for 4×4
    any other convolution             stride 1, and a kernel of at most 3×3 (the usual CIFAR stem)

With pretrained weights (`keep_kernels`) the kernels stay as they are and only the stride changes.
A smaller kernel is the centre of the larger one, scaled by the ratio of the sides, so that it has
the spread of the backbone's own initialisation and takes nothing from the random generator.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def shrink_stem(model: nn.Module, layers: Iterable[str], *, keep_kernels: bool = False) -> None:
    """Give `model` the small stem, in place. `layers` are a site map's `stem_strides`."""
    for path in layers:
        layer = model.get_submodule(path)
        if isinstance(layer, nn.Conv2d):
            _open(layer, keep_kernels)
        else:
            model.set_submodule(path, nn.Identity())


def _open(conv: nn.Conv2d, keep_kernel: bool) -> None:
    kernel, stride = conv.kernel_size[0], conv.stride[0]
    patches = 1 < kernel <= stride
    stride = stride // 2 if patches else 1
    pads_itself = not patches and conv.padding in ((0, 0), 0)  # TensorFlow's dynamic padding
    if not keep_kernel:
        kernel = _crop(conv, kernel // 2 if patches else min(kernel, 3))
    conv.stride = (stride, stride)
    if not pads_itself:
        conv.padding = ((kernel - stride) // 2,) * 2


def _crop(conv: nn.Conv2d, side: int) -> int:
    old = conv.kernel_size[0]
    if side < old:
        first = (old - side) // 2
        with torch.no_grad():
            window = conv.weight[:, :, first : first + side, first : first + side]
            conv.weight = nn.Parameter((window * (old / side)).contiguous())
        conv.kernel_size = (side, side)
    return side
