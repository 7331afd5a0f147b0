"""Linear Context Transform: a gate for every channel, from its mean normalised within its group.

Ruan, Wen, Zheng, Zheng, "Linear Context Transform Block", AAAI 2020, arXiv 1909.03834, eq. 3–6:

    z = mean_HW(x),  ẑ_c = (z_c − μ_g) / √(σ_g² + ε) within group g,  y_c = x_c · σ(w_c ẑ_c + b_c)

G = 64 in the paper, whose narrowest stage has 256 channels. Here `auto` is the largest divisor of C
up to 64 that leaves at least 4 channels per group. w begins at 1 and b at 0, as in the public
implementations (we know of no code by the authors). At the identity start w begins at 0.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooling import mean
from .formulas import channel_groups
from .gates import SafeGroupNorm, SigmoidGate, Start, zero_parameters


class LinearContextTransform(nn.Module):
    """(N, C, H, W) to the same shape; adds 2C parameters.

    Args:
        channels: C, the channels of the map.
        groups: "auto", or the number G of groups.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, groups: int | str = "auto", start: Start = "paper") -> None:
        super().__init__()
        number = channel_groups(channels, 64 if groups == "auto" else int(groups))
        self.norm = SafeGroupNorm(number, channels)
        self.gate = SigmoidGate(start)
        if start == "identity":
            zero_parameters(self.norm)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        x, means = pool_map(x, mean(2, 3))
        scale: Tensor = self.gate(self.norm(means)).to(x.dtype)
        return scale_map(x, scale[:, :, None, None])
