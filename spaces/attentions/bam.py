"""BAM: one gate for every value of the map, the sum of a channel branch and a spatial branch.

Park, Woo, Lee, Kweon, "BAM: Bottleneck Attention Module", BMVC 2018, arXiv 1807.06514, eq. 1–5:

    y = x + x · σ(M_c(x) + M_s(x))
    M_c = BN(W1 ReLU(W0 mean_HW(x))),                               C → d → C, d = C // r
    M_s = BN(conv1 ReLU(conv3 ReLU(conv3 ReLU(conv1 x)))),          C → d → d → d → 1

The 3×3 convolutions are dilated by 4; all layers have biases; r = 16. The authors' code multiplies
the two branches, and normalises after the hidden layers instead of at the ends. We follow the
equations, but keep the code's ReLUs, without which the convolutions would collapse into one. The
authors' pooling requires square maps; here maps can have any size.

At the identity start both final batch norms have a scale of zero and y = x · 2σ(M_c + M_s), so the
gate spans (0, 2) in place of the published (1, 2), which begins at 1.5.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.pool_scale import add_in_layout_of, pool_map, scale_map
from ..kernels.pooling import mean
from .gates import SafeBatchNorm2d, SigmoidGate, Start, zero_parameters


class BAM(nn.Module):
    """(N, C, H, W) to the same shape; 2Cd + d + 3C and Cd + 18d² + 4d + 3 parameters.

    Args:
        channels: C, the channels of the map.
        reduction_ratio: r; the hidden width d is max(1, C // r).
        dilation: of the 3×3 convolutions in the spatial branch.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(
        self,
        channels: int,
        reduction_ratio: int = 16,
        dilation: int = 4,
        start: Start = "paper",
    ) -> None:
        super().__init__()
        hidden = max(1, channels // reduction_ratio)
        self.channel = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, channels, 1),
            SafeBatchNorm2d(channels),
        )
        self.spatial = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, hidden, 3, padding=dilation, dilation=dilation),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 1, 1),
            SafeBatchNorm2d(1),
        )
        self.gate = SigmoidGate(start)
        if start == "identity":
            zero_parameters(self.channel[-1])
            zero_parameters(self.spatial[-1])

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        x, means = pool_map(x, mean(2, 3))
        by_channel, by_position = self.channel(means[:, :, None, None]), self.spatial(x)
        scale: Tensor = self.gate(add_in_layout_of(x, by_channel, by_position))
        return scale_map(x, scale if self.gate.doubled else 1 + scale)
