"""CBAM's first half alone: a gate for every channel, from the mean and the maximum of the map.

Woo, Park, Lee, Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018, arXiv 1807.06521,
eq. 2; the paper compares it with the whole module in table 1. The details are those of `cbam`:

    y = x · σ(MLP(mean_HW x) + MLP(max_HW x)),  MLP(s) = W1 ReLU(W0 s),  C → d → C, d = C // r

Comparing it with `spatial` and `cbam` shows what channel attention alone contributes.
"""

from __future__ import annotations

from .cbam import ChannelHalf
from .gates import Start


class ChannelAttention(ChannelHalf):
    """(N, C, H, W) to the same shape; adds 2Cd parameters, and d + C with biases.

    Args:
        channels: C, the channels of the map.
        reduction_ratio: r; the hidden width d is max(1, C // r).
        bias: whether the two layers have biases.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(
        self,
        channels: int,
        reduction_ratio: int = 16,
        bias: bool = False,
        start: Start = "paper",
    ) -> None:
        super().__init__(channels, max(1, channels // reduction_ratio), bias, start)
