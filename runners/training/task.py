"""The task: what a network's outputs mean. Head size, loss, predictions and metrics.

The training loop knows a task by this protocol alone. A new kind of task implements it and passes
the contract in `tests/runners/training/test_task.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import torch.nn.functional as F
from torch import Tensor

from ..recipe import Recipe


class Task(Protocol):
    """What is learned. All methods except `metrics` compute on the device and do not wait."""

    def head_size(self, num_classes: int) -> int:
        """Number of outputs of the network for data with `num_classes` classes."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean training loss of a batch, a scalar with a gradient.

        Args:
            outputs: float32 (N, head size).
            targets: (N, …), as the data holds them.
        """

    def summed_validation_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The validation loss summed over a batch, a scalar; without regularisation.

        Args:
            outputs: float32 (N, head size).
            targets: (N, …), as the data holds them.
        """

    def predictions(self, outputs: Tensor) -> Tensor:
        """The prediction for each image, (N, …), from the outputs (N, head size)."""

    def log_probabilities(self, outputs: Tensor) -> Tensor:
        """The natural logarithm of the probability of each class, (N, classes).

        Args:
            outputs: float32 (N, head size).
        """

    def metrics(self, predictions: Tensor, targets: Tensor) -> Mapping[str, float]:
        """Metrics of a whole split, by name; `accuracy`, a fraction, is always among them.

        Args:
            predictions: those of all N images.
            targets: (N, …), as the data holds them.
        """


@dataclass(frozen=True)
class SingleLabelClassification:
    """Every image belongs to exactly one class; the loss is cross-entropy.

    Targets are int64 class numbers (N,), outputs are logits (N, classes).

    Args:
        label_smoothing: the fraction of the target probability that is spread over all classes
            (Szegedy et al., arXiv 1512.00567).
    """

    label_smoothing: float = 0.0

    def head_size(self, num_classes: int) -> int:
        """One logit for each class."""
        return num_classes

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy with smoothed labels."""
        return F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)

    def summed_validation_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Summed cross-entropy with the labels as they are."""
        return F.cross_entropy(outputs, targets, reduction="sum")

    def predictions(self, outputs: Tensor) -> Tensor:
        """The most probable class of each image, int64 (N,)."""
        return outputs.argmax(1)

    def log_probabilities(self, outputs: Tensor) -> Tensor:
        """The logarithm of the softmax, float32 (N, classes)."""
        return F.log_softmax(outputs, 1)

    def metrics(self, predictions: Tensor, targets: Tensor) -> Mapping[str, float]:
        """The fraction of images whose class is predicted."""
        correct = int((predictions == targets).sum())
        return {"accuracy": correct / len(targets)}


def task_of(recipe: Recipe) -> Task:
    """The task that a recipe trains for."""
    return SingleLabelClassification(recipe.label_smoothing)
