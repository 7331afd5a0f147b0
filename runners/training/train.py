"""The training loop, from the resident pictures to the weights that are kept.

Everything random is drawn from (seed, epoch): a trial that continues after epoch 5 trains epoch 6
exactly as it would have without the interruption, and two architectures with one seed see the same
pictures in the same order with the same augmentation.

The pictures live on the device as uint8 (N, H, W, 3); a batch is gathered, shifted, mirrored and
normalised there, and arrives channels-last for nothing. The host waits for the device once an
epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import TrialError
from ..recipe import Recipe
from ..results import EpochReport
from . import checkpoint
from .augment import EpochBatches, mixed
from .device_data import DeviceData, DeviceImages
from .optimizer import WeightAverage, learning_rate, make_optimizer, set_learning_rate
from .steps import EagerStep, TrainingStep, autocast, choose_step

EVAL_BATCH = 500


@dataclass(frozen=True)
class SaveCheckpoint:
    """Writes a checkpoint of a training, as it is after `epoch` epochs."""

    training: Training
    epoch: int

    def __call__(self, path: Path, facts: dict[str, Any]) -> None:
        """Write it to a path, with facts in JSON's types for whoever goes on."""
        self.training.save(self.epoch, path, facts)

    @property
    def size(self) -> int:
        """Bytes that will be written."""
        return self.training.held


@dataclass(frozen=True)
class Outcome:
    """The network with the weights that are kept, whether training was told to stop before its last
    epoch, and whether its steps were captured (`steps.choose_step`; empty if there was none)."""

    model: nn.Module
    stopped: bool
    steps: str = ""


def train(
    model: nn.Module,
    data: DeviceData,
    recipe: Recipe,
    *,
    seed: int,
    resume: Path | None = None,
    on_epoch: Callable[[EpochReport, SaveCheckpoint], bool] = lambda *_: True,
) -> Outcome:
    """Train `model` in place by the recipe.

    Args:
        model: on the device of `data`.
        resume: a checkpoint of an earlier call; training goes on after its epoch.
        on_epoch: told about every epoch, with a function that saves a checkpoint; answers whether
            to go on.

    Raises:
        TrialError: `diverged` if the loss is not finite at the end of an epoch, `invalid` if
            there is less than one batch of pictures.
    """
    run = Training(model, data, recipe, seed, steps_of(recipe, data))
    first = run.restore(resume) if resume else 0
    stopped = False
    for epoch in range(first, recipe.epochs):
        report = run.epoch(epoch)
        if not on_epoch(report, SaveCheckpoint(run, epoch + 1)) and epoch + 1 < recipe.epochs:
            stopped = True
            break
    if run.average:
        run.average.swap()
    return Outcome(run.model, stopped, run.how)


def batch_of(recipe: Recipe, data: DeviceData) -> int:
    """Pictures in a step; TrialError `invalid` if there are fewer than two to train on."""
    batch = min(recipe.batch_size, len(data.train))
    if batch < 2:
        raise TrialError("invalid", "there are fewer than two training pictures")
    return batch


def steps_of(recipe: Recipe, data: DeviceData) -> int:
    """Steps in an epoch; what is left over after the last whole batch waits for the next one."""
    return len(data.train) // batch_of(recipe, data)


