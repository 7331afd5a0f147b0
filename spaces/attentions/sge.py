"""SGE: within each group of channels, a gate for every position by its similarity to the mean.

Li, Hu, Yang, "Spatial Group-wise Enhance: Improving Semantic Feature Learning in Convolutional
Networks", 2019, arXiv 1905.09646, eq. 1–5; for each of G groups:

    c_i = mean_HW(x) · x_i,  a_i = γ (c_i − μ_c) / √(σ_c² + ε) + β,  y_i = x_i · σ(a_i)

Each group has one γ and one β. At the published start they are 0 and 1, so the gate begins at
σ(1) = 0.73; at the identity start both are 0. G = 64 in the paper, whose narrowest stage has 256
channels. Here `auto` is the largest divisor of C up to 64 that leaves 4 channels or more per group.
The paper divides by σ + ε, its code by the unbiased deviation + ε. We divide by √(σ² + ε), as norms
do, because that gradient is finite where σ is 0, as on a 1×1 map. With ε = 1e-5 the two forms
differ by 1 % where σ is 0.02.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.pool_scale import pool_map
from ..kernels.pooling import mean
from .formulas import channel_groups
from .gates import SafeGroupNorm, SigmoidGate, Start, split_groups


class SpatialGroupEnhance(nn.Module):
    """(N, C, H, W) to the same shape; adds 2G parameters.

    Args:
        channels: C, the channels of the map.
        groups: "auto", or the number G of groups.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, groups: int | str = "auto", start: Start = "paper") -> None:
        super().__init__()
        self.groups = channel_groups(channels, 64 if groups == "auto" else int(groups))
        self.norm = SafeGroupNorm(self.groups, self.groups)
        nn.init.zeros_(self.norm.weight)
        nn.init.constant_(self.norm.bias, 0 if start == "identity" else 1)
        self.gate = SigmoidGate(start)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every position of every group scaled."""
        x, means = pool_map(x, mean(2, 3))
        grouped = split_groups(x, self.groups)
        similarity = (grouped * split_groups(means[:, :, None, None], self.groups)).sum(2)
        scale: Tensor = self.gate(self.norm(similarity))
        return (grouped * scale.unsqueeze(2).to(x.dtype)).flatten(1, 2)
