"""A trial as a user's own evaluation sees it: `UserTrial`.

def train(trial):
    model = trial.model(num_classes=10)  # Or trial.insert(my_network).
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    done = trial.restore(model=model, optimizer=optimizer)
    for epoch in range(done + 1, trial.epochs + 1):
        ...
        trial.save(epoch, model=model, optimizer=optimizer)
        if not trial.report(epoch, miou=miou, train_loss=loss):
            return
    return {"miou": miou}
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import TrialError, UsageError
from ...files import atomic_write
from ...spaces.backbones.sites import height_and_width
from ...spaces.networks.build import build_network
from ...spaces.networks.own_network import insert
from ..events import Decision
from ..results import USER_STATE_FILE
from ..user_evaluation import UserEvaluation
from .evaluator import Trial
from .inserted_weights import InsertedWeights
from .random_generators import read_generators, write_generators
from .reported_metrics import ReportedMetrics, read_metrics

Network = TypeVar("Network", bound=nn.Module)


class TrialStoppedError(Exception):
    """The trial was told to stop, and has reported another epoch nevertheless."""


class UserTrial:
    """One trial: what to train, and where to report what was reached.

    Attributes:
        number: of the trial in its study.
        seed: random generators of Python, NumPy and torch start from it.
        epochs: to train.
        image_size: height and width of the images that the study is for, in pixels.
        device: where to train.
        folder: for files of this trial; it survives an interruption.
        split: `validation`, or `test` if the result is to be measured on the test split, as in
            `attentune confirm`.
        stopped: whether `report` has returned False: the trial is pruned, or interrupted.
    """

    def __init__(self, trial: Trial, evaluation: UserEvaluation, folder: Path) -> None:
        """Wrap a trial.

        Args:
            trial: of the worker.
            evaluation: names the metrics that are expected.
            folder: for the user's files; it exists.
        """
        job = trial.job
        self.number, self.seed, self.epochs = job.number, job.seed, job.recipe.epochs
        self.image_size: tuple[int, int] = height_and_width(job.recipe.size)
        self.device: torch.device = trial.device
        self.folder = folder
        self.split: Literal["validation", "test"] = "test" if job.test else "validation"
        self.stopped = False
        self.uses_architecture = job.architecture.bare
        self.inserted = InsertedWeights()
        self.last_metrics: ReportedMetrics | None = None
        self._trial, self._evaluation = trial, evaluation
        self._reported_at = time.perf_counter()

    @property
    def architecture(self) -> str:
        """The architecture as a text, for `attentune.create_model` and `attentune.insert`."""
        self.uses_architecture = True
        return str(self._trial.job.architecture)

    def model(self, **arguments: Any) -> nn.Module:
        """The study's backbone with the attention of this trial, on the trial's device.

        Its initial weights are the same for all trials of a seed.

        Args:
            **arguments: of `timm.create_model`, such as `num_classes`.
        """
        job, recipe = self._trial.job, self._trial.job.recipe
        settings: dict[str, Any] = {
            "num_classes": job.num_classes or None,
            "pretrained": recipe.init == "pretrained",
            "weights": recipe.weights_file,
            **arguments,
        }
        model = build_network(
            job.architecture,
            image_size=recipe.size,
            stem=recipe.stem,
            seed=job.seed,
            **{"in_chans": recipe.in_chans, **settings},
        )
        self.uses_architecture = True
        return model.to(self.device)

    def insert(self, model: Network, example: Tensor | Sequence[Any] | None = None) -> Network:
        """Insert the attention of this trial into a network, in place.

        Args:
            model: the network that is trained, of the class that the study searches on.
            example: its input, as in `attentune.insert`; by default one image of the study's size.

        Returns:
            `model`.

        Raises:
            ArchitectureError: the network has other stages and blocks than that of the study.
        """
        job, recipe = self._trial.job, self._trial.job.recipe
        if example is None:
            reference = next((p for p in model.parameters() if p.is_floating_point()), None)
            device = None if reference is None else reference.device
            shape = (1, recipe.in_chans, *height_and_width(recipe.size))
            example = torch.zeros(shape, device=device)
        self.uses_architecture = True
        if job.architecture.bare:
            return model
        return insert(model, job.architecture, example, seed=job.seed)

    def report(self, epoch: int, value: Any = None, /, **metrics: Any) -> bool:
        """Report an epoch, and learn whether to go on.

        Args:
            epoch: counted from 1.
            value: of the metric that is searched for; or name it: `miou=0.71`.
            **metrics: values by name. `train_loss`, `val_loss` and `lr` are recorded as such.

        Returns:
            False if the trial should stop: return from the function then. A further report raises
            `TrialStoppedError`.

        Raises:
            TrialError: a value is not a finite number, or the epoch is not the next one.
        """
        if self.stopped:
            raise TrialStoppedError
        name, searched = self._evaluation.target, self._evaluation.searched
        self._check_epoch(epoch)
        if value is not None:
            metrics = {searched.key: value, **metrics}
        values = read_metrics(metrics, self._evaluation, f"{name} reports for epoch {epoch}")
        if searched.key not in values.metrics:
            raise TrialError(
                "invalid",
                f"{name} reports no {searched.key} for epoch {epoch}; call "
                f"trial.report({epoch}, {searched.key}=…)",
            )
        now = time.perf_counter()
        seconds, self._reported_at = now - self._reported_at, now
        self.last_metrics = values
        decision = self._trial.report(values.epoch_report(epoch, searched, seconds))
        self.stopped = decision is not Decision.GO_ON
        return not self.stopped

    @property
    def last_epoch(self) -> int:
        """The last epoch that was reported; 0 before the first."""
        return self._trial.last_report.epoch

    def _check_epoch(self, epoch: Any) -> None:
        last = self.last_epoch
        is_number = isinstance(epoch, int | np.integer) and not isinstance(epoch, bool)
        if is_number and last < epoch <= self.epochs:
            return
        raise TrialError(
            "invalid",
            f"{self._evaluation.target} reports epoch {epoch!r} after epoch {last}; epochs are "
            f"counted from 1 to {self.epochs}, and each is reported once",
        )

    def save(self, epoch: int, **objects: Any) -> None:
        """Write the state of the training, from which `restore` continues after an interruption.

        Args:
            epoch: the last one that was trained.
            **objects: what has a `state_dict`, such as the model and the optimizer.
        """
        content = {
            "epoch": int(epoch),
            "states": {name: value.state_dict() for name, value in objects.items()},
            "generators": read_generators(self.device),
        }
        with atomic_write(self.folder / USER_STATE_FILE) as draft:
            torch.save(content, draft)

    def restore(self, **objects: Any) -> int:
        """Load what `save` has written in an earlier run of this trial.

        Args:
            **objects: the same as those of `save`.

        Returns:
            The number of epochs that are trained already; 0 for a new trial.

        Raises:
            UsageError: the file holds other objects.
        """
        path = self.folder / USER_STATE_FILE
        if not path.exists():
            return 0
        content = torch.load(path, map_location=self.device, weights_only=True)
        if content["states"].keys() != objects.keys():
            raise UsageError(
                f"trial.restore is called with {', '.join(objects) or 'nothing'}, and trial.save "
                f"has written {', '.join(content['states']) or 'nothing'}; call both with the same"
            )
        for name, value in objects.items():
            value.load_state_dict(content["states"][name])
        write_generators(content["generators"], self.device)
        return int(content["epoch"])
