"""The built-in evaluator: build the network, measure its costs, train it, save its weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ...errors import AttentuneError, DamagedFileError, TrialError
from ...spaces.backbones.stem import Stem
from ...spaces.kernels.triton_module import fallback_reasons
from ...spaces.networks.reusable_backbone import ReusableBackbone
from ..costs import count_costs
from ..data import Dataset, load_data
from ..events import Decision
from ..free_memory import memory_turn
from ..metrics import REPORTED_METRICS
from ..predictions import Predictions, what_is_kept
from ..recipe import Init, Recipe
from ..results import (
    EVALUATION_IMAGES,
    UNMOVED_ATTENTIONS,
    Costs,
    EpochReport,
    Job,
    KeepPredictions,
    TrialResult,
)
from ..training.data_parallel import DataParallel
from ..training.device_data import DeviceData, DeviceImages, spare_bytes
from ..training.evaluation import Evaluation, evaluate
from ..training.task import task_of
from ..training.train import Outcome, SaveCheckpoint, evaluation_batch_size, train
from ..training.unmoved_attentions import count_unmoved_attentions
from .evaluator import Trial
from .measured_costs import add_measured_costs
from .memory_limit import limit_memory
from .process_state import refuse_changes
from .trained_weights import save_weights
from .trial_facts import FinishedTrial

MAX_DESCRIBED_CLASSES = 100
"""With more classes, the numbers of images of each are not recorded."""


class RecipeEvaluator:
    """Trains the network of an architecture with the study's recipe; see `Evaluator`.

    A worker keeps the study's images and backbone on the device for all its trials.
    """

    def evaluate(self, trial: Trial) -> TrialResult | None:
        """The result after the recipe's epochs; None if the trial was paused or pruned."""
        with _network_and_data(trial.job, trial.device) as (model, data, num_classes):
            trial.report_costs(*measure_costs(model, trial.job, num_classes, trial.device))
            return self._train(trial, model, data, num_classes)

    def _train(
        self, trial: Trial, model: nn.Module, data: DeviceData, num_classes: int
    ) -> TrialResult | None:
        job, recipe = trial.job, trial.job.recipe
        if trial.checkpoint and trial.report_again() is not Decision.GO_ON:
            return None

        def on_epoch(report: EpochReport, save: SaveCheckpoint) -> bool:
            return trial.report(report, save) is Decision.GO_ON

        shared = SharedTraining(job, trial.checkpoint)
        training = trial.parallel.call_on_first(lambda: shared)
        outcome, evaluation = training.run(
            model, data, num_classes, trial.device, trial.parallel, on_epoch, trial.stops_now
        )
        if outcome.stopped:
            return None
        accuracy, predictions = trial.last_report.accuracy, outcome.predictions
        if evaluation is not None:
            accuracy, predictions = evaluation.accuracy, evaluation.predictions
        facts = {
            "steps": outcome.steps,
            **describe_kernels(trial.device),
            **describe_unmoved_attentions(outcome.model, data, recipe),
            **({} if predictions is None else describe_images(predictions)),
        }
        if predictions is not None:
            trial.save_predictions(predictions)
        result = trial.result(accuracy, facts)
        save_weights(outcome.model, job, FinishedTrial(trial.last_report, result))
        return result


