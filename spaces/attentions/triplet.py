"""Triplet attention: three gates, one for every pair of the axes C, H and W, averaged.

Misra, Nalamada, Arasanipalai, Hou, "Rotate to Attend: Convolutional Triplet Attention Module",
WACV 2021, arXiv 2010.03045, eq. 1–6:

    y = x · (g_HW + g_CW + g_CH) / 3,  g = σ(BN(conv_k([max; mean] over the third axis))), k = 7

Each branch has its own convolution (without bias) and batch norm (of one channel). The paper
rotates the map for each branch; here the two pooled planes are made without rotating it, and the
map is multiplied once. The authors' batch norm has a momentum of 0.01; here it is the usual 0.1.
Their code holds the third plane as H × C where we have C × H, so its kernel is ours transposed.
At the identity start the batch norms' scales are zero; see `cbam.py`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .gates import Gate, PatientBatchNorm2d, Start, zero


class TripletAttention(nn.Module):
    """(N, C, H, W) to the same shape; adds 3(2k² + 2) parameters. `k` is odd."""

    def __init__(self, channels: int, k: int = 7, start: Start = "paper") -> None:
        super().__init__()
        del channels  # the kernels slide over them
        self.over_channels = _Branch(1, k, start)
        self.over_rows = _Branch(2, k, start)
        self.over_columns = _Branch(3, k, start)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        scale: Tensor = self.over_channels(x) + self.over_rows(x) + self.over_columns(x)
        return x * (scale / 3)


class _Branch(nn.Module):
    """The gate over the two axes that remain when one is pooled; that axis has length 1."""

    def __init__(self, axis: int, kernel: int, start: Start) -> None:
        super().__init__()
        self.axis = axis
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.bn = PatientBatchNorm2d(1)
        self.gate = Gate(start)
        if start == "identity":
            zero(self.bn)

    def forward(self, x: Tensor) -> Tensor:
        planes = torch.stack((_maximum(x, self.axis), x.mean(self.axis)), dim=1)
        scale: Tensor = self.gate(self.bn(self.conv(planes)))
        return scale.squeeze(1).unsqueeze(self.axis)


def _maximum(x: Tensor, axis: int) -> Tensor:
    """The maximum over one axis, which is gone."""
    if axis == 1:
        return x.max(1).values
    # Along rows and columns the pooling layer takes a fifth of the time of `max`.
    kept = (1, x.shape[3]) if axis == 2 else (x.shape[2], 1)
    return F.adaptive_max_pool2d(x, kept).squeeze(axis)
