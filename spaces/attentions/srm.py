"""SRM: a gate for every channel from its own style, the mean and the standard deviation.

Lee, Kim, Nam, "SRM: A Style-based Recalibration Module for Convolutional Neural Networks",
ICCV 2019, arXiv 1903.10829, eq. 1–5:

    y_c = x_c · σ(BN(w_c · [mean_HW(x_c), std_HW(x_c)])),  two weights a channel, no bias

The deviation is the paper's biased one, with ε = 1e-5 inside the root; the authors' code has the
unbiased one, without ε. It also begins with w = 0, which puts a batch without variance before the
batch norm; the paper does not ask for it, and here w begins as in any layer of two inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooling import mean, variance
from .gates import SafeBatchNorm1d, SigmoidGate, Start, zero_parameters


class StyleRecalibration(nn.Module):
    """(N, C, H, W) to the same shape; adds 2C + 2C parameters."""

    def __init__(self, channels: int, start: Start = "paper") -> None:
        super().__init__()
        self.mix = nn.Conv1d(channels, channels, 2, groups=channels, bias=False)
        self.bn = SafeBatchNorm1d(channels)
        self.gate = SigmoidGate(start)
        if start == "identity":
            zero_parameters(self.bn)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        x, means, variances = pool_map(x, mean(2, 3), variance(2, 3))
        style = torch.stack((means, (variances + 1e-5).sqrt()), dim=2)
        scale: Tensor = self.gate(self.bn(self.mix(style)))
        return scale_map(x, scale.unsqueeze(3))
