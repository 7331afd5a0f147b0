"""Double attention: features are gathered over the whole map, then distributed to every position.

Chen, Kalantidis, Li, Yan, Feng, "A²-Nets: Double Attention Networks", NeurIPS 2018,
arXiv 1810.11579, eq. 6 and §3.4:

    A = φ(x), B = softmax over positions of θ(x), V = softmax over features of ρ(x),  C → d each
    y = x + W_z (A Bᵀ) V,                                                             d → C

φ, θ, ρ and W_z are 1×1 convolutions, and d = C // r with r = 4, as in the paper's ablations. The
authors published no code; the convolutions have biases because most reimplementations have them.
Some reimplementations take the softmax of ρ over the positions too; in the paper the weights of one
position sum to 1 over the features. The cost grows with H·W, not with its square as in `nl`. At the
identity start W_z is zero.
"""

from __future__ import annotations

from torch import Tensor, nn

from .gates import Start, zero_parameters


class DoubleAttention(nn.Module):
    """(N, C, H, W) to the same shape; adds 3(Cd + d) + dC + C parameters.

    Args:
        channels: C, the channels of the map.
        reduction_ratio: r; the hidden width d is max(1, C // r).
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(self, channels: int, reduction_ratio: int = 4, start: Start = "paper") -> None:
        super().__init__()
        self.hidden = max(1, channels // reduction_ratio)
        self.project = nn.Conv2d(channels, 3 * self.hidden, 1)  # φ, θ and ρ in one pass
        self.out = nn.Conv2d(self.hidden, channels, 1)
        if start == "identity":
            zero_parameters(self.out)

    def forward(self, x: Tensor) -> Tensor:
        """The map with the distributed features added."""
        features, keys, queries = self.project(x).flatten(2).split(self.hidden, dim=1)
        gathered = features @ keys.softmax(2).transpose(1, 2).to(features.dtype)
        distributed = gathered @ queries.softmax(1).to(features.dtype)
        added: Tensor = self.out(distributed.unflatten(2, (x.shape[2], x.shape[3])))
        return x + added
