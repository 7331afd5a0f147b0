"""The values that coordinator, workers and database exchange.

All are frozen and need no torch. Accuracy is a fraction in [0, 1]; latency is in milliseconds,
memory in MiB, durations in seconds; `params` and `macs` are whole numbers (one MAC is one
multiply-add).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import FailureKind
from ..sanitize import MAX_TRACEBACK_LENGTH, clean_text
from ..spaces.architecture import Architecture
from .recipe import Recipe
from .user_evaluation import UserEvaluation

CHECKPOINT_FILE = "checkpoint.safetensors"
WEIGHTS_FILE = "model.safetensors"
PREDICTIONS_FILE = "predictions.npz"
"""Files that a worker writes to the folder of a trial: while it runs, and when it has finished."""
RESULT_FILE = "result.json"
USER_FILES_FOLDER = "files"
USER_STATE_FILE = "state.pt"
USER_OUTPUT_FILE = "output.txt"
"""Of a trial that a user's own evaluation trains: its result, until that is recorded; the folder of
the user's files; in that folder, what `UserTrial.save` has written, and what the code has printed.
"""
KeepPredictions = Literal["all", "classes", "none"]
"""What is kept of a trial's predictions: `classes` leaves out the probabilities."""
DEFAULT_MAX_PREDICTIONS_MIB = 16.0
"""Size of the class probabilities of one trial, MiB, above which they are not kept."""
UNMOVED_ATTENTIONS = "unmoved attentions"
"""The fact of an environment that says how many attentions of a trained network, and of how many,
still are the identity: `3 of 8`. It is missing if none is."""
EVALUATION_IMAGES = "evaluation images"
"""The fact of an environment that says how many images a trial was evaluated on, and how many of
them belong to the most frequent class: `500, 52 of one class`."""
RETRY_MICRO_BATCHES = 4
"""Micro-batches per step of a trial for which memory has run out with whole batches."""
IDENTITY_FORMAT = 1
"""Part of every identity. Raise it when trained weights change their meaning."""


MAX_EQUAL_ERRORS = 2.0
"""Two values are equal if they differ by at most this many standard errors of their difference."""


@dataclass(frozen=True)
class Costs:
    """What a network costs, known before it is trained; None where it was not measured.

    Parameters, multiply-adds and training memory are counted, and so exact. Latency is measured.

    Attributes:
        params: parameters.
        macs: multiply-adds of one forward pass of one image.
        latency_ms: milliseconds of one forward pass of one image.
        latency_ratio: latency as a multiple of the bare backbone's; the two are measured in
            alternation, so that the machine's noise cancels.
        memory_mib: peak memory of one training step at the recipe's batch size.
        latency_ms_error, latency_ratio_error: standard errors. That of the milliseconds includes
            the error of the bare backbone's, which all architectures of a study share; so
            architectures are compared by their ratios.
    """

    params: int
    macs: int
    latency_ms: float | None = None
    latency_ratio: float | None = None
    memory_mib: float | None = None
    latency_ms_error: float | None = None
    latency_ratio_error: float | None = None

    def error_of(self, key: str) -> float:
        """The standard error of a cost; 0 if it is exact, or if its error is unknown."""
        return getattr(self, f"{key}_error", None) or 0.0

    def excess(self, key: str, limit: float) -> float | None:
        """By how much a cost certainly exceeds a limit; negative below it, None if not measured.

        A measured cost exceeds the limit if it is above it by more than its noise.
        """
        value: float | None = getattr(self, key)
        return None if value is None else value - MAX_EQUAL_ERRORS * self.error_of(key) - limit

    def exceeded_limit(self, limits: Mapping[str, float]) -> str | None:
        """The first limit that these costs exceed, as a sentence; None if they exceed none.

        A cost that was not measured exceeds no limit.
        """
        for key, limit in limits.items():
            excess = self.excess(key, limit)
            if excess is not None and excess > 0:
                noise = " by more than its noise" if self.error_of(key) else ""
                return f"{key} is {self._shown(key)}, above the limit of {limit:,.12g}{noise}"
        return None

    def limit_within_noise(self, limits: Mapping[str, float]) -> str | None:
        """The first limit that a measured cost may exceed or keep, as a sentence; None if none."""
        for key, limit in limits.items():
            value, error = getattr(self, key), self.error_of(key)
            if value is not None and error and abs(value - limit) <= MAX_EQUAL_ERRORS * error:
                return (
                    f"{key} is {self._shown(key)}, within its noise of the limit of {limit:,.12g}"
                )
        return None

    def _shown(self, key: str) -> str:
        value = getattr(self, key)
        if isinstance(value, int):
            return f"{value:,}"
        error = self.error_of(key)
        return f"{value:.4g} ± {error:.2g}" if error else f"{value:.4g}"


