"""CBAM's second half alone: a gate for every position, from the mean and maximum over channels.

Woo, Park, Lee, Kweon, "CBAM: Convolutional Block Attention Module", ECCV 2018, arXiv 1807.06521,
eq. 3. Batch norm and start are those of `cbam`:

    y = x · σ(BN(conv_k([mean_C x; max_C x])))

Comparing it with `channel` and `cbam` shows what spatial attention alone contributes.
"""

from __future__ import annotations

from .cbam import SpatialHalf
from .gates import Start


class SpatialAttention(SpatialHalf):
    """(N, C, H, W) to the same shape; adds 2k² + 2 parameters.

    Args:
        channels: C, the channels of the map.
        k: size of the kernel, odd.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, k: int = 7, start: Start = "paper") -> None:
        del channels  # All channels share one gate.
        super().__init__(k, start)
