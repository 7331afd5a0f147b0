"""Evaluate a network: its metrics, its loss and its predictions on a split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...errors import TrialError
from ...spaces.networks.attention_checks import check_maps
from ..predictions import Predictions
from ..recipe import Recipe
from ..results import KeepPredictions
from .data_parallel import SINGLE_DEVICE, DataParallel, own_part
from .device_data import DeviceData, DeviceImages
from .read_ahead import read_ahead
from .steps import autocast
from .task import Task, task_of

IMAGES_PER_BATCH = 500


class Evaluation(NamedTuple):
    """The task's metrics by name, the mean loss of an image, and the predictions if kept."""

    metrics: Mapping[str, float]
    loss: float
    predictions: Predictions | None = None

    @property
    def accuracy(self) -> float:
        """The metric that every task has, a fraction."""
        return self.metrics["accuracy"]

    def check_finite(self, when: str) -> None:
        """Raise a TrialError `diverged` if the loss or a metric is not finite.

        The loss of a training that evaluates another way, in evaluation mode or with averaged
        weights, can be finite all the same, and an accuracy can always be computed.

        Args:
            when: ends the message, such as `in epoch 3`.
        """
        for name, value in {"loss": self.loss, **self.metrics}.items():
            if not math.isfinite(value):
                raise TrialError("diverged", f"the {name} of the evaluation was {value} {when}")


@torch.no_grad()
def evaluate(
    model: nn.Module,
    data: DeviceData,
    recipe: Recipe,
    images: DeviceImages | None = None,
    *,
    task: Task | None = None,
    images_per_batch: int = IMAGES_PER_BATCH,
    keep: KeepPredictions = "none",
    parallel: DataParallel = SINGLE_DEVICE,
) -> Evaluation:
    """Evaluate a network in evaluation mode.

    With the recipe's `mirror` the outputs for an image and its mirror image are averaged. What
    attentions of users return is checked for every batch, because the last one is smaller.

    Args:
        model: on the device of the images.
        data: has the mean and deviation that images are normalised with.
        recipe: precision, memory layout and `mirror`.
        images: default: the validation split of `data`.
        task: default: the recipe's task.
        images_per_batch: fewer need less memory.
        keep: what the evaluation holds of the predictions.
        parallel: the devices among which the batches are divided; each returns the evaluation of
            all, which is that of one device: the batches are the same.
    """
    images = images or data.val
    task = task or task_of(recipe, data)
    device = images.labels.device
    model.eval()
    evaluated: list[tuple[Tensor, Tensor, int, Tensor | None]] = []
    all_batches = torch.split(torch.arange(len(images), device=device), images_per_batch)
    batches = own_part(all_batches, parallel)
    with check_maps(model), read_ahead(images, batches) as take:
        for index in batches:
            targets = images.labels[index]
            batch = data.normalised(take(index), channels_last=recipe.channels_last)
            with autocast(recipe, device):
                outputs = model(batch).float()
                if recipe.mirror:
                    outputs = (outputs + model(batch.flip(3)).float()) / 2
            logs = _round_to_half(task.log_probabilities(outputs)) if keep == "all" else None
            loss = task.summed_validation_loss(outputs, targets)
            evaluated.append((task.predictions(outputs), loss, outputs.shape[1], logs))
    evaluated = parallel.gather(evaluated)
    predicted = torch.cat([predictions for predictions, *_ in evaluated])
    loss = torch.zeros((), device=device)
    for _, batch_loss, *_ in evaluated:
        loss += batch_loss
    metrics = task.metrics(predicted, images.labels)
    mean_loss = float(loss) / len(images)
    if keep == "none" or not math.isfinite(mean_loss):
        return Evaluation(metrics, mean_loss)
    log_probabilities = [logs for *_, logs in evaluated if logs is not None]
    kept = Predictions(
        images.labels.cpu().numpy(),
        predicted.cpu().numpy(),
        evaluated[-1][2],
        torch.cat(log_probabilities).cpu().numpy() if log_probabilities else None,
    )
    return Evaluation(metrics, mean_loss, kept)


def _round_to_half(log_probabilities: Tensor) -> Tensor:
    """Log-probabilities as finite float16."""
    return log_probabilities.clamp(torch.finfo(torch.float16).min, 0.0).half()
