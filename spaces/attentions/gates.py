"""Shared parts of attentions: gates with two starts, and norms that accept a single value.

A published gate is σ(z), near 0.5 before training, so every module halves its map at first. A gate
that starts as the identity is 2·σ(z) with the last layer before it at zero: 2·σ(0) is 1 exactly,
in every precision, and x · 1 is x to the last bit. The layer at zero still gets a gradient, because
σ'(0) = 1/4 and its input is not zero, so training leaves the identity in its first step.

A gate that no such layer precedes is blended in instead: 1 + a·(σ(z) − 1) with one more parameter,
a = 0 at first. a = 1 is the published gate. Where both forms are possible, they were compared in
short trials on the embedded tasks (benchmarks/identity_starts.py). For one gate the doubled form
trains as well and needs no parameter. For the product of two gates (coordinate attention) the
blended form trains better.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Start = Literal["paper", "identity"]


class SigmoidGate(nn.Module):
    """σ(z) for `start="paper"`, 2·σ(z) for `start="identity"`; any shape to the same."""

    def __init__(self, start: Start) -> None:
        super().__init__()
        self.doubled = start == "identity"

    def forward(self, z: Tensor) -> Tensor:
        """Gate values in (0, 1), or in (0, 2) if doubled."""
        gate = z.sigmoid()
        return 2 * gate if self.doubled else gate

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return "2·σ" if self.doubled else "σ"


class BlendedGate(nn.Module):
    """σ(z) for `start="paper"`, 1 + a·(σ(z) − 1) for `start="identity"`; adds the parameter a."""

    def __init__(self, start: Start) -> None:
        super().__init__()
        # A tensor without dimensions does not widen a bf16 map to float32.
        self.weight = nn.Parameter(torch.zeros(())) if start == "identity" else None

    def forward(self, z: Tensor) -> Tensor:
        """Gate values, the same shape."""
        return self.blend(z.sigmoid(), *self.parameters())

    @staticmethod
    def blend(gate: Tensor, *weight: Tensor) -> Tensor:
        """1 + a·(gate − 1), if there is an a; else the gate itself."""
        for a in weight:
            return 1 + a * (gate - 1)
        return gate

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return "σ" if self.weight is None else "1 + a·(σ − 1)"


def split_groups(x: Tensor, groups: int) -> Tensor:
    """(N, C, H, W) as (N, groups, C / groups, H, W), without a copy in any memory format."""
    return torch.unflatten(x, 1, (groups, -1))


def zero_parameters(layer: nn.Module) -> None:
    """Set a layer's weight and bias to zero, as in the last layer before a doubled gate."""
    for parameter in layer.parameters(recurse=False):
        nn.init.zeros_(parameter)


def _use_running_statistics(norm: nn.BatchNorm1d | nn.BatchNorm2d, input: Tensor) -> Tensor:
    """The output of a batch norm in evaluation."""
    return F.batch_norm(
        input, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
    )


class SafeBatchNorm1d(nn.BatchNorm1d):
    """Batch norm of (N, C) or (N, C, L) that accepts one value a channel.

    Such a batch has no variance, and torch refuses to train on it. It is normalised with the
    running statistics.
    """

    def forward(self, input: Tensor) -> Tensor:
        """The same shape."""
        if self.training and input.numel() == input.shape[1]:
            return _use_running_statistics(self, input)
        return super().forward(input)


class SafeBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that accepts one value a channel.

    A single image with a 1×1 map has no variance, and torch refuses to train on it. Here such a
    batch is normalised with the running statistics, which stay as they are.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        if self.training and input.numel() == input.shape[1]:
            return _use_running_statistics(self, input)
        return super().forward(input)


class SafeGroupNorm(nn.GroupNorm):
    """Group norm that normalises one value a group to zero, where torch refuses it."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, …) to the same shape."""
        return torch.group_norm(input, self.num_groups, self.weight, self.bias, self.eps, False)
