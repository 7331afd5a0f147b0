"""Coordinate Attention: two gates for every channel, one along the rows and one along the columns.

Hou, Zhou, Feng, "Coordinate Attention for Efficient Mobile Network Design", CVPR 2021,
arXiv 2103.02907, eq. 4–9:

    f = h-swish(BN(W1 [mean_W x; mean_H x])),  C → d along H + W positions, d = max(8, C // r)
    y = x · σ(W_h f_h) · σ(W_w f_w),           d → C each

As in the authors' code all three 1×1 convolutions have biases and r is 32. timm's `CoordAttn` has
none of the biases and takes d ≈ C/24. The pooled rows and columns are kept as (N, C, H + W), so
that nothing is transposed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .gates import Gate, Start, zero


class CoordinateAttention(nn.Module):
    """(N, C, H, W) to the same shape; adds Cd + d + 2d + 2(dC + C) parameters."""

    def __init__(self, channels: int, reduction_ratio: int = 32, start: Start = "paper") -> None:
        super().__init__()
        hidden = max(8, channels // reduction_ratio)
        self.conv1 = nn.Conv1d(channels, hidden, 1)
        self.bn = nn.BatchNorm1d(hidden)  # H + W ≥ 2 values a channel, whatever the batch
        self.act = nn.Hardswish(inplace=True)
        self.conv_h = nn.Conv1d(hidden, channels, 1)
        self.conv_w = nn.Conv1d(hidden, channels, 1)
        self.gate = Gate(start)
        if start == "identity":
            zero(self.conv_h)
            zero(self.conv_w)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled by row and by column."""
        height, width = x.shape[2:]
        pooled = torch.cat((x.mean(3), x.mean(2)), dim=2)
        rows, columns = self.act(self.bn(self.conv1(pooled))).split((height, width), dim=2)
        by_row: Tensor = self.gate(self.conv_h(rows)).unsqueeze(3)
        by_column: Tensor = self.gate(self.conv_w(columns)).unsqueeze(2)
        return x * by_row * by_column
