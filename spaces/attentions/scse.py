"""scSE: a gate for every channel plus a gate for every position.

Roy, Navab, Wachinger, "Concurrent Spatial and Channel Squeeze & Excitation in Fully Convolutional
Networks", MICCAI 2018, arXiv 1803.02579, eq. 1–5:

    y = x · σ(W2 ReLU(W1 mean_HW(x))) + x · σ(W_s x),  C → d → C and C → 1, d = C // r, r = 2

None of the layers has a bias in the equations. In the authors' code all three have one, and the
result is the maximum of the two gated maps instead of their sum. We follow the paper. The sum of
the two gates is in (0, 2). With W2 and W_s at zero it is 1, which is the identity start, so no gate
has to be doubled.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.pool_scale import add_in_layout_of, pool_map, scale_map
from ..kernels.pooled_convolutions import project_to_plane
from ..kernels.pooling import mean
from .gates import Start, zero_parameters


class ConcurrentSqueezeExcitation(nn.Module):
    """(N, C, H, W) to the same shape; adds 2Cd + C parameters.

    Args:
        channels: C, the channels of the map.
        reduction_ratio: r; the hidden width d is max(1, C // r).
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, reduction_ratio: int = 2, start: Start = "paper") -> None:
        super().__init__()
        hidden = max(1, channels // reduction_ratio)
        self.fc1 = nn.Linear(channels, hidden, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(hidden, channels, bias=False)
        self.spatial = nn.Conv2d(channels, 1, 1, bias=False)
        if start == "identity":
            zero_parameters(self.fc2)
            zero_parameters(self.spatial)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        x, means = pool_map(x, mean(2, 3))
        by_channel: Tensor = self.fc2(self.act(self.fc1(means))).sigmoid()
        by_position: Tensor = project_to_plane(self.spatial, x).sigmoid()
        return scale_map(x, add_in_layout_of(x, by_channel[:, :, None, None], by_position))
