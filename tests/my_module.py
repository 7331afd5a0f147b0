"""What pages of the documentation call `my_module`: a network, a training, and attentions."""

from __future__ import annotations

import itertools

import torch
from torch import nn


class Fusion(nn.Module):
    """A head that fuses, and then decides."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.fuse = nn.Conv2d(channels, channels, 1)
        self.classify = nn.Conv2d(channels, classes, 1)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Logits, (N, classes)."""
        return self.classify(self.fuse(maps).relu()).mean((2, 3))


class Network(nn.Module):
    """A few convolutions with the modules that the pages name."""

    def __init__(self, num_classes: int = 2, in_chans: int = 3) -> None:
        super().__init__()
        channels = [in_chans, *7 * [16]]
        self.model = nn.Sequential(
            *(
                nn.Conv2d(before, after, 3, stride=2, padding=1)
                for before, after in itertools.pairwise(channels)
            )
        )
        self.neck = nn.Conv2d(16, 16, 3, padding=1)
        self.head = Fusion(16, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits, (N, classes)."""
        return self.head(self.neck(self.model(images)).relu())


def make_model(num_classes: int = 2, in_chans: int = 3) -> Network:
    """The network of the pages' own training."""
    return Network(num_classes, in_chans)


def train(trial):
    """Report what the network says of noise as the metric that the command names."""
    model = trial.model(num_classes=2) if trial.architecture.startswith("res") else None
    model = model or trial.model()
    images = torch.rand(2, 3, 64, 64, device=trial.device)
    for epoch in range(1, trial.epochs + 1):
        miou = model(images).sigmoid().mean().item()
        if not trial.report(epoch, miou=miou):
            return None
    return {"miou": miou}


class MyCBAM(nn.Module):
    """A CBAM that circulates: without a reduction, and without max pooling over the map."""

    def __init__(self, c1: int, kernel_size: int = 7) -> None:
        super().__init__()
        self.fc = nn.Conv2d(c1, c1, 1)
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The map with its channels, then its locations scaled."""
        x = x * self.fc(x.mean((2, 3), keepdim=True)).sigmoid()
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * self.conv(pooled).sigmoid()


class Attn(nn.Module):
    """CBAM as its paper has it."""

    def __init__(self, channels: int, reduction_ratio: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction_ratio)
        self.first = nn.Linear(channels, hidden, bias=False)
        self.second = nn.Linear(hidden, channels, bias=False)
        self.conv = nn.Conv2d(2, 1, 7, padding=3, bias=False)
        self.bn = nn.BatchNorm2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The map with its channels, then its locations scaled."""
        scale = sum(
            self.second(self.first(pooled).relu()) for pooled in (x.mean((2, 3)), x.amax((2, 3)))
        )
        x = x * scale.sigmoid()[:, :, None, None]
        pooled = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        return x * self.bn(self.conv(pooled)).sigmoid()


class SE(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int, reduction: int = 16, bias: bool = False) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.fc1 = nn.Linear(channels, hidden, bias=bias)
        self.fc2 = nn.Linear(hidden, channels, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The map with every channel scaled."""
        scale = self.fc2(self.fc1(x.mean((2, 3))).relu()).sigmoid()
        return x * scale[:, :, None, None]