class Training:
    """One training: the network, what moves it, and the step that is repeated; see `train`."""

    def __init__(
        self, model: nn.Module, data: DeviceData, recipe: Recipe, seed: int, steps: int
    ) -> None:
        device = data.train.labels.device
        if recipe.channels_last:
            # As `model.to(memory_format=…)`, which also asks every other tensor, and takes longer.
            for tensor in (*model.parameters(), *model.buffers()):
                if tensor.ndim == 4:
                    tensor.data = tensor.data.to(memory_format=torch.channels_last)
        self.model, self.data, self.recipe, self.seed = model, data, recipe, seed
        self.optimizer = make_optimizer(model, recipe, device)
        self.average = WeightAverage(model, self.optimizer, recipe.ema) if recipe.ema else None
        self.batch, self.steps = batch_of(recipe, data), steps
        self.step: TrainingStep | None = None
        self.how = ""

    def epoch(self, epoch: int) -> EpochReport:
        """Train one epoch, counted from 0, and evaluate."""
        began = time.perf_counter()
        *_, lr = self.in_steps(epoch)
        train_loss = float(self.step.loss_sum) / self.steps if self.step else math.nan
        if not math.isfinite(train_loss):
            raise TrialError("diverged", f"the training loss was {train_loss} in epoch {epoch + 1}")
        with self.average.applied() if self.average else nullcontext():
            accuracy, val_loss = evaluate(self.model, self.data, self.recipe)
        seconds = time.perf_counter() - began
        return EpochReport(epoch + 1, train_loss, accuracy, val_loss, lr, seconds)

    def in_steps(self, epoch: int) -> Iterator[float]:
        """Train one epoch, a step at a time; the learning rate of each."""
        recipe, total = self.recipe, self.steps * self.recipe.epochs
        pictures = EpochBatches(self.data, recipe, seed=self.seed, epoch=epoch)
        self.model.train()
        step = self.step = self.step or self._chosen(*pictures.batch(0, self.batch))
        torch.manual_seed(mixed(self.seed, epoch))  # dropout and drop path draw from this
        step.loss_sum.zero_()
        for number in range(self.steps):
            lr = learning_rate(recipe, epoch * self.steps + number, total)
            set_learning_rate(self.optimizer, lr)
            step(*pictures.batch(number, self.batch))
            if self.average:
                self.average.update()
            yield lr

    def _chosen(self, images: Tensor, labels: Tensor) -> TrainingStep:
        eager = EagerStep(self.model, self.optimizer, self.data, self.recipe)
        step, self.how = choose_step(eager, images, labels)
        return step

    def save(self, epoch: int, path: Path, facts: dict[str, Any]) -> None:
        """Write all that is needed to go on after so many epochs."""
        steps = self.average.steps if self.average else 0
        held = checkpoint.names_of(self.optimizer)
        known = {"epoch": epoch, "average_steps": steps, "optimizer": held}
        checkpoint.save(path, {**facts, **known}, self.state())

    def restore(self, path: Path) -> int:
        """Put a checkpoint back; the number of epochs that it had seen."""
        facts = checkpoint.read_facts(path)
        if facts is None:
            return 0
        checkpoint.make_room(self.optimizer, facts["optimizer"])
        checkpoint.load(path, self.state())
        if self.average:
            self.average.steps = int(facts["average_steps"])
        return int(facts["epoch"])

    @property
    def held(self) -> int:
        """About the bytes of `state`, sooner told: all but some buffers."""
        weights = [weight for group in self.optimizer.param_groups for weight in group["params"]]
        moments = [v for held in self.optimizer.state.values() for v in held.values()]
        averaged = self.average.flat if self.average else []
        return sum(v.nbytes for v in (*weights, *moments, *averaged) if isinstance(v, Tensor))

    def state(self) -> list[Tensor]:
        """Every tensor that a checkpoint holds."""
        return checkpoint.state_of(self.model, self.optimizer, self.average)


@torch.no_grad()
def evaluate(
    model: nn.Module, data: DeviceData, recipe: Recipe, pictures: DeviceImages | None = None
) -> tuple[float, float]:
    """Accuracy (fraction) and mean cross-entropy on validation, or the given, pictures.

    With the recipe's `mirror` the logits of a picture and its mirror image are averaged.
    """
    pictures = pictures or data.val
    device = pictures.labels.device
    model.eval()
    correct = torch.zeros((), device=device)
    loss = torch.zeros((), device=device)
    for index in torch.split(torch.arange(len(pictures), device=device), EVAL_BATCH):
        labels = pictures.labels[index]
        images = data.normalised(pictures.take(index), channels_last=recipe.channels_last)
        with autocast(recipe, device):
            logits = model(images).float()
            if recipe.mirror:
                logits = (logits + model(images.flip(3)).float()) / 2
        correct += (logits.argmax(1) == labels).sum()
        loss += F.cross_entropy(logits, labels, reduction="sum")
    return float(correct) / len(pictures), float(loss) / len(pictures)
