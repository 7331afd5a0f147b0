"""Selective kernels: two convolutions of the map, weighed against each other channel by channel.

Li, Wang, Hu, Yang, "Selective Kernel Networks", CVPR 2019, arXiv 1903.06586, eq. 1–6, two branches:

    U_i = ReLU(BN(conv3×3 of dilation i (x))),  z = ReLU(BN(W mean_HW(U_1 + U_2))),  C → d
    y = a_1 · U_1 + a_2 · U_2,  a_i = softmax_i(A_i z),  d → C each, d = max(32, C // r), r = 16

The convolutions are grouped as in the paper (32 groups there; here as many up to 32 as divide C and
leave 4 channels each), without biases, and so are W and A. Dilation 2 is the paper's own cheap 5×5.

It makes a new map and does not gate the old one. In the paper it takes the place of a block's 3×3
convolution. Here it follows that convolution, at `mid`, the only position where it is offered: the
block keeps its layer, and with it pretrained weights, at the price of a deeper branch.

At the identity start the new map is blended in with one parameter: x + w·(y − x), w = 0 at first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .formulas import channel_groups
from .gates import PatientBatchNorm1d, PatientBatchNorm2d, Start


class SelectiveKernel(nn.Module):
    """(N, C, H, W) to the same shape; 2(9C²/G + 2C) + Cd + 2d + 2dC parameters, 1 more to blend."""

    def __init__(self, channels: int, reduction_ratio: int = 16, start: Start = "paper") -> None:
        super().__init__()
        hidden, groups = max(32, channels // reduction_ratio), channel_groups(channels, 32)
        self.branches = nn.ModuleList(_branch(channels, groups, dilation) for dilation in (1, 2))
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.bn = PatientBatchNorm1d(hidden)
        self.select = nn.Linear(hidden, 2 * channels, bias=False)
        self.weight = nn.Parameter(torch.zeros(())) if start == "identity" else None

    def forward(self, x: Tensor) -> Tensor:
        """The new map, or the old one with some of it."""
        one, two = (branch(x) for branch in self.branches)
        z = F.relu(self.bn(self.squeeze((one + two).mean((2, 3)))))
        # A softmax over two is a sigmoid of their difference.
        first, second = self.select(z).chunk(2, dim=1)
        share = (first - second).sigmoid()[:, :, None, None].to(one.dtype)
        y: Tensor = two + share * (one - two)
        return y if self.weight is None else x + self.weight * (y - x)


def _branch(channels: int, groups: int, dilation: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            channels,
            channels,
            3,
            padding=dilation,
            dilation=dilation,
            groups=groups,
            bias=False,
        ),
        PatientBatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
