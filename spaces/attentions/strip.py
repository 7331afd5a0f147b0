"""Strip pooling: a gate for every value, from whole rows and whole columns.

Hou, Zhang, Cheng, Feng, "Strip Pooling: Rethinking Spatial Pooling for Scene Parsing", CVPR 2020,
arXiv 2003.13328, eq. 1–6:

    y_h = BN(conv1d_3(mean_W x)), y_v = BN(conv1d_3(mean_H x)),  y = x · σ(f(ReLU(y_h + y_v)))

The convolutions are dense, C → C; f is a 1×1 convolution with a bias. The equations omit the batch
norms and the ReLU, which the authors' code has (and biases before the batch norms, which cancel
them; here there are none). The module is large: 7C² parameters. timm's `StripAttn` is a different
module, depthwise and without f. At the identity start f is zero.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ..kernels.pool_scale import add_in_layout_of, pool_map, scale_map
from ..kernels.pooled_convolutions import normalise
from ..kernels.pooling import mean
from .gates import SafeBatchNorm1d, SigmoidGate, Start, zero_parameters


class StripPooling(nn.Module):
    """(N, C, H, W) to the same shape; adds 2(3C² + 2C) + C² + C parameters.

    Args:
        channels: C, the channels of the map.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, start: Start = "paper") -> None:
        super().__init__()
        self.conv_h = nn.Conv1d(channels, channels, 3, padding=1, bias=False)
        self.bn_h = SafeBatchNorm1d(channels)
        self.conv_w = nn.Conv1d(channels, channels, 3, padding=1, bias=False)
        self.bn_w = SafeBatchNorm1d(channels)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.gate = SigmoidGate(start)
        if start == "identity":
            zero_parameters(self.mix)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Accept the former name of `mix`, which timm takes for a method that fuses layers."""
        for name in ("weight", "bias"):
            if f"{prefix}fuse.{name}" in state_dict:
                state_dict[f"{prefix}mix.{name}"] = state_dict.pop(f"{prefix}fuse.{name}")
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        x, rows, columns = pool_map(x, mean(3), mean(2))
        rows = normalise(self.bn_h, self.conv_h(rows)).unsqueeze(3)
        columns = normalise(self.bn_w, self.conv_w(columns)).unsqueeze(2)
        scale: Tensor = self.gate(self.mix(F.relu(add_in_layout_of(x, rows, columns))))
        return scale_map(x, scale)
