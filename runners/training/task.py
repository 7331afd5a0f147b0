"""The task: what a network's outputs mean. Head size, loss, predictions and metrics.

The training loop knows a task by this protocol alone. A new kind of task implements it and passes
the contract in `tests/runners/training/test_task.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..recipe import Recipe
from .device_data import DeviceData


class Task(Protocol):
    """What is learned. All methods except `metrics` compute on the device and do not wait."""

    def head_size(self, num_classes: int) -> int:
        """Number of outputs of the network for data with `num_classes` classes."""

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The mean training loss of a batch, a scalar with a gradient.

        Args:
            outputs: float32 (N, head size).
            targets: (N, …), as the data holds them, or as `weight_targets` or `mix_targets` returns
                them.
        """

    def weight_targets(self, targets: Tensor, weights: Tensor) -> Tensor:
        """The targets of images that do not count equally, (N, …), one tensor of a fixed shape.

        Args:
            targets: (N, …), as the data holds them.
            weights: what the training loss of each image is multiplied by, float32 (N,).
        """

    def mix_targets(self, targets: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
        """The targets of images that are mixtures of two, (N, …), one tensor of a fixed shape.

        Args:
            targets: those of the first images, (N, …), as the data holds them, or as
                `weight_targets` returns them.
            partners: those of the second images, likewise.
            shares: what the first image makes up of each mixture, float32 (N,).
        """

    def summed_validation_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The validation loss summed over a batch, a scalar; without regularisation.

        Its mean over the images is what training minimises, so settings are tuned by it.

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

    Targets are int64 class numbers (N,), outputs are logits (N, classes). Where the loss of an
    image is a sum of weighted terms, its targets are the class and the weight of each term: float32
    (N, 2) of images with weights, [class, weight]; (N, 4) of mixtures, [two classes, two weights].

    With class weights, the loss of an image is multiplied by the weight of its class, smoothed
    label included, and by its own weight if it has one. PyTorch's own weights would also direct the
    smoothing towards rare classes, and would divide by the weights of a batch, so that a class
    counts less where it is frequent.

    Args:
        label_smoothing: the fraction of the target probability that is spread over all classes
            (Szegedy et al., arXiv 1512.00567).
        class_weights: (classes,) on the device, with a mean of 1 over the training images; None if
            all images count equally.
        balanced_batches: whether training batches hold all classes equally often already, so that
            only the validation loss is weighted.
    """

    label_smoothing: float = 0.0
    class_weights: Tensor | None = field(default=None, compare=False, repr=False)
    balanced_batches: bool = False

    def head_size(self, num_classes: int) -> int:
        """One logit for each class."""
        return num_classes

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy with smoothed labels; of mixtures, the mean for their classes."""
        if targets.is_floating_point():
            classes, weights = (half.unbind(1) for half in targets.chunk(2, 1))
            losses = weights[0] * self._losses(outputs, classes[0].long())
            if len(classes) > 1:
                losses = losses + weights[1] * self._losses(outputs, classes[1].long())
            return losses.mean()
        if self.class_weights is None or self.balanced_batches:
            return F.cross_entropy(outputs, targets, label_smoothing=self.label_smoothing)
        return self._losses(outputs, targets).mean()

    def _losses(self, outputs: Tensor, classes: Tensor) -> Tensor:
        """The training loss of each image, (N,)."""
        smoothing = self.label_smoothing
        losses = F.cross_entropy(outputs, classes, label_smoothing=smoothing, reduction="none")
        if self.class_weights is None or self.balanced_batches:
            return losses
        return losses * self.class_weights.index_select(0, classes)

    def weight_targets(self, targets: Tensor, weights: Tensor) -> Tensor:
        """Class numbers and weights, float32 (N, 2)."""
        return torch.stack((targets.float(), weights), 1)

    def mix_targets(self, targets: Tensor, partners: Tensor, shares: Tensor) -> Tensor:
        """Both class numbers and their weights, float32 (N, 4); the weights are often the shares.

        The loss of an image with a weight is multiplied by it, so each share is, too.
        """
        weights, partner_weights = shares, 1 - shares
        if targets.is_floating_point():
            (targets, of_images), (partners, of_partners) = targets.unbind(1), partners.unbind(1)
            weights, partner_weights = weights * of_images, partner_weights * of_partners
        return torch.stack((targets.float(), partners.float(), weights, partner_weights), 1)

    def summed_validation_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Summed cross-entropy with the labels as they are."""
        if self.class_weights is None:
            return F.cross_entropy(outputs, targets, reduction="sum")
        losses = F.cross_entropy(outputs, targets, reduction="none")
        return (losses * self.class_weights.index_select(0, targets)).sum()

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


def task_of(recipe: Recipe, data: DeviceData | None = None) -> Task:
    """The task that a recipe trains for.

    Args:
        recipe: label smoothing, and how classes are balanced.
        data: has the training images, which decide the weights of classes; without them, the task
            computes no loss.
    """
    weights = None
    if data is not None and (recipe.class_weights or recipe.balanced_sampling):
        weights = class_weights(data.train.labels, recipe.class_weight_power)
    return SingleLabelClassification(recipe.label_smoothing, weights, recipe.balanced_sampling)


def class_weights(labels: Tensor, power: float = 1.0) -> Tensor:
    """Weights (classes,) by which all classes count equally: N / (K · n) for n of N images.

    K is the number of classes that have images. With a power below 1, weights are proportional to
    that power of these, and rare classes count less. The mean weight of an image is 1, so the
    learning rate keeps its meaning.

    Args:
        labels: of the training images, (N,).
        power: above 0, at most 1.
    """
    counts = labels.cpu().bincount()  # On a GPU, the order of its additions is not fixed.
    weights = len(labels) / ((counts > 0).sum() * counts.clamp(min=1))
    if power != 1:
        softened = weights**power * (counts > 0)
        weights = softened * (len(labels) / (softened * counts).sum())
    return weights.float().to(labels.device)
