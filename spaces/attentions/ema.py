"""Efficient Multi-scale Attention: two views of each group of channels weigh each other.

Ouyang, He, Zhang, Luo, Guo, Zhan, Huang, "Efficient Multi-Scale Attention Module with Cross-Spatial
Learning", ICASSP 2023, arXiv 2305.13563, §3; for each of G groups, weights shared by the groups:

    f = W1 [mean_W x; mean_H x] + b1,  x1 = GN(x · σ(f_h) · σ(f_w)),  x2 = conv3×3(x)
    y = x · σ(softmax(mean_HW x1)ᵀ x2 + softmax(mean_HW x2)ᵀ x1),     softmax over the channels

GN has one channel per group, with scale and shift. Therefore mean_HW x1 equals the shift, which
saves one pass over the map. G is 32 in the authors' code; `auto` is the largest divisor of C up to
32 that leaves at least 4 channels per group. The published gate has no layer of its own, so the
identity start blends it in with one parameter.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..kernels.dispatch import is_symbolic
from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooling import mean, variance
from .formulas import channel_groups
from .gates import BlendedGate, Start, split_groups


class EfficientMultiscaleAttention(nn.Module):
    """(N, C, H, W) to the same shape; adds c² + c + 9c² + c + 2c parameters, 1 more to blend.

    Here c = C / G is the width of a group.

    Args:
        channels: C, the channels of the map.
        groups: "auto", or the number G of groups.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, groups: int | str = "auto", start: Start = "paper") -> None:
        super().__init__()
        self.groups = channel_groups(channels, 32 if groups == "auto" else int(groups))
        width = channels // self.groups
        self.conv1 = nn.Conv1d(width, width, 1)
        self.conv3 = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.GroupNorm(width, width)
        self.gate = BlendedGate(start)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every position of every group scaled."""
        groups, (height, width) = self.groups, x.shape[2:]
        x, *pooled = pool_map(x, mean(3), mean(2))
        mixed = F.conv1d(torch.cat(pooled, dim=2), *self._repeated(self.conv1), groups=groups)
        rows, columns = mixed.sigmoid().split((height, width), dim=2)  # type: ignore[no-untyped-call]
        by_strips = scale_map(x, rows.unsqueeze(3), columns.unsqueeze(2))
        by_strips, means, variances = pool_map(by_strips, mean(2, 3), variance(2, 3))
        weight, bias = self._repeated(self.norm)
        convolved = F.conv2d(x, *self._repeated(self.conv3), padding=1, groups=groups)
        convolved, logits = pool_map(convolved, mean(2, 3))
        strip_weights = _repeat(self.norm.bias.softmax(0), groups).expand_as(logits)
        convolved_weights = torch.unflatten(logits, 1, (groups, -1)).softmax(2).flatten(1)
        # The norm's scale and shift are folded into the weights of the sum over channels.
        slopes = convolved_weights * weight * (variances + self.norm.eps).rsqrt()
        shifts = torch.unflatten(convolved_weights * bias, 1, (groups, -1)).sum(2)[:, :, None, None]
        by_strips = scale_map(
            by_strips - means[:, :, None, None], slopes[:, :, None, None].to(x.dtype)
        )
        convolved = scale_map(convolved, strip_weights[:, :, None, None].to(x.dtype))
        scale: Tensor = self.gate(split_groups(by_strips + convolved, groups).sum(2) + shifts)
        return (split_groups(x, groups) * scale.unsqueeze(2).to(x.dtype)).flatten(1, 2)

    def _repeated(self, layer: nn.Conv1d | nn.Conv2d | nn.GroupNorm) -> tuple[Tensor, Tensor]:
        """Weight and bias once per group, so that the map need not be split and copied."""
        weight, bias = layer.weight, layer.bias
        assert bias is not None
        return _repeat(weight, self.groups), _repeat(bias, self.groups)


def _repeat(tensor: Tensor, times: int) -> Tensor:
    """The tensor so many times along its first axis.

    Of `repeat` on a vector, torch's older ONNX exporter makes an invalid file.
    """
    if is_symbolic(tensor):
        return torch.cat([tensor] * times)
    return tensor.expand(times, *tensor.shape).flatten(0, 1)
