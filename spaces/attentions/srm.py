"""SRM: a gate for every channel, from its mean and its standard deviation (its "style").

Lee, Kim, Nam, "SRM: A Style-based Recalibration Module for Convolutional Neural Networks",
ICCV 2019, arXiv 1903.10829, eq. 1–5:

    y_c = x_c · σ(BN(w_c · [mean_HW(x_c), std_HW(x_c)])),  two weights a channel, no bias

The deviation is the paper's biased one, with ε = 1e-5 inside the root; the authors' code uses the
unbiased one, without ε. Their code also begins with w = 0, so that the batch norm's input has no
variance. The paper does not require this, and here w has torch's default initialisation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooled_convolutions import normalise
from ..kernels.pooling import mean, variance
from .gates import SafeBatchNorm1d, SigmoidGate, Start, zero_parameters


class StyleRecalibration(nn.Module):
    """(N, C, H, W) to the same shape; adds 2C + 2C parameters.

    Args:
        channels: C, the channels of the map.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

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
        scale: Tensor = self.gate(normalise(self.bn, self.mix(style)))
        return scale_map(x, scale.unsqueeze(3))
