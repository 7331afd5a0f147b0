"""Effective Squeeze-and-Excitation: a gate for every channel, without the bottleneck.

Lee, Park, "CenterMask: Real-Time Anchor-Free Instance Segmentation", CVPR 2020, arXiv 1911.06667,
§3.3 (the attention of VoVNetV2):

    y = x · σ(W mean_HW(x) + b),  W: C → C

The paper's gate is the sigmoid; the authors' code and timm's `EffectiveSEModule` use the hard
sigmoid instead. The layer has a bias in both.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooling import mean
from .gates import SigmoidGate, Start, zero_parameters


class EffectiveSqueezeExcitation(nn.Module):
    """(N, C, H, W) to the same shape; adds C² + C parameters.

    Args:
        channels: C, the channels of the map.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, start: Start = "paper") -> None:
        super().__init__()
        self.fc = nn.Linear(channels, channels)
        self.gate = SigmoidGate(start)
        if start == "identity":
            zero_parameters(self.fc)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        x, means = pool_map(x, mean(2, 3))
        scale: Tensor = self.gate(self.fc(means))
        return scale_map(x, scale[:, :, None, None])
