"""Implementations of attentions as people write them: wrong ones that circulate, and right ones."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import time

import torch
from torch import Tensor, nn

# --- wrong ----------------------------------------------------------------------------------------


class CBAMWithoutRatio(nn.Module):
    """Its channel half is one layer C → C of the means; its spatial half has no batch norm."""

    def __init__(self, c1: int, kernel_size: int = 7) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Conv2d(c1, c1, 1, bias=True)
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.fc(self.pool(x)).sigmoid()
        planes = torch.cat([x.mean(1, keepdim=True), x.max(1, keepdim=True)[0]], 1)
        return x * self.conv(planes).sigmoid()


class CBAMWithoutMax(nn.Module):
    """The shapes of the paper's module, but its channel half pools the mean only."""

    def __init__(self, in_planes: int, ratio: int = 16) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Conv2d(in_planes, in_planes // ratio, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(in_planes // ratio, in_planes, 1, bias=False),
        )
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.mlp(x.mean((2, 3), keepdim=True)).sigmoid()
        planes = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * self.conv(planes).sigmoid()


class CoordAttWithoutSigmoid(nn.Module):
    def __init__(self, inp: int, oup: int, reduction: int = 32) -> None:
        super().__init__()
        hidden = max(8, inp // reduction)
        self.conv1 = nn.Conv2d(inp, hidden, 1)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.act = nn.Hardswish()
        self.conv_h = nn.Conv2d(hidden, oup, 1)
        self.conv_w = nn.Conv2d(hidden, oup, 1)

    def gates(self, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = x.shape[2:]
        rows, columns = x.mean(3, keepdim=True), x.mean(2, keepdim=True).transpose(2, 3)
        strips = self.act(self.bn1(self.conv1(torch.cat([rows, columns], dim=2))))
        rows, columns = strips.split([height, width], dim=2)
        return self.conv_h(rows), self.conv_w(columns.transpose(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        by_row, by_column = self.gates(x)
        return x * by_row * by_column


class SEWithRatioAsWidth(nn.Module):
    """`Linear(C, r)`."""

    def __init__(self, channel: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channel, reduction, bias=False)
        self.fc2 = nn.Linear(reduction, channel, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc2(self.fc1(x.mean((2, 3))).relu()).sigmoid()
        return x * gate[:, :, None, None]


class SEWithUnusedRatio(nn.Module):
    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        del reduction
        self.fc1 = nn.Linear(channels, channels // 4, bias=False)
        self.fc2 = nn.Linear(channels // 4, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.fc2(self.fc1(x.mean((2, 3))).relu()).sigmoid()
        return x * gate[:, :, None, None]


class ECAWithFixedKernel(nn.Module):
    def __init__(self, channels: int, k_size: int = 3) -> None:
        super().__init__()
        del channels
        self.conv = nn.Conv1d(1, 1, k_size, padding=k_size // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.conv(x.mean((2, 3)).unsqueeze(1)).squeeze(1).sigmoid()
        return x * gate[:, :, None, None]


class SEBlock(nn.Module):
    """The paper's, for the classes below."""

    def __init__(self, in_channels: int, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Linear(in_channels, in_channels // reduction, bias=False)
        self.fc2 = nn.Linear(in_channels // reduction, in_channels, bias=False)

    def gate(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x.mean((2, 3))).relu()).sigmoid()[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)


class SEThatReturnsItsGate(SEBlock):
    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x)


class SEThatReturnsItsGateAsMap(SEBlock):
    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x).expand_as(x)


class SEWithReLUAfterSigmoid(SEBlock):
    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x).relu()


class SEWithReLUBeforeSigmoid(SEBlock):
    def gate(self, x: Tensor) -> Tensor:
        hidden = self.fc1(x.mean((2, 3))).relu()
        return self.fc2(hidden).relu().sigmoid()[:, :, None, None]


class SEInPlace(SEBlock):
    def forward(self, x: Tensor) -> Tensor:
        x.mul_(self.gate(x.clone()))
        return x


class SEWithUnusedLayer(SEBlock):
    def __init__(self, in_channels: int, reduction: int = 16) -> None:
        super().__init__(in_channels, reduction)
        self.extra = nn.Linear(4, 4)


class SEWithLooseTensor(SEBlock):
    def __init__(self, in_channels: int, reduction: int = 16) -> None:
        super().__init__(in_channels, reduction)
        self.factor = torch.ones(1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x) * self.factor


class SEWithBatchNorm(SEBlock):
    """A batch norm on pooled maps, which refuses one image in training mode."""

    def __init__(self, in_channels: int, reduction: int = 16) -> None:
        super().__init__(in_channels, reduction)
        self.bn = nn.BatchNorm1d(in_channels // reduction)

    def gate(self, x: Tensor) -> Tensor:
        hidden = self.bn(self.fc1(x.mean((2, 3)))).relu()
        return self.fc2(hidden).sigmoid()[:, :, None, None]


class SimAMOfTheListing(nn.Module):
    """The paper's listing, which divides by zero for a map of one value."""

    def __init__(self, channels: int | None = None, e_lambda: float = 1e-4) -> None:
        super().__init__()
        del channels
        self.e_lambda = e_lambda

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[2] * x.shape[3] - 1
        d = (x - x.mean((2, 3), keepdim=True)).square()
        v = d.sum((2, 3), keepdim=True) / n
        return x * (d / (4 * (v + self.e_lambda)) + 0.5).sigmoid()


# --- right ----------------------------------------------------------------------------------------


class SELayer(nn.Module):
    """In the style of many repositories: `nn.Sequential` and `view`."""

    def __init__(self, channel: int, reduction: int = 16) -> None:
        super().__init__()
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Sequential(
            nn.Linear(channel, channel // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channel // reduction, channel, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        n, c, _, _ = x.size()
        return x * self.fc(self.avg_pool(x).view(n, c)).view(n, c, 1, 1).expand_as(x)


class MyCBAM(nn.Module):
    """With biases in the MLP, the planes in the order maximum, mean, and no batch norm."""

    def __init__(self, gate_channels: int, reduction_ratio: int = 16) -> None:
        super().__init__()
        hidden = gate_channels // reduction_ratio
        self.mlp = nn.Sequential(
            nn.Linear(gate_channels, hidden), nn.ReLU(), nn.Linear(hidden, gate_channels)
        )
        self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        pooled = nn.functional.adaptive_max_pool2d(x, 1).flatten(1)
        gate = (self.mlp(x.mean((2, 3))) + self.mlp(pooled)).sigmoid()
        x = x * gate[:, :, None, None]
        planes = torch.cat([x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)], dim=1)
        return x * self.spatial(planes).sigmoid()


class CoordAtt(CoordAttWithoutSigmoid):
    def forward(self, x: Tensor) -> Tensor:
        by_row, by_column = self.gates(x)
        return x * by_row.sigmoid() * by_column.sigmoid()


class EcaLayer(nn.Module):
    """The kernel by the paper's rule."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        t = int(abs(math.log2(dim) / 2 + 0.5))
        k = max(3, t if t % 2 else t + 1)
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.conv(x.mean((2, 3)).unsqueeze(1)).squeeze(1).sigmoid()
        return x * gate[:, :, None, None]


class NonLocalBlock(nn.Module):
    """Three separate projections."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        hidden = in_channels // 2
        self.theta = nn.Conv2d(in_channels, hidden, 1)
        self.phi = nn.Conv2d(in_channels, hidden, 1)
        self.g = nn.Conv2d(in_channels, hidden, 1)
        self.w = nn.Sequential(nn.Conv2d(hidden, in_channels, 1), nn.BatchNorm2d(in_channels))
        nn.init.zeros_(self.w[1].weight)

    def forward(self, x: Tensor) -> Tensor:
        theta, phi, g = (layer(x).flatten(2) for layer in (self.theta, self.phi, self.g))
        weights = (theta.transpose(1, 2) @ phi).softmax(-1)
        return x + self.w((g @ weights.transpose(1, 2)).unflatten(2, x.shape[2:]))


# --- nothing that can be checked ------------------------------------------------------------------


class SENeedsWidth(SEBlock):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels, channels // width)


class SERaises(SEBlock):
    def forward(self, x: Tensor) -> Tensor:
        raise ValueError(f"no map of {x.ndim} axes today")


class SECannotBeMade(nn.Module):
    def __init__(self, channels: int) -> None:
        raise RuntimeError(f"no file for {channels} channels")


class SEHangs(SEBlock):
    def forward(self, x: Tensor) -> Tensor:
        time.sleep(1000)
        return x


class SEPrints(SEBlock):
    def forward(self, x: Tensor) -> Tensor:
        print("shape", x.shape)
        return super().forward(x)


class SEExits(SEBlock):
    def forward(self, x: Tensor) -> Tensor:
        raise SystemExit(x.ndim)


class SEEndsItsProcess(SEBlock):
    def forward(self, x: Tensor) -> Tensor:
        os._exit(x.ndim - 1)


class SELeavesAProcess(SEBlock):
    def forward(self, x: Tensor) -> Tensor:
        subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        return super().forward(x)


class SEPositional(SEBlock):
    def __init__(self, channels: int, /, reduction: int = 16) -> None:
        super().__init__(channels, reduction)


class SEForOneWidth(SEBlock):
    def __init__(self, channels: int, reduction: int = 16) -> None:
        assert channels == 64, "only 64"
        super().__init__(channels, reduction)


class ECAWithoutChannels(ECAWithFixedKernel):
    """Works for every number of channels, with one kernel."""

    def __init__(self, k_size: int = 3) -> None:
        super().__init__(1, k_size)


class SEChangesThreads(SEBlock):
    def forward(self, x: Tensor) -> Tensor:
        torch.set_default_dtype(torch.float64)
        return super().forward(x)


class Mystery(SEBlock):
    pass


class NoModule:
    def __init__(self, channels: int) -> None:
        pass


def make_se(channels: int = 64) -> nn.Module:
    return SEBlock(channels, 8)


def make_nothing() -> None:
    return None


module = SEBlock(64)
