"""Non-local block: every position adds a mixture of all positions, weighted by similarity.

Wang, Girshick, Gupta, He, "Non-local Neural Networks", CVPR 2018, arXiv 1711.07971, eq. 1, 5, 6 and
§4.1, in the embedded Gaussian form:

    y_i = Σ_j softmax_j(θ(x_i)ᵀ φ(x_j)) g(x_j),   z = x + BN(W_z y)

θ, φ, g: C → d and W_z: d → C are 1×1 convolutions with biases, d = C // r, r = 2. The batch norm's
scale begins at zero, so the published block begins as the identity already: both starts are one.
The authors' code divides the similarities by √d, can subsample φ and g by pooling, and draws the
initial weights from N(0, 0.01²). The paper's equations do none of this, and neither do we. timm's
`NonLocalAttn` uses d = C/8 and divides by √C. The cost grows with (H·W)².

In bf16 and fp16 the mixture is computed in float32, projections included. Without the division the
similarities grow to tens and hundreds, where rounding θ and φ to eight bits changes them by whole
units, and with them the gradients by more than their own size. Training then diverges.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..kernels.dispatch import can_fuse
from .gates import SafeBatchNorm2d, Start, zero_parameters


class NonLocal(nn.Module):
    """(N, C, H, W) to the same shape; adds 3(Cd + d) + dC + C + 2C parameters.

    Args:
        channels: C, the channels of the map.
        reduction_ratio: r; the hidden width d is max(1, C // r).
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, reduction_ratio: int = 2, start: Start = "paper") -> None:
        super().__init__()
        del start  # The published block begins as the identity.
        self.hidden = max(1, channels // reduction_ratio)
        self.project = nn.Conv2d(channels, 3 * self.hidden, 1)  # θ, φ and g in one pass
        self.out = nn.Conv2d(self.hidden, channels, 1)
        self.bn = SafeBatchNorm2d(channels)
        zero_parameters(self.bn)

    def forward(self, x: Tensor) -> Tensor:
        """The map with the mixture added."""
        if _is_autocast(x):
            with torch.autocast(x.device.type, enabled=False):
                mixed = self._mix(x.float())
        else:
            mixed = self._mix(x)
        added: Tensor = self.bn(self.out(mixed))
        return x + added

    def _mix(self, x: Tensor) -> Tensor:
        """The mixture of all positions, (N, d, H, W)."""
        n, _, height, width = x.shape
        # There is one head, because exporters support fused attention in four dimensions only.
        tokens = self.project(x).flatten(2).transpose(1, 2)[:, None]
        if can_fuse(tokens, adds_operations=True):
            tokens = tokens.contiguous()  # as torch's fast kernels require
        theta, phi, g = tokens.split(self.hidden, dim=3)
        mixed = F.scaled_dot_product_attention(theta, phi, g, scale=1.0)[:, 0]
        return mixed.transpose(1, 2).reshape(n, self.hidden, height, width)


def _is_autocast(x: Tensor) -> bool:
    """Whether operators on `x` are computed in another precision; never for a tool's stand-ins."""
    is_computed = isinstance(x, Tensor) and x.device.type != "meta"
    return is_computed and torch.is_autocast_enabled(x.device.type)