@dataclass(frozen=True)
class Measurement:
    """The costs of one architecture, measured by `attentune.measure`.

    Attributes:
        architecture: in canonical form.
        costs: parameters, MACs and training memory; latency if it was timed.
        busy: why the machine was not quiet while the latency was measured; None if it was quiet.
    """

    architecture: Architecture
    costs: Costs
    busy: str | None = None

    @property
    def key(self) -> str:
        """Identifies the architecture: two texts that build one network have one key."""
        return self.architecture.key

    def to_json(self) -> dict[str, Any]:
        """What `attentune measure --json` prints; without latency if it was not timed."""
        fields = {"architecture": str(self.architecture), "key": self.key, **asdict(self.costs)}
        timed = self.costs.latency_ms is not None
        if timed:
            fields["busy"] = self.busy
        return {name: fields[name] for name in fields if timed or not name.startswith("latency")}


@dataclass(frozen=True)
class EpochReport:
    """One epoch of one trial.

    Attributes:
        epoch: counted from 1.
        train_loss: mean over the steps of the epoch.
        accuracy, val_loss: on validation data, of the weights that would be kept: the averaged
            ones, if the recipe averages. These, the training loss and the learning rate are NaN
            where a user's own evaluation does not report them.
        lr: learning rate of the last step.
        seconds: time for which the epoch and its evaluation kept the device busy.
        metric_score: the score of the metric that the study searches for; see `Metric.score_of`.
            None if that is the accuracy.
    """

    epoch: int
    train_loss: float
    accuracy: float
    val_loss: float
    lr: float
    seconds: float
    metric_score: float | None = None

    @property
    def score(self) -> float:
        """What the study searches for; more is better."""
        return self.accuracy if self.metric_score is None else self.metric_score


@dataclass(frozen=True)
class Job:
    """Everything that a worker needs to run one trial.

    Attributes:
        number: the trial's number in its study.
        architecture, recipe, seed: what to train, and how.
        folder: where its checkpoint and final weights go.
        folder_url: the URL of the folder, of which workers then have copies; None: all of them
            share `folder`.
        measure: which of `latency_ms`, `memory_mib` to measure before training.
        limits: upper bounds on costs; a trial above one is rejected untrained.
        costs: the predicted parameters and MACs, if they are known; also the costs that were
            measured before, in this trial or another one of the architecture, which are not
            measured again.
        reference_latency_ms, reference_latency_error_ms: the bare backbone's latency and its
            standard error, measured once for the study; a trial's latency is its ratio to the bare
            backbone times this.
        test: whether the result is the accuracy of the final weights on the test split, instead of
            the last epoch's on validation data.
        data_key: changes with the prepared images; None if it is not known.
        micro_batches: parts of a batch that are trained one after the other, to save memory.
        memory_limit_mib: maximum memory of the trial, as in `TrialResult`; None: no limit.
        keep_predictions: what to keep of the predictions for the images of the result.
        max_predictions_mib: size of the class probabilities above which they are not kept.
        metric: the key of the metric that the study searches for.
        evaluation: a user's own evaluation that trains in place of the recipe; None: the recipe.
        num_classes: outputs of the head of a network that a user's evaluation trains; 0: as many as
            the backbone has by itself.
    """

    number: int
    architecture: Architecture
    recipe: Recipe
    seed: int
    folder: Path
    measure: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    costs: Costs | None = None
    reference_latency_ms: float | None = None
    reference_latency_error_ms: float | None = None
    test: bool = False
    data_key: str | None = None
    micro_batches: int = 1
    memory_limit_mib: float | None = None
    keep_predictions: KeepPredictions = "all"
    max_predictions_mib: float = DEFAULT_MAX_PREDICTIONS_MIB
    metric: str = "accuracy"
    evaluation: UserEvaluation | None = None
    num_classes: int = 0
    folder_url: str | None = None

    @property
    def identity(self) -> str:
        """A digest of what is trained and how. A file that has another one is of another trial."""
        recipe = self.recipe.identity_facts()
        facts = [IDENTITY_FORMAT, str(self.architecture), recipe, self.seed, self.test]
        if self.evaluation is not None:
            facts += [self.evaluation.target, list(self.evaluation.metrics), self.num_classes]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class TrialResult:
    """A finished trial.

    Attributes:
        accuracy: of the weights that were kept, on validation data (`Job.test`: on the test split);
            NaN where a user's own evaluation does not report it.
        epochs: how many were trained.
        costs: what the network costs.
        seconds, device_seconds: wall time, and time for which the device was busy, over all runs.
        peak_memory_mib: highest memory of the worker (CPU) or on the device (GPU).
        environment: versions, device, precision, git commit, host facts.
        metrics: further metrics of the same predictions, by their key in `metrics.METRICS`.
        metric_score: as in an `EpochReport`.
        cpu_load, gpu_load: of the machine and of the device, as in a `runners.load.Load`.
    """

    accuracy: float
    epochs: int
    costs: Costs
    seconds: float
    device_seconds: float
    peak_memory_mib: float
    environment: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)
    metric_score: float | None = None
    cpu_load: float | None = None
    gpu_load: float | None = None


@dataclass(frozen=True)
class Failure:
    """Why a trial failed. Message and traceback may come from other code, so they are cleaned."""

    kind: FailureKind
    message: str
    traceback: str = ""

    def __post_init__(self) -> None:
        traceback = clean_text(self.traceback, MAX_TRACEBACK_LENGTH, keep_end=True)
        object.__setattr__(self, "message", clean_text(self.message))
        object.__setattr__(self, "traceback", traceback)