@dataclass(frozen=True)
class SharedTraining:
    """A training that all devices of a trial run together.

    Attributes:
        job: what is trained.
        checkpoint: of an earlier run, from which it continues; None: from the first epoch.
    """

    job: Job
    checkpoint: Path | None

    def run(
        self,
        model: nn.Module,
        data: DeviceData,
        num_classes: int,
        device: torch.device,
        parallel: DataParallel,
        on_epoch: Callable[[EpochReport, SaveCheckpoint], bool] = lambda *_: True,
        stops_now: Callable[[], bool] = lambda: False,
    ) -> tuple[Outcome, Evaluation | None]:
        """Train, and evaluate on the test split if the job asks for that.

        Args:
            model: the network, before training.
            data: the images to train and validate on.
            num_classes: outputs of the head.
            device: of this rank.
            parallel: the rank.
            on_epoch, stops_now: called on the first rank; see `train`.

        Returns:
            The outcome; and the evaluation on the test split, None if there is none.
        """
        job, recipe = self.job, self.job.recipe
        outcome = train(
            model,
            data,
            recipe,
            seed=job.seed,
            resume=self.checkpoint,
            on_epoch=on_epoch,
            stops_now=stops_now,
            micro_batches=job.micro_batches,
            keep_predictions="none" if job.test else _computed(job, data.val, num_classes),
            metric=job.metric,
            parallel=parallel,
        )
        if outcome.stopped or not job.test:
            return outcome, None
        images = load_test_images(recipe, device, job.data_key)
        evaluation = evaluate(
            outcome.model,
            data,
            recipe,
            images,
            images_per_batch=evaluation_batch_size(recipe, job.micro_batches),
            keep=_computed(job, images, num_classes),
            parallel=parallel,
        )
        evaluation.check_finite("on the test split")
        return outcome, evaluation


def follow_training(training: SharedTraining, device: torch.device, parallel: DataParallel) -> None:
    """Train with the first rank, which reports the trial and writes its files.

    Args:
        training: that the first rank has begun.
        device: of this rank.
        parallel: the rank.
    """
    job = training.job
    with (
        limit_memory(job.memory_limit_mib, device),
        refuse_changes(job.architecture),
        _network_and_data(job, device) as (model, data, num_classes),
        # If the checkpoint cannot be used, the first rank begins anew.
        suppress(DamagedFileError),
    ):
        training.run(model, data, num_classes, device, parallel)


@contextmanager
def _network_and_data(
    job: Job, device: torch.device
) -> Iterator[tuple[nn.Module, DeviceData, int]]:
    """The network of a job, before training, its data, and the number of outputs of its head.

    Args:
        job: what is trained.
        device: where it is trained.
    """
    recipe = job.recipe
    dataset, data = load_device_data(recipe, device, job.data_key)
    head_size = task_of(recipe).head_size(len(dataset.classes))
    backbone = load_backbone(
        job.architecture.backbone,
        recipe.stem,
        recipe.image_size,
        (recipe.init, recipe.init_digest),
        recipe.in_chans,
        head_size,
        device,
    )
    with backbone.network(job.architecture, job.seed) as model:
        yield model, data, head_size


def _computed(job: Job, images: DeviceImages, num_classes: int) -> KeepPredictions:
    """What is computed for metrics, whatever is kept of it afterwards."""
    if REPORTED_METRICS[job.metric].needs_probabilities:
        return "all"
    return what_is_kept("all", len(images), num_classes, job.max_predictions_mib)


def measure_costs(
    model: nn.Module, job: Job, num_classes: int, device: torch.device
) -> tuple[Costs, str | None]:
    """The costs of a network; latency and memory only if the job requires them.

    Args:
        model: the network of `job.architecture`.
        job: the costs to measure, and those that are known.
        num_classes: classes of the data.
        device: where to measure the latency.

    Returns:
        The costs, and why the machine was not quiet while the latency was measured; None if it was.

    Raises:
        AttentuneError: the network has another number of parameters than was predicted.
    """
    costs = job.costs or count_costs(model, job.recipe.size, job.recipe.in_chans)
    parameters = sum(p.numel() for p in model.parameters())
    if costs.params != parameters:
        raise AttentuneError(
            f"{job.architecture} has {parameters:,} parameters, but {costs.params:,} were "
            "predicted; please report the architecture"
        )
    return add_measured_costs(costs, job, num_classes, device)


