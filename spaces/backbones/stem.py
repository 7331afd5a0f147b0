"""The stem of a backbone: as timm builds it, or small, for images much smaller than it expects.

A stem made for 224-pixel images shrinks an image of 32×32 pixels to a map of 8×8 or less. The small
stem changes all layers before the first block that shrink the map:

    pooling, blurring        removed
    patch embedding          half the size: 2×2 with stride 2 for 4×4 (any kernel 1 < k ≤ stride)
    any other convolution    stride 1, kernel at most 3×3 (as usual on CIFAR)

The stem `stride1`, for pretrained weights, changes strides only: kernels keep their size. A smaller
kernel of the small stem is the centre of the larger one, scaled by the ratio of the sides. It
therefore has the variance of the backbone's own initialisation, and uses no random numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import nn

Stem = Literal["native", "small", "stride1"]
"""The stem of a network. This module imports torch only when a stem is changed."""


def shrink_stem(model: nn.Module, layers: Iterable[str], *, keep_kernels: bool = False) -> None:
    """Give `model` the small stem, or `stride1`, in place.

    Args:
        model: a backbone as timm builds it.
        layers: paths of the layers that shrink the map, the `stem_strides` of a site map.
        keep_kernels: change strides only, as pretrained weights require.
    """
    from torch import nn

    for path in layers:
        layer = model.get_submodule(path)
        if isinstance(layer, nn.Conv2d):
            _shrink_convolution(layer, keep_kernels)
        else:
            model.set_submodule(path, nn.Identity())


def _shrink_convolution(convolution: nn.Conv2d, keep_kernel: bool) -> None:
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    is_patch_embedding = 1 < kernel <= stride
    stride = stride // 2 if is_patch_embedding else 1
    # TensorFlow's "same" padding is computed when the layer runs; `padding` is then 0.
    pads_dynamically = not is_patch_embedding and convolution.padding in ((0, 0), 0)
    if not keep_kernel:
        kernel = kernel // 2 if is_patch_embedding else min(kernel, 3)
        _crop_kernel(convolution, kernel)
    convolution.stride = (stride, stride)
    if not pads_dynamically:
        convolution.padding = ((kernel - stride) // 2,) * 2


def _crop_kernel(convolution: nn.Conv2d, side: int) -> None:
    """Crop the kernel to its centre of `side` × `side` if it is larger."""
    import torch
    from torch import nn

    old_side = convolution.kernel_size[0]
    if side < old_side:
        first = (old_side - side) // 2
        with torch.no_grad():
            window = convolution.weight[:, :, first : first + side, first : first + side]
            convolution.weight = nn.Parameter((window * (old_side / side)).contiguous())
        convolution.kernel_size = (side, side)
