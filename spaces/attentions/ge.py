"""Gather-Excite: a gate from a coarse version of the map itself, channel by channel.

Hu, Shen, Albanie, Sun, Vedaldi, "Gather-Excite: Exploiting Feature Context in Convolutional Neural
Networks", NeurIPS 2018, arXiv 1810.12348, §3–4:

    y = x · σ(resize(E(gather(x)))),  resize to H×W by nearest neighbours

| paper | options | gather | E |
|---|---|---|---|
| GE-θ⁻ | the default | mean over (2e−1)×(2e−1) windows, e apart; extent=global: of all | none |
| GE-θ | gather=conv | log2(e) depthwise 3×3 convolutions of stride 2, BN, ReLU between | none |
| GE-θ⁺ | gather=conv,mlp=true | as GE-θ | W2 ReLU(W1 ReLU(·)), C → C // 16 → C |

The ReLU between gather and E is in the authors' network. There W1 and W2 have biases; here, as in
`se`, they have none. For gather=conv with the global extent, paper and code use one depthwise
kernel of the map's size, which ties the weights to one image size. Here three strided convolutions
are followed by the mean. timm's `GatherExcite` raises an error for every form. gather=mean with
mlp=true and the global extent is `se`.

At the identity start the last layer (of E, or the last batch norm) is zero under a doubled gate;
GE-θ⁻ has none and is blended in with one parameter.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from ..kernels.pool_scale import pool_map, scale_map
from ..kernels.pooling import mean
from .formulas import ge_convolutions
from .gates import BlendedGate, SafeBatchNorm2d, SigmoidGate, Start, zero_parameters


class GatherExcite(nn.Module):
    """(N, C, H, W) to the same shape; 11C parameters a convolution, 2C · (C // 16) for the MLP.

    Args:
        channels: C, the channels of the map.
        extent: side of the square of locations that is gathered into one: global, 2, 4 or 8.
        gather: `mean`, or `conv` for depthwise convolutions of stride 2.
        mlp: whether two layers C → C // 16 → C follow.
        start: `paper`, the published form, or `identity`; see `gates.py`.
    """

    def __init__(
        self,
        channels: int,
        extent: str = "global",
        gather: str = "mean",
        mlp: bool = False,
        start: Start = "paper",
    ) -> None:
        super().__init__()
        self.extent = 0 if extent == "global" else int(extent)
        number = ge_convolutions(extent) if gather == "conv" else 0
        self.gather = _strided_convolutions(channels, number, rectified=mlp) if number else None
        hidden = max(1, channels // 16)
        self.mlp = (
            nn.Sequential(
                nn.Conv2d(channels, hidden, 1, bias=False),
                nn.ReLU(inplace=True),
                nn.Conv2d(hidden, channels, 1, bias=False),
            )
            if mlp
            else None
        )
        last = self.mlp or self.gather
        self.gate = BlendedGate(start) if last is None else SigmoidGate(start)
        if last is not None and start == "identity":
            zero_parameters(last[-1])

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        x, coarse = self._gather(x)
        if self.mlp is not None:
            coarse = self.mlp(coarse)
        scale: Tensor = self.gate(coarse)
        if self.extent:
            scale = F.interpolate(scale, size=x.shape[2:], mode="nearest")
        return scale_map(x, scale)

    def _gather(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The map to continue with, and the coarse map."""
        e = self.extent
        if self.gather is None and e:
            return x, F.avg_pool2d(x, 2 * e - 1, e, e - 1, count_include_pad=False)
        coarse = x if self.gather is None else self.gather(x)
        if e:
            return x, coarse
        coarse, means = pool_map(coarse, mean(2, 3))
        return (coarse if self.gather is None else x), means[:, :, None, None]


def _strided_convolutions(channels: int, number: int, rectified: bool) -> nn.Sequential:
    """`number` convolutions, each with batch norm and ReLU; the last ReLU only if `rectified`."""
    layers: list[nn.Module] = []
    for _ in range(number):
        layers += [
            nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=False),
            SafeBatchNorm2d(channels),
            nn.ReLU(inplace=True),
        ]
    return nn.Sequential(*(layers if rectified else layers[:-1]))
