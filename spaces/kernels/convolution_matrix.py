"""Small convolutions as matrix products.

For few locations, library kernels for convolutions take several times as long as the arithmetic
requires. `convolution_matrix` has a row for every pair of an input and an output location. Its
product with the weights of a kernel is the matrix of the convolution, and autograd differentiates
that product.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # The cached matrix may later be used where gradients are required.
def convolution_matrix(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """Which tap of a kernel reads which location of the input for which location of the output.

    Args:
        size: height and width of the input.
        kernel: height and width of the kernel.
        stride: vertical and horizontal stride.
        padding: rows and columns of zeros at each border.

    Returns:
        (locations of the input · locations of the output, taps), float32: 1 where the tap reads
        that location of the input for that location of the output, else 0.
    """
    # Row i of the first matrix is an image that is 1 at location i. Row t of the second is a kernel
    # that is 1 at tap t.
    locations, taps = size[0] * size[1], kernel[0] * kernel[1]
    images, kernels = torch.eye(locations, device="cpu"), torch.eye(taps, device="cpu")
    taps_read = F.conv2d(
        images.view(locations, 1, *size), kernels.view(taps, 1, *kernel), None, stride, padding
    )
    return taps_read.flatten(2).transpose(1, 2).reshape(-1, taps).contiguous()
