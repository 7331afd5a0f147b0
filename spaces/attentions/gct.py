"""Gated Channel Transformation: channels compete or cooperate by their norms alone.

Yang, Zhu, Wu, Yang, "Gated Channel Transformation for Visual Recognition", CVPR 2020,
arXiv 1909.11519, eq. 2–4 (not the "Gaussian context transformer" of CVPR 2021, which shares the
abbreviation and is less used):

    s_c = α_c √(Σ_HW x_c² + ε),  ŝ_c = √C s_c / √(Σ_C s² + ε),  y = x · (1 + tanh(γ_c ŝ_c + β_c))

α begins at 1, γ and β at 0: the published module begins as the identity, so both starts are one.
The authors' code adds ε to the mean of s² instead of the sum; ε = 1e-5.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooling import sum_of_squares
from .gates import Start

_EPSILON = 1e-5


class GatedChannelTransformation(nn.Module):
    """(N, C, H, W) to the same shape; adds 3C parameters.

    Args:
        channels: C, the channels of the map.
        start: has no effect, because both starts are the same.
    """

    def __init__(self, channels: int, start: Start = "paper") -> None:
        super().__init__()
        del start  # The published module begins as the identity.
        self.alpha = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        x, energy = pool_map(x, sum_of_squares(2, 3))
        s = self.alpha * (energy + _EPSILON).sqrt()
        total = s.square().sum(1, keepdim=True) + _EPSILON
        scale = 1 + torch.tanh(self.gamma * s * (x.shape[1] / total).sqrt() + self.beta)
        return scale_map(x, scale[:, :, None, None].to(x.dtype))
