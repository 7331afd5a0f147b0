"""CBAM: a gate for every channel, then a gate for every position.

Woo, Park, Lee, Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018, arXiv 1807.06521,
eq. 1–3:

    x' = x · σ(MLP(mean_HW x) + MLP(max_HW x)),   MLP(s) = W1 ReLU(W0 s),  C → d → C, d = C // r
    y  = x' · σ(BN(conv_k([mean_C x'; max_C x'])))

The paper's spatial half has no normalisation; the authors' code has the batch norm (one channel,
convolution without bias). Later work uses that form, and so do we. Their code also gives the MLP
biases (`bias=True`; the equations have none) and the batch norm a momentum of 0.01, with which its
running statistics lag behind in trials of a few hundred steps; here it is the usual 0.1. timm's
`CbamModule` computes the same (without biases, momentum 0.1) and cannot begin as the identity.

At the identity start the channel half ends in a layer at zero and the spatial half in a batch norm
whose scale is zero. A zero convolution before the batch norm would not do: its output has no
variance, so the norm multiplies its gradient by 1/√ε ≈ 300.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooled_convolutions import convolve_planes
from ..kernels.pooling import maximum, mean
from .gates import SafeBatchNorm2d, SigmoidGate, Start, zero_parameters


class ChannelHalf(nn.Module):
    """The first half: (N, C, H, W) to the same shape, 2Cd parameters, and d + C with biases.

    Args:
        channels: C, the channels of the map.
        hidden: d, the hidden width.
        bias: whether the two layers have biases.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, hidden: int, bias: bool, start: Start) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, hidden, bias=bias)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(hidden, channels, bias=bias)
        self.gate = SigmoidGate(start)
        if start == "identity":
            zero_parameters(self.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        x, *pooled = pool_map(x, mean(2, 3), maximum(2, 3))
        scale: Tensor = self.gate(self.fc2(self.act(self.fc1(torch.stack(pooled)))).sum(0))
        return scale_map(x, scale[:, :, None, None])


class SpatialHalf(nn.Module):
    """The second half: (N, C, H, W) to the same shape, 2k² + 2 parameters.

    Args:
        kernel: k, the size of the kernel, odd.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, kernel: int, start: Start) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.bn = SafeBatchNorm2d(1)
        self.gate = SigmoidGate(start)
        if start == "identity":
            zero_parameters(self.bn)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every position scaled."""
        x, *pooled = pool_map(x, mean(1), maximum(1))
        scale: Tensor = self.gate(self.bn(convolve_planes(self.conv, *pooled)))
        return scale_map(x, scale)


class CBAM(nn.Module):
    """(N, C, H, W) to the same shape; adds the parameters of its halves.

    Args:
        channels: C, the channels of the map.
        reduction_ratio: r; the hidden width d is max(1, C // r).
        k: size of the spatial half's kernel, odd.
        bias: whether the two layers have biases.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(
        self,
        channels: int,
        reduction_ratio: int = 16,
        k: int = 7,
        bias: bool = False,
        start: Start = "paper",
    ) -> None:
        super().__init__()
        self.channel = ChannelHalf(channels, max(1, channels // reduction_ratio), bias, start)
        self.spatial = SpatialHalf(k, start)

    def forward(self, x: Tensor) -> Tensor:
        """The map gated by channel, then by position."""
        out: Tensor = self.spatial(self.channel(x))
        return out
