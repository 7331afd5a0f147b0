"""Triplet attention: three gates, one for every pair of the axes C, H and W, averaged.

Misra, Nalamada, Arasanipalai, Hou, "Rotate to Attend: Convolutional Triplet Attention Module",
WACV 2021, arXiv 2010.03045, eq. 1–6:

    y = x · (g_HW + g_CW + g_CH) / 3,  g = σ(BN(conv_k([max; mean] over the third axis))), k = 7

Each branch has its own convolution (without bias) and batch norm (of one channel). The paper
rotates the map for each branch; here the two pooled planes are made without rotating it, and the
map is multiplied once. The authors' batch norm has a momentum of 0.01; here it is the usual 0.1.
Their code has the third plane as H × C and ours as C × H, so the kernels are transposed.
At the identity start the batch norms' scales are zero, as in `cbam`.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.pool_scale import add_in_layout_of, pool_map, scale_map
from ..kernels.pooled_convolutions import convolve_planes
from ..kernels.pooling import maximum, mean
from .gates import SafeBatchNorm2d, SigmoidGate, Start, zero_parameters


class TripletAttention(nn.Module):
    """(N, C, H, W) to the same shape; adds 3(2k² + 2) parameters.

    Args:
        channels: C, the channels of the map.
        k: size of the kernels, odd.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, k: int = 7, start: Start = "paper") -> None:
        super().__init__()
        del channels  # The kernels slide over the channels.
        self.over_channels = _Branch(k, start)
        self.over_rows = _Branch(k, start)
        self.over_columns = _Branch(k, start)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        x, *pooled = pool_map(x, *(pool(axis) for axis in (1, 2, 3) for pool in (maximum, mean)))
        by_position: Tensor = self.over_channels(*pooled[:2]).unsqueeze(1)
        by_column: Tensor = self.over_rows(*pooled[2:4]).unsqueeze(2)
        by_row: Tensor = self.over_columns(*pooled[4:]).unsqueeze(3)
        return scale_map(
            x, add_in_layout_of(x, *(gate / 3 for gate in (by_position, by_column, by_row)))
        )


class _Branch(nn.Module):
    """The gate (N, A, B) over the two axes that remain when one is pooled."""

    def __init__(self, kernel: int, start: Start) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.bn = SafeBatchNorm2d(1)
        self.gate = SigmoidGate(start)
        if start == "identity":
            zero_parameters(self.bn)

    def forward(self, maximum: Tensor, mean: Tensor) -> Tensor:
        gate: Tensor = self.gate(self.bn(convolve_planes(self.conv, maximum, mean)))
        return gate.squeeze(1)
