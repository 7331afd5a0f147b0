"""FcaNet: Squeeze-and-Excitation whose squeeze is a frequency of the map, not only its mean.

Qin, Zhang, Wu, Li, "FcaNet: Frequency Channel Attention Networks", ICCV 2021, arXiv 2012.11879,
eq. 6–12:

    s_c = Σ_hw x_c(h, w) B(h; u, H) B(w; v, W),  y = x · σ(W2 ReLU(W1 s)),  C → d → C, d = C // r
    B(h; u, H) = cos(π u (h + 1/2) / H) · √(1/H), times √2 unless u = 0

The paper's equations omit the square roots as constant factors; the authors' code has them. The
channels are split into as many equal parts as there are frequencies. These are the best 1 to 32 of
the 7×7 lowest, ranked by the authors on a map divided into 7×7 parts. The frequency on the map is
u·H/7, rounded down (in their code u·⌊H/7⌋, the same where 7 divides H). `frequencies=1` is the mean
times √(HW). Their code pools the map to a fixed size for every width; here the basis is computed
for the size of the map. The layers have no biases, and r = 16.
"""

from __future__ import annotations

from math import pi

import torch
from torch import Tensor, nn

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooling import weighted_sum
from .gates import SigmoidGate, Start, zero_parameters

# (u, v) on the 7×7 grid, ordered by the accuracy of each frequency alone (the paper's figure 4).
_BEST_FREQUENCIES = (
    *((0, 0), (0, 1), (6, 0), (0, 5), (0, 2), (1, 0), (1, 2), (4, 0)),
    *((5, 0), (1, 6), (3, 0), (0, 4), (0, 6), (0, 3), (3, 5), (2, 2)),
    *((4, 6), (6, 3), (3, 3), (5, 3), (5, 5), (2, 1), (6, 1), (5, 2)),
    *((5, 4), (3, 2), (3, 1), (4, 1), (2, 3), (2, 0), (6, 5), (1, 3)),
)


class FrequencyChannelAttention(nn.Module):
    """(N, C, H, W) to the same shape; adds 2Cd parameters.

    Args:
        channels: C, the channels of the map.
        reduction_ratio: r; the hidden width d is max(1, C // r).
        frequencies: how many of the best frequencies: 1, 2, 4, 8, 16 or 32.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    u: Tensor
    v: Tensor

    def __init__(
        self,
        channels: int,
        reduction_ratio: int = 16,
        frequencies: str = "16",
        start: Start = "paper",
    ) -> None:
        super().__init__()
        number, hidden = int(frequencies), max(1, channels // reduction_ratio)
        grid = torch.tensor([_BEST_FREQUENCIES[c * number // channels] for c in range(channels)])
        self.register_buffer("u", grid[:, 0].clone(), persistent=False)
        self.register_buffer("v", grid[:, 1].clone(), persistent=False)
        self.fc1 = nn.Linear(channels, hidden, bias=False)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(hidden, channels, bias=False)
        self.gate = SigmoidGate(start)
        if start == "identity":
            zero_parameters(self.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        rows, columns = _basis(self.u, x.shape[2], x.dtype), _basis(self.v, x.shape[3], x.dtype)
        basis = (rows.unsqueeze(2) * columns.unsqueeze(1)).unsqueeze(0)
        x, spectrum = pool_map(x, weighted_sum(basis, 2, 3))
        scale: Tensor = self.gate(self.fc2(self.act(self.fc1(spectrum))))
        return scale_map(x, scale[:, :, None, None])


def _basis(index: Tensor, length: int, dtype: torch.dtype) -> Tensor:
    """(C, length): B(·; u, length) for every channel's u."""
    exact = torch.promote_types(dtype, torch.float32)
    u = (index * length // 7).to(exact).unsqueeze(1)
    h = torch.arange(length, device=index.device, dtype=exact) + 0.5
    height = ((2 - (u == 0).to(exact)) / length).sqrt()
    return ((pi * u * h / length).cos() * height).to(dtype)
