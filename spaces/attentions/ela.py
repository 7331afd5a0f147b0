"""Efficient Local Attention: gates along rows and columns, without a bottleneck.

Xu, Wan, "ELA: Efficient Local Attention for Deep Convolutional Neural Networks", 2024,
arXiv 2403.01123, in the size ELA-B (kernel 7, depthwise, 16 groups in the norm):

    y = x · σ(GN(conv1d_k(mean_W x))) · σ(GN(conv1d_k(mean_H x)))

The authors' code has one convolution (without bias) and one norm for both directions, and so do we;
the norm's groups are the largest divisor of C up to 16. timm's `EfficientLocalAttn` has two of
each, one group, and another activation before the gate. At the identity start the norm is zero.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooled_convolutions import convolve_strips
from ..kernels.pooling import mean
from .formulas import largest_divisor
from .gates import SafeGroupNorm, SigmoidGate, Start, zero_parameters


class EfficientLocalAttention(nn.Module):
    """(N, C, H, W) to the same shape; adds Ck + 2C parameters.

    Args:
        channels: C, the channels of the map.
        k: size of the kernel along rows and columns, odd.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, k: int = 7, start: Start = "paper") -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, k, padding=k // 2, groups=channels, bias=False)
        self.norm = SafeGroupNorm(largest_divisor(channels, 16), channels)
        self.gate = SigmoidGate(start)
        if start == "identity":
            zero_parameters(self.norm)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled by row and by column."""
        x, rows, columns = pool_map(x, mean(3), mean(2))
        by_row: Tensor = self.gate(self.norm(convolve_strips(self.conv, rows, x))).to(x.dtype)
        by_column: Tensor = self.gate(self.norm(convolve_strips(self.conv, columns, x))).to(x.dtype)
        return scale_map(x, by_row.unsqueeze(3), by_column.unsqueeze(2))
