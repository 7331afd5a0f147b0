"""Efficient Channel Attention: a gate for every channel, from the means of its neighbours.

Wang, Wu, Zhu, Li, Zuo, Hu, "ECA-Net: Efficient Channel Attention for Deep Convolutional Neural
Networks", CVPR 2020, arXiv 1910.03151, eq. 9 and 12:

    y = x · σ(conv1d_k(mean_HW(x))),  k = |log2(C)/2 + 1/2| raised to an odd number, at least 3

The channels are padded with zeros at both ends and the convolution has no bias. The paper's listing
computes k without the minimum of 3 (and omits the σ). The authors' code takes k as an argument, set
by hand for every stage of their released ImageNet networks. timm's `EcaModule` has the minimum too
and computes the same; our module avoids importing timm.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooled_convolutions import convolve_vectors
from ..kernels.pooling import mean
from .formulas import eca_kernel
from .gates import SigmoidGate, Start, zero_parameters


class EfficientChannelAttention(nn.Module):
    """(N, C, H, W) to the same shape; adds k parameters.

    Args:
        channels: C, the channels of the map.
        k: "auto" for the paper's rule, or the size of the kernel, odd.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, k: int | str = "auto", start: Start = "paper") -> None:
        super().__init__()
        kernel = eca_kernel(channels) if k == "auto" else int(k)
        self.conv = nn.Conv1d(1, 1, kernel, padding=kernel // 2, bias=False)
        self.gate = SigmoidGate(start)
        if start == "identity":
            zero_parameters(self.conv)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        x, means = pool_map(x, mean(2, 3))
        scale: Tensor = self.gate(convolve_vectors(self.conv, means))
        return scale_map(x, scale[:, :, None, None])
