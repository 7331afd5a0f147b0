"""Small convolutions as products of matrices: which place of the result meets which of the map.

Over few places, library kernels for convolutions cost several times what their sums do. With a row
for every pair of places, input and output, a kernel becomes a matrix by one product, in which a
gradient goes back to the kernel just as well.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

Pair = tuple[int, int]


@lru_cache(maxsize=256)
@torch.inference_mode(False)  # whoever asks first, others want gradients
def convolution_matrix(size: Pair, kernel: Pair, stride: Pair, padding: Pair) -> Tensor:
    """(places of the input × places of the output, taps), float32: 1 where a tap of the kernel
    reads that place of the input for that of the output, else 0."""
    # Row i of the first matrix is a picture that is 1 at place i; as a kernel, row t of the second
    # reads tap t alone.
    places, taps = size[0] * size[1], kernel[0] * kernel[1]
    pictures, readers = torch.eye(places, device="cpu"), torch.eye(taps, device="cpu")
    read = F.conv2d(
        pictures.view(places, 1, *size), readers.view(taps, 1, *kernel), None, stride, padding
    )
    return read.flatten(2).transpose(1, 2).reshape(-1, taps).contiguous()
