"""Shuffle attention: half of each group of channels is gated by channel, half by position.

Zhang, Yang, "SA-Net: Shuffle Attention for Deep Convolutional Neural Networks", ICASSP 2021,
arXiv 2102.00240, eq. 1–6; each of G groups is split into two halves a and b:

    a · σ(W1 mean_HW(a) + b1),  b · σ(W2 GN(b) + b2),  then a channel shuffle over two groups

All weights are vectors of length C / 2G, shared by the groups. GN has one channel per group, and
scale and shift as well, which makes 3C/G parameters. In the authors' code W begins at 0 and b at 1,
so the gate begins at σ(1) = 0.73. G = 64 in the paper, whose narrowest stage has 256 channels. Here
`auto` is the largest divisor of C up to 64 that leaves at least 4 channels per group. If a group
has an odd number of channels, its first half has one more. An odd number of channels in all is not
shuffled.

A shuffle is not the identity. The identity start omits it, and begins with W and b at zero.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..kernels.dispatch import is_symbolic
from ..kernels.pool_scale import is_fused_channels_last, pool_map, scale_map
from ..kernels.pooling import mean, variance
from .formulas import channel_groups
from .gates import SigmoidGate, Start, split_groups


class ShuffleAttention(nn.Module):
    """(N, C, H, W) to the same shape; adds 3C/G parameters (2h + 4(C/G − h), h the first half).

    Args:
        channels: C, the channels of the map.
        groups: "auto", or the number G of groups.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, groups: int | str = "auto", start: Start = "paper") -> None:
        super().__init__()
        self.groups = channel_groups(channels, 64 if groups == "auto" else int(groups))
        second = channels // self.groups // 2
        first = channels // self.groups - second
        bias = 0.0 if start == "identity" else 1.0
        self.channel_weight = nn.Parameter(torch.zeros(first))
        self.channel_bias = nn.Parameter(torch.full((first,), bias))
        self.spatial_weight = nn.Parameter(torch.zeros(second))
        self.spatial_bias = nn.Parameter(torch.full((second,), bias))
        self.norm_weight = nn.Parameter(torch.ones(second))
        self.norm_bias = nn.Parameter(torch.zeros(second))
        self.shuffles = start == "paper" and channels % 2 == 0
        self.gate = SigmoidGate(start)

    def forward(self, x: Tensor) -> Tensor:
        """The map with both halves of every group scaled, and shuffled."""
        half = self.channel_weight.shape[0]
        x, all_means, variances = pool_map(x, mean(2, 3), variance(2, 3))
        means = torch.unflatten(all_means, 1, (self.groups, -1))
        by_channel = means[..., :half] * self.channel_weight + self.channel_bias
        # Scale and shift of the norm and of the gate in one step: W2 (w n + c) + b2, where n is
        # the normalised half, w and c the scale and shift of the norm.
        spreads = torch.unflatten(variances, 1, (self.groups, -1))[..., half:]
        slope = self.spatial_weight * self.norm_weight * _inverse_root(spreads + 1e-5)
        shift = self.spatial_weight * self.norm_bias + self.spatial_bias
        slopes = torch.cat((torch.zeros_like(by_channel), slope), dim=2).flatten(1)
        shifts = torch.cat((by_channel, shift.expand_as(slope)), dim=2).flatten(1)
        centred = x - all_means[:, :, None, None]
        z = centred * slopes[:, :, None, None].to(x.dtype) + shifts[:, :, None, None].to(x.dtype)
        y = scale_map(x, self.gate(z))
        if not self.shuffles:
            return y
        if is_symbolic(y):
            return split_groups(y, 2).transpose(1, 2).flatten(1, 2)
        if is_fused_channels_last(y):
            channels = torch.unflatten(y.permute(0, 2, 3, 1), 3, (2, -1))
            return channels.transpose(3, 4).flatten(3).permute(0, 3, 1, 2)
        channels_last = not x.is_contiguous() and x.is_contiguous(memory_format=torch.channels_last)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        shuffled = split_groups(y, 2).transpose(1, 2).flatten(1, 2)
        return shuffled.contiguous(memory_format=layout)


def _inverse_root(x: Tensor) -> Tensor:
    """`x.rsqrt()`, also in programs that are traced for a file.

    torch's older exporter to ONNX writes `rsqrt` as 1 / √x, and `Identity` for a weight that equals
    another, as weights do before training. onnxruntime 1.23 joins the two into a division by a
    value that it has removed.
    """
    return x.pow(-0.5) if torch.jit.is_tracing() else x.rsqrt()  # type: ignore[attr-defined,no-untyped-call]