def describe_unmoved_attentions(
    model: nn.Module, data: DeviceData, recipe: Recipe
) -> dict[str, str]:
    """How many attentions still are the identity after training; empty if none is.

    Args:
        model: the trained network.
        data: its validation images are used.
        recipe: of the trial.
    """
    unmoved, total = count_unmoved_attentions(model, data, recipe)
    return {UNMOVED_ATTENTIONS: f"{unmoved} of {total}"} if unmoved else {}


def describe_images(predictions: Predictions) -> dict[str, str]:
    """How many images were evaluated, and how many of them are of each class."""
    counts = np.bincount(predictions.labels, minlength=predictions.num_classes)
    description = f"{len(predictions)}, {counts.max()} of one class"
    if len(counts) <= MAX_DESCRIBED_CLASSES:
        description += f", by class {' '.join(map(str, counts.tolist()))}"
    return {EVALUATION_IMAGES: description}


def describe_kernels(device: torch.device) -> dict[str, str]:
    """Why attentune's own kernels could not be used on a device; usually empty."""
    reasons = fallback_reasons(device)
    return {f"{name} kernels": f"torch's: {reason}" for name, reason in reasons.items()}


class _DeviceDataCache:
    """The data that a worker keeps on its device."""

    def __init__(self) -> None:
        self._key: tuple[Recipe, torch.device, str | None] | None = None
        self._data: tuple[Dataset, DeviceData] | None = None

    def get(
        self, recipe: Recipe, device: torch.device, data_key: str | None
    ) -> tuple[Dataset, DeviceData]:
        """The data of a recipe on a device. Other data are freed before they are loaded."""
        # Images are those of any epochs.
        key = (recipe.model_copy(update={"epochs": 1}), device, data_key)
        if self._data is None or key != self._key:
            self._data = None
            load_test_images.cache_clear()
            dataset = load_data(recipe, key=data_key)
            self._key, self._data = key, (dataset, DeviceData.of(dataset, device))
        return self._data


_device_data_cache = _DeviceDataCache()


def load_device_data(
    recipe: Recipe, device: torch.device, data_key: str | None = None
) -> tuple[Dataset, DeviceData]:
    """The study's data on the device; a worker keeps it for all its trials.

    A trial with larger images replaces it, so that the two never fill the memory together.

    Args:
        recipe: of the trial.
        device: where to put the images.
        data_key: of the prepared images; see `Job`.
    """
    return _device_data_cache.get(recipe, device, data_key)


@lru_cache(maxsize=1)
def load_test_images(
    recipe: Recipe, device: torch.device, data_key: str | None = None
) -> DeviceImages:
    """The images of the test split; TrialError `invalid` if the data has none.

    Args:
        recipe: of the trial.
        device: where to put the images.
        data_key: of the prepared images; see `Job`.
    """
    test = load_data(recipe, key=data_key).test
    if test is None:
        raise TrialError("invalid", f"{recipe.data} has no test split to evaluate on")
    with memory_turn(test.images.nbytes, str(device)):
        return DeviceImages.of(test, device, spare_bytes(device) / 2)


@lru_cache(maxsize=2)
def load_backbone(
    backbone: str,
    stem: Stem,
    image_size: int,
    init: tuple[Init, str | None],
    in_chans: int,
    num_classes: int,
    device: torch.device,
) -> ReusableBackbone:
    """The study's backbone on the device; a worker keeps it for all its trials.

    Args:
        backbone: the timm name.
        stem: `native`, `small` or `stride1`.
        image_size: side of the square image, in pixels.
        init: the recipe's `init`, and the digest of the file that it may name.
        in_chans: channels of the images.
        num_classes: outputs of the head.
        device: where it is trained.
    """
    return ReusableBackbone(
        backbone,
        num_classes=num_classes,
        image_size=image_size,
        stem=stem,
        in_chans=in_chans,
        pretrained=init[0] == "pretrained",
        weights=Path(init[0]) if init[0] not in ("scratch", "pretrained") else None,
        weights_digest=init[1],
        device=device,
    )
