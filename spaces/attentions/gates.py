"""Pieces that several attentions share: the gate with its two starts, and a patient batch norm.

A published gate is σ(z), near 0.5 before training, so every module halves its map at first. A gate
that starts as the identity is 2·σ(z) with the last layer before it at zero: 2·σ(0) is 1 exactly,
in every precision, and x · 1 is x to the last bit. The layer at zero still gets a gradient, because
σ'(0) = 1/4 and its input is not zero, so training leaves the identity in its first step.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Start = Literal["paper", "identity"]


class Gate(nn.Module):
    """σ(z) for `start="paper"`, 2·σ(z) for `start="identity"`; any shape to the same."""

    def __init__(self, start: Start) -> None:
        super().__init__()
        self.doubled = start == "identity"

    def forward(self, z: Tensor) -> Tensor:
        """Gate values in (0, 1), or in (0, 2) if doubled."""
        opened = z.sigmoid()
        return 2 * opened if self.doubled else opened

    def extra_repr(self) -> str:
        """What `print(model)` shows."""
        return "2·σ" if self.doubled else "σ"


def zero(layer: nn.Module) -> None:
    """Set a layer's weight and bias to zero: the last one before a doubled gate."""
    for parameter in layer.parameters(recurse=False):
        nn.init.zeros_(parameter)


class PatientBatchNorm2d(nn.BatchNorm2d):
    """Batch norm that survives one value a channel.

    Training on a single picture with a 1×1 map has no variance, and torch refuses it. Here such a
    batch is normalised with the running statistics, and leaves them as they are.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        if self.training and input.numel() == input.shape[1]:
            return torch.nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(input)
