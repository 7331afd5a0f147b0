"""SimAM: a gate for every value of the map, from how much it stands out of its channel.

Yang, Zhang, Li, Xie, "SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural
Networks", ICML 2021, PMLR 139:11863–11874 (not on arXiv), eq. 5 and the listing:

    y = x · σ((x − μ)² / (4(v + λ)) + 1/2),  v = Σ (x − μ)² / (HW − 1),  λ = 1e-4

μ and v are of one channel of one picture. Eq. 5 has 1/HW in v, the paper's listing and the authors'
code 1/(HW − 1), which we follow. λ is the listing's; the authors trained on ImageNet with 0.1. On a
1×1 map the listing divides by zero; here v is 0 there, and the gate σ(1/2). No parameters; the
identity start adds the one that blends it in.
"""

from __future__ import annotations

from torch import Tensor, nn

from .gates import BlendedGate, Start, centred_moments


class SimAM(nn.Module):
    """(N, C, H, W) to the same shape; adds no parameters, one at the identity start."""

    def __init__(self, channels: int, start: Start = "paper") -> None:
        super().__init__()
        del channels  # every channel alike
        self.gate = BlendedGate(start)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        positions = x.shape[2] * x.shape[3]
        centred, variance = centred_moments(x)
        variance = variance * (positions / max(1, positions - 1))
        scale: Tensor = self.gate(centred.square() * (0.25 / (variance + 1e-4)) + 0.5)
        return x * scale
