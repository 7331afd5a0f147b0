"""The training loop, from the images on the device to the weights that are kept.

All random numbers are drawn from (seed, epoch). Therefore a trial that continues after epoch 5
trains epoch 6 exactly as without the interruption, and two architectures with one seed see the same
images in the same order with the same augmentation.

The images are on the device as uint8 (N, H, W, C), or are read ahead into it. A batch is gathered,
augmented and normalised there, and is channels-last without a copy. The host waits for the device
once per epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import DamagedFileError, TrialError
from ...spaces.networks.attention_checks import check_maps
from ..augmentation.random_draws import mix_seed
from ..classification_metrics import metric_score
from ..metrics import REPORTED_METRICS
from ..predictions import Predictions
from ..recipe import Recipe
from ..results import EpochReport, KeepPredictions
from . import checkpoint
from .batch_plan import plan_batches
from .data_parallel import SINGLE_DEVICE, DataParallel
from .device_data import DeviceData
from .epoch_batches import EpochBatches
from .evaluation import IMAGES_PER_BATCH, evaluate
from .micro_batches import running_statistics_of_micro_batches
from .optimizer import TrainingOptimizer, flatten_parameters, make_optimizer
from .parameter_rates import backbone_batch_norms
from .prepare_network import prepare_network
from .schedule import learning_rate
from .steps import CAPTURED, EagerStep, TrainingStep, choose_step
from .task import Task, task_of
from .weight_average import WeightAverage, flatten_state


@dataclass(frozen=True)
class SaveCheckpoint:
    """Writes a checkpoint of a training after `epoch` epochs, when it is called."""

    training: Training
    epoch: int

    def __call__(self, path: Path, facts: dict[str, Any]) -> None:
        """Write the state to `path`, with facts that JSON can represent."""
        self.training.save(self.epoch, path, facts)

    @property
    def size(self) -> int:
        """Approximate bytes that will be written."""
        return self.training.state_bytes


@dataclass(frozen=True)
class Outcome:
    """The outcome of a training.

    Attributes:
        model: the network with the weights that are kept.
        stopped: whether it was stopped before its last epoch.
        steps: whether its steps were captured (see `choose_step`); empty if there was no step.
        predictions: those for the validation images after the last epoch, if they were to be kept.
    """

    model: nn.Module
    stopped: bool
    steps: str = ""
    predictions: Predictions | None = None


def train(
    model: nn.Module,
    data: DeviceData,
    recipe: Recipe,
    *,
    seed: int,
    resume: Path | None = None,
    on_epoch: Callable[[EpochReport, SaveCheckpoint], bool] = lambda *_: True,
    stops_now: Callable[[], bool] = lambda: False,
    task: Task | None = None,
    micro_batches: int = 1,
    keep_predictions: KeepPredictions = "none",
    metric: str = "accuracy",
    parallel: DataParallel = SINGLE_DEVICE,
) -> Outcome:
    """Train `model` in place by the recipe.

    Args:
        model: on the device of `data`.
        data: the images to train and validate on.
        recipe: how to train.
        seed: decides the order of the images and their augmentation.
        resume: a checkpoint of an earlier call; training continues after its epoch.
        on_epoch: called after every epoch with its report and a function that writes a checkpoint;
            returns whether to go on.
        stops_now: called after every step on a single device; whether to stop without the epoch.
        task: default: the recipe's task.
        micro_batches: parts of a batch that are trained one after the other; see `micro_batches`.
        keep_predictions: what the outcome holds of the predictions for the validation images.
        metric: the key of the metric whose score is reported after every epoch.
        parallel: the devices that train together. Each calls this function with its own network and
            data and the same settings; `on_epoch` is called on the first one alone.

    Raises:
        TrialError: `diverged` if the training or validation loss is not finite at the end of an
            epoch, `invalid` if there are fewer than two images.
        DamagedFileError: `resume` is damaged, or of another training.
    """
    with running_statistics_of_micro_batches(model, micro_batches):
        training = prepare_training(model, data, recipe, seed=seed, task=task, parallel=parallel)
        training.micro_batches = micro_batches
        training.keep_predictions, training.metric = keep_predictions, metric
        if parallel.size == 1:  # Several devices have to stop at the same step.
            training.stops_now = stops_now
        return _run_epochs(training, resume, on_epoch)


def _run_epochs(
    training: Training,
    resume: Path | None,
    on_epoch: Callable[[EpochReport, SaveCheckpoint], bool],
) -> Outcome:
    recipe = training.recipe
    first = _restore(training, resume) if resume else 0
    stopped = False
    training.parallel.wait_for_all()
    for epoch in range(first, recipe.epochs):
        report = training.train_epoch(epoch)
        if report is None:
            stopped = True
            break
        save = SaveCheckpoint(training, epoch + 1)
        go_on = training.parallel.call_on_first(partial(on_epoch, report, save))
        if not go_on and epoch + 1 < recipe.epochs:
            stopped = True
            break
    if training.average:
        training.average.swap()
    return Outcome(training.model, stopped, training.step_kind, training.predictions)


def _restore(training: Training, path: Path) -> int:
    """As `Training.restore`; if it fails on one of several devices, it fails on all."""
    epoch, reason = 0, None
    try:
        epoch = training.restore(path)
    except DamagedFileError as error:
        reason = str(error)
    for failure in training.parallel.gather([reason]):
        if failure is not None:
            raise DamagedFileError(failure)
    return epoch


def evaluation_batch_size(recipe: Recipe, micro_batches: int) -> int:
    """Images that are evaluated at once, as few as are trained at once if memory has run out."""
    return IMAGES_PER_BATCH if micro_batches == 1 else max(1, recipe.batch_size // micro_batches)


def prepare_training(
    model: nn.Module,
    data: DeviceData,
    recipe: Recipe,
    *,
    seed: int,
    task: Task | None = None,
    parallel: DataParallel = SINGLE_DEVICE,
) -> Training:
    """Prepare `model` for training; changes it in place.

    Its memory format and activations change as in `prepare_network`, and its small parameters
    become views of flat parameters.

    Args:
        model: on the device of `data`.
        data: the images to train and validate on.
        recipe: how to train.
        seed: decides the order of the images and their augmentation.
        task: default: the recipe's task.
        parallel: the devices that train together.
    """
    prepare_network(model, channels_last=recipe.channels_last)
    optimizer = make_optimizer(flatten_parameters(model, recipe), recipe)
    average = None
    if recipe.ema:
        average = WeightAverage(flatten_state(model, optimizer.slices), recipe.ema)
    task = task or task_of(recipe, data)
    return Training(model, optimizer, average, data, recipe, seed, task, parallel)


class Training:
    """A training in progress; made by `prepare_training`.

    Args:
        model: the network.
        optimizer: updates its weights.
        average: the average of its weights, if the recipe has one.
        data: the images to train and validate on.
        recipe: how to train.
        seed: decides the order of the images and their augmentation.
        task: what the outputs mean.
        parallel: the devices that train together.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: TrainingOptimizer,
        average: WeightAverage | None,
        data: DeviceData,
        recipe: Recipe,
        seed: int,
        task: Task,
        parallel: DataParallel = SINGLE_DEVICE,
    ) -> None:
        self.model, self.optimizer, self.average = model, optimizer, average
        self.data, self.recipe, self.seed, self.task = data, recipe, seed, task
        self.parallel = parallel
        self.batch_plan = plan_batches(recipe, len(data.train))
        self.share = parallel.share(self.batch_plan).on(data.train.labels.device)
        self.steps = self.batch_plan.steps
        self.micro_batches = 1
        self.keep_predictions: KeepPredictions = "none"
        self.metric = "accuracy"
        self.stops_now: Callable[[], bool] = lambda: False
        self.predictions: Predictions | None = None
        self.loss_sum: Tensor | None = None
        self.step_of_size: dict[int, TrainingStep] = {}
        self.step_kind = ""
        self.is_frozen = False
        self.frozen_norms = backbone_batch_norms(model) if recipe.head_epochs else []

    def train_epoch(self, epoch: int) -> EpochReport | None:
        """Train one epoch, counted from 0, and evaluate; None if `stops_now` has ended it."""
        began = time.perf_counter()
        lr = math.nan
        with closing(self.train_steps(epoch)) as steps:
            for step_lr in steps:
                lr = step_lr
                if self.stops_now():
                    return None
        averaged = self.average.flat if self.average else []
        self.parallel.copy_from_first([*self.model.buffers(), *averaged])
        train_loss = self._mean_loss()
        if not math.isfinite(train_loss):
            raise TrialError("diverged", f"the training loss was {train_loss} in epoch {epoch + 1}")
        is_last = epoch + 1 == self.recipe.epochs
        with self.average.applied() if self.average else nullcontext():
            evaluation = evaluate(
                self.model,
                self.data,
                self.recipe,
                task=self.task,
                images_per_batch=evaluation_batch_size(self.recipe, self.micro_batches),
                keep=self._needed_predictions(is_last),
                parallel=self.parallel,
            )
        evaluation.check_finite(f"in epoch {epoch + 1}")
        self.predictions, score = evaluation.predictions, None
        if self.predictions is not None:
            score = metric_score(self.predictions, self.metric)
        seconds = time.perf_counter() - began
        accuracy, val_loss = evaluation.accuracy, evaluation.loss
        return EpochReport(epoch + 1, train_loss, accuracy, val_loss, lr, seconds, score)

    def _mean_loss(self) -> float:
        """The training loss, the mean over the steps of the epoch."""
        if self.loss_sum is None:
            return math.nan
        losses = self.parallel.gather([float(self.loss_sum)])
        return sum(losses) / self.parallel.size / self.steps

    def _needed_predictions(self, is_last: bool) -> KeepPredictions:
        """What an epoch needs of the predictions: for the metric, and the last one to keep them."""
        if self.metric != "accuracy":
            return (
                "all" if REPORTED_METRICS[self.metric].needs_probabilities or is_last else "classes"
            )
        return self.keep_predictions if is_last else "none"

    def train_steps(self, epoch: int) -> Generator[float]:
        """Train one epoch, counted from 0; yields the learning rate after each step."""
        recipe, total = self.recipe, self.steps * self.recipe.epochs
        batches = EpochBatches(
            self.data,
            recipe,
            seed=self.seed,
            epoch=epoch,
            task=self.task,
            positions=self.share.positions,
        )
        self._freeze_backbone(epoch < recipe.head_epochs)
        if not self.step_of_size:
            # The values of maps are checked for the first batch only, their shapes for every batch.
            # In a captured step nothing is checked any more: its shapes cannot change.
            first = epoch == 0
            with check_maps(self.model, once=first, finite=first):  # Capturing a step runs it.
                self._choose_steps(batches)
        torch.manual_seed(self._dropout_seed(epoch))
        if self.loss_sum is not None:
            self.loss_sum.zero_()
        with check_maps(self.model), batches.reading_ahead(self.share.batches):
            for number, (batch_size, begin, size) in enumerate(self._shared_batches()):
                lr = learning_rate(recipe, epoch * self.steps + number, total)
                self.optimizer.set_learning_rate(lr)
                first = epoch == number == 0
                with check_maps(self.model, finite=True) if first else nullcontext():
                    self.step_of_size[batch_size](*batches.take(begin, size))
                if self.average:
                    self.average.update()
                yield lr

    def _dropout_seed(self, epoch: int) -> int:
        """The seed of an epoch for dropout and drop path: every device has images of its own."""
        seed = mix_seed(self.seed, epoch)
        return mix_seed(seed, self.parallel.rank) if self.parallel.rank else seed

    def _shared_batches(self) -> Iterator[tuple[int, int, int]]:
        """The size of each batch, and the first position and size of its share."""
        for (_, batch_size), (begin, size) in zip(self.batch_plan, self.share.batches, strict=True):
            yield batch_size, begin, size

    def _freeze_backbone(self, frozen: bool) -> None:
        """Put the network into training mode, with its backbone frozen or not."""
        self.model.train()
        if frozen:
            for norm in self.frozen_norms:
                norm.eval()
        if frozen != self.is_frozen:
            self.is_frozen = frozen
            self.step_of_size.clear()  # Captured steps are of the other kind.
            self.optimizer.freeze_backbone(frozen)

    def _choose_steps(self, batches: EpochBatches) -> None:
        """Choose the step for each size of batch; sizes have a captured step each."""
        eager = EagerStep(
            self.model,
            self.optimizer,
            self.data,
            self.recipe,
            self.task,
            self.micro_batches,
            self.parallel,
        )
        self.loss_sum = eager.loss_sum
        for batch_size, begin, size in self._shared_batches():
            if batch_size not in self.step_of_size:
                earlier = next(iter(self.step_of_size.values()), None)
                step = eager.for_share(size, batch_size)
                chosen, kind = choose_step(step, *batches.take(begin, size), earlier)
                self.step_of_size[batch_size] = chosen
                if self.step_kind in ("", CAPTURED):
                    self.step_kind = kind

    def save(self, epoch: int, path: Path, facts: dict[str, Any]) -> None:
        """Write a checkpoint.

        Args:
            epoch: epochs trained so far.
            path: the file.
            facts: further facts to write, which JSON can represent.
        """
        steps = self.average.steps if self.average else 0
        names = self.optimizer.state_names()
        training_facts = {"epoch": epoch, "average_steps": steps, "optimizer": names}
        if (scaler_state := self.optimizer.scaler_state()) is not None:
            training_facts["scaler"] = scaler_state
        checkpoint.save(path, {**facts, **training_facts}, self.state_tensors())

    def restore(self, path: Path) -> int:
        """Load a checkpoint; returns the number of epochs trained.

        Raises:
            DamagedFileError: it is missing, damaged, or of another training. The training may have
                changed and cannot be used then.
        """
        facts = checkpoint.read_facts(path)
        if facts is None:
            raise DamagedFileError(f"{path} is no checkpoint.")
        epoch = facts.get("epoch")
        if type(epoch) is not int or not 1 <= epoch <= self.recipe.epochs:
            raise DamagedFileError(f"{path} is of an epoch that the recipe does not have.")
        average_steps = epoch * self.steps if self.average else 0
        if facts.get("average_steps") != average_steps:
            raise DamagedFileError(f"{path} is of a training with other steps.")
        self.optimizer.allocate_state(facts.get("optimizer"))
        self.optimizer.load_scaler_state(facts.get("scaler"))
        checkpoint.load(path, self.state_tensors())
        if self.average:
            self.average.steps = average_steps
        return epoch

    @property
    def state_bytes(self) -> int:
        """Approximate bytes of `state_tensors`; some buffers are not counted."""
        tensors = [*self.optimizer.weights, *(self.average.flat if self.average else [])]
        return self.optimizer.state_bytes + sum(tensor.nbytes for tensor in tensors)

    def state_tensors(self) -> list[Tensor]:
        """All tensors of a checkpoint, in an order that depends only on network and recipe."""
        return state_tensors(self.model, self.optimizer, self.average)


def state_tensors(
    model: nn.Module, optimizer: TrainingOptimizer, average: WeightAverage | None
) -> list[Tensor]:
    """The tensors of a checkpoint, in an order that depends only on network and recipe.

    Args:
        model: its weights and buffers.
        optimizer: its state.
        average: the averaged weights; None if the recipe does not average.
    """
    averaged = average.values if average else []
    return [*model.parameters(), *model.buffers(), *averaged, *optimizer.state_tensors()]
