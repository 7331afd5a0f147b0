"""Global context: every position adds the same vector, made from a weighted mean of the map.

Cao, Xu, Lin, Wei, Hu, "GCNet: Non-local Networks Meet Squeeze-Excitation Networks and Beyond",
ICCV workshops 2019, arXiv 1904.11492, eq. 6:

    z = x + W_v2 ReLU(LN(W_v1 Σ_j softmax_j(W_k x_j) x_j)),  C → d → C, d = C // r, r = 16

All three layers are 1×1 convolutions with biases in the authors' code, whose last one begins at
zero: the block begins as the identity already, so both starts are one. timm's `gc` multiplies where
the paper adds (its `gca` is this form).
"""

from __future__ import annotations

from torch import Tensor, nn

from ..kernels.pool_scale import is_fused_channels_last
from ..kernels.pooled_convolutions import project_to_plane
from .gates import Start, zero_parameters


class GlobalContext(nn.Module):
    """(N, C, H, W) to the same shape; adds (C + 1) + (Cd + d) + 2d + (dC + C) parameters.

    Args:
        channels: C, the channels of the map.
        reduction_ratio: r; the hidden width d is max(1, C // r).
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, reduction_ratio: int = 16, start: Start = "paper") -> None:
        super().__init__()
        del start  # The published block begins as the identity.
        hidden = max(1, channels // reduction_ratio)
        self.key = nn.Conv2d(channels, 1, 1)
        self.fc1 = nn.Linear(channels, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.act = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(hidden, channels)
        zero_parameters(self.fc2)

    def forward(self, x: Tensor) -> Tensor:
        """The map with the context added everywhere."""
        weights = project_to_plane(self.key, x).flatten(2).softmax(2).to(x.dtype)
        if is_fused_channels_last(x):  # The same product; its gradients have the map's layout.
            context = (weights @ x.flatten(2).transpose(1, 2)).squeeze(1)
        else:
            context = (x.flatten(2) @ weights.transpose(1, 2)).squeeze(2)
        added: Tensor = self.fc2(self.act(self.norm(self.fc1(context))))
        return x + added[:, :, None, None]
