"""Selective kernels: two convolutions of one input, weighed against each other channel by channel.

Li, Wang, Hu, Yang, "Selective Kernel Networks", CVPR 2019, arXiv 1903.06586, eq. 1–6, two branches:

    U_i = ReLU(BN(conv of dilation i (input))),  z = ReLU(BN(W mean_HW(U_1 + U_2))),  C → d
    y = a_1 · U_1 + a_2 · U_2,  a_i = softmax_i(A_i z),  d → C each, d = max(32, C // r), r = 16

As in the paper, it replaces a block's spatial convolution. The first branch *is* that convolution
with its own norm and activation, and keeps its pretrained weights. The second branch is a new
convolution of the same input with the same kernel size, stride and width but dilation 2 (the
paper's cheap 5×5). The module is therefore available only at `mid`, where a convolution makes the
map; in a ResNeXt-50 32x4d it gives SKNet-50. The second branch has as many groups as the first. If
that has only one, the second has up to the paper's 32, with at least 4 channels each. The
convolutions, W and A have no biases.

Without a convolution, as when the module is used alone, the second branch also reads the map. At
the identity start the new map is blended in with one parameter: U_1 + w·(y − U_1), w = 0 at first.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooled_convolutions import normalise
from ..kernels.pooling import mean
from .entry import Convolution
from .formulas import sk_branch
from .gates import SafeBatchNorm1d, SafeBatchNorm2d, Start


class SelectiveKernel(nn.Module):
    """(N, C, H, W) and the input of the convolution that made it, to (N, C, H, W).

    Adds k²·C·C_in/G + 2C + Cd + 2d + 2dC parameters, 1 more to blend.

    Args:
        channels: C, the channels of the map.
        reduction_ratio: r; the hidden width d is max(32, C // r).
        start: `paper`, or `identity` to blend the new branch in.
        convolution: the block's convolution, whose kernel, stride and groups the second branch
            takes over; without it the second branch is a 3×3 convolution of the map.
    """

    def __init__(
        self,
        channels: int,
        reduction_ratio: int = 16,
        start: Start = "paper",
        convolution: Convolution | None = None,
    ) -> None:
        super().__init__()
        hidden = max(32, channels // reduction_ratio)
        self.branch = _dilated_branch(channels, sk_branch(channels, convolution))
        self.squeeze = nn.Linear(channels, hidden, bias=False)
        self.bn = SafeBatchNorm1d(hidden)
        self.select = nn.Linear(hidden, 2 * channels, bias=False)
        self.weight = nn.Parameter(torch.zeros(())) if start == "identity" else None

    def forward(self, x: Tensor, source: Tensor | None = None) -> Tensor:
        """Both branches, weighted; at the identity start, blended into the first.

        Args:
            x: the map (N, C, H, W) that the block's own convolution made: the first branch.
            source: the input (N, C_in, H_in, W_in) of that convolution; by default `x`.
        """
        dilated = self.branch(x if source is None else source)
        x, means = pool_map(x, mean(2, 3))
        dilated, dilated_means = pool_map(dilated, mean(2, 3))
        z = F.relu(normalise(self.bn, self.squeeze(means + dilated_means)))
        # A softmax over two values is the sigmoid of their difference.
        first, second = self.select(z).chunk(2, dim=1)
        share = (first - second).sigmoid()[:, :, None, None].to(dilated.dtype)
        rest = 1 - share if self.weight is None else self.weight * (1 - share)
        return scale_map(x, 1 - rest) + scale_map(dilated, rest)


def _dilated_branch(channels: int, shape: Convolution) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(
            shape.in_channels,
            channels,
            shape.kernel,
            stride=shape.stride,
            padding=shape.kernel - 1,
            dilation=2,
            groups=shape.groups,
            bias=False,
        ),
        SafeBatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )
