"""Coordinate Attention: two gates for every channel, one along the rows and one along the columns.

Hou, Zhou, Feng, "Coordinate Attention for Efficient Mobile Network Design", CVPR 2021,
arXiv 2103.02907, eq. 4–9:

    f = h-swish(BN(W1 [mean_W x; mean_H x])),  C → d along H + W positions, d = max(8, C // r)
    y = x · σ(W_h f_h) · σ(W_w f_w),           d → C each

As in the authors' code all three 1×1 convolutions have biases and r is 32. timm's `CoordAttn` has
none of the biases and takes d ≈ C/24. The pooled rows and columns are kept as (N, C, H + W), so
that nothing is transposed.

At the identity start both gates are blended in by one parameter: doubled gates, whose product
reaches 4, train worse (benchmarks/results/starts.json).
"""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooled_convolutions import concatenate_strips, convolve_strips, normalise_strips
from ..kernels.pooling import mean
from .gates import BlendedGate, Start


class CoordinateAttention(nn.Module):
    """(N, C, H, W) to the same shape; adds Cd + d + 2d + 2(dC + C) parameters, 1 more to blend.

    Args:
        channels: C, the channels of the map.
        reduction_ratio: r; the hidden width d is max(8, C // r).
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, reduction_ratio: int = 32, start: Start = "paper") -> None:
        super().__init__()
        hidden = max(8, channels // reduction_ratio)
        self.conv1 = nn.Conv1d(channels, hidden, 1)
        self.bn = nn.BatchNorm1d(hidden)  # H + W ≥ 2 values a channel, whatever the batch
        self.act = nn.Hardswish(inplace=True)
        self.conv_h = nn.Conv1d(hidden, channels, 1)
        self.conv_w = nn.Conv1d(hidden, channels, 1)
        self.gate = BlendedGate(start)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled by row and by column."""
        height, width = x.shape[2:]
        x, *pooled = pool_map(x, mean(3), mean(2))
        strips = self.act(
            normalise_strips(self.bn, convolve_strips(self.conv1, concatenate_strips(*pooled), x))
        )
        rows, columns = strips.split((height, width), dim=2)
        by_row: Tensor = self.gate(convolve_strips(self.conv_h, rows, x)).unsqueeze(3)
        by_column: Tensor = self.gate(convolve_strips(self.conv_w, columns, x)).unsqueeze(2)
        return scale_map(x, by_row, by_column)
