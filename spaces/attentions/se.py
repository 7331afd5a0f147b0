"""Squeeze-and-Excitation: a gate for every channel, from the means of all channels.

Hu, Shen, Albanie, Sun, Wu, "Squeeze-and-Excitation Networks", CVPR 2018, arXiv 1709.01507, eq. 2–4:

    s = mean_HW(x),  y = x · σ(W2 ReLU(W1 s)),  W1: C → d, W2: d → C, d = max(1, C // r)

The equations have no biases. The authors' released networks have both, and so has timm's layer,
which also rounds d to a multiple of 8. The paper's ablations omit them, which helps ResNets (§6);
here the default is `bias=False`. The paper's 28.1 M parameters of SE-ResNet-50 agree with either.
This module is timm's `SEModule(rd_channels=d)` without importing timm, and with linear layers on
(N, C) instead of 1×1 convolutions.
"""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooling import mean
from .gates import SigmoidGate, Start, zero_parameters


class SqueezeExcitation(nn.Module):
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
        super().__init__()
        hidden = max(1, channels // reduction_ratio)
        self.fc1 = nn.Linear(channels, hidden, bias=bias)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(hidden, channels, bias=bias)
        self.gate = SigmoidGate(start)
        if start == "identity":
            zero_parameters(self.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every channel scaled."""
        x, means = pool_map(x, mean(2, 3))
        scale: Tensor = self.gate(self.fc2(self.act(self.fc1(means))))
        return scale_map(x, scale[:, :, None, None])
