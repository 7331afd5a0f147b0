"""One trial from job to result: build, price, train and save every epoch, keep the weights."""

from __future__ import annotations

import math
import resource
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from functools import lru_cache

import torch
from safetensors.torch import save_file
from torch import nn

from ...errors import AttentuneError, FailureKind, TrialError
from ...files import atomic_write
from ...spaces.architecture import Architecture
from ...spaces.backbones.stem import Stem
from ...spaces.kernels import batch_norm, pool_scale_cuda
from ...spaces.networks.build import build_network
from ...spaces.networks.reusable_backbone import ReusableBackbone
from ..costs import count_costs, count_training_memory_mib, measure_latency
from ..data import Dataset, load_data
from ..environment import describe_environment
from ..events import (
    Decision,
    EpochDone,
    Event,
    Failed,
    Finished,
    Measured,
    Rejected,
    Started,
    Stopped,
)
from ..recipe import Init, Recipe
from ..results import Costs, EpochReport, Failure, Job, TrialResult
from ..training.checkpoint import read_facts
from ..training.device_data import DeviceData, DeviceImages, spare_bytes
from ..training.train import Outcome, Save, evaluate, train

CHECKPOINT = "checkpoint.safetensors"
WEIGHTS = "model.safetensors"

WORTH_SAVING = 50
"""A checkpoint is written after an epoch if training has gone on since the last one for so many
times what writing takes. So it costs at most a fiftieth, and a crash loses no more than some
seconds, or one epoch where that is longer."""
SAVED_A_SECOND = 300e6
"""Bytes of a checkpoint, as long as none has been written; from then on it is measured."""

Tell = Callable[[Event], Decision]
"""Sends an event; for an `EpochDone` waits for what to do next."""


def run_trial(job: Job, tell: Tell, *, device: torch.device, worker: str = "here") -> None:
    """Run one trial to its end, and tell about it; never raises for what the trial does."""
    try:
        _Trial(job, tell, device, worker).run()
    except Exception as error:
        kind, message = classify(error)
        tell(Failed(job.number, Failure(kind, message, traceback.format_exc())))
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()


class _Trial:
    def __init__(self, job: Job, tell: Tell, device: torch.device, worker: str) -> None:
        self.job, self.tell, self.device, self.worker = job, tell, device, worker
        self.saved = job.folder / CHECKPOINT
        self.began = time.perf_counter()
        self.earlier_seconds = 0.0
        self.device_seconds = 0.0
        self.last = EpochReport(0, math.nan, 0.0, math.nan, 0.0, 0.0)
        self.saved_at = self.began
        self.saving: float | None = None
        self.decision = Decision.GO_ON

    def run(self) -> None:
        job, recipe = self.job, self.job.recipe
        resume = read_facts(self.saved)
        if resume:
            self.earlier_seconds = float(resume["seconds"])
            self.device_seconds = float(resume["device_seconds"])
            self.last = EpochReport(**resume["report"])
        self.tell(Started(job.number, self.worker, self.last.epoch))
        dataset, data = resident(recipe, self.device)
        plain = template(
            job.architecture.backbone,
            job.architecture.strip_attention,
            recipe.stem,
            recipe.image_size,
            recipe.init,
            len(dataset.classes),
            self.device,
        )
        with plain.network(job.architecture, job.seed) as model:
            self.train(model, data, len(dataset.classes), resume is not None)

    def train(self, model: nn.Module, data: DeviceData, num_classes: int, resumed: bool) -> None:
        """Price a network that is built, train it if it is within the limits, and keep it."""
        job, recipe = self.job, self.job.recipe
        costs = self.price(model, num_classes)
        if over := costs.exceeded_limit(job.limits):
            self.tell(Rejected(job.number, costs, over))
            return
        self.tell(Measured(job.number, costs))
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        if resumed:
            # The end may have come between the checkpoint and the word of it: say it again.
            self.decision = self.tell(EpochDone(job.number, self.last))
            if self.decision is not Decision.GO_ON:
                self.stop()
                return
        resume = self.saved if resumed else None
        outcome = train(
            model, data, recipe, seed=job.seed, resume=resume, on_epoch=self.after_epoch
        )
        if outcome.stopped:
            self.stop()
            return
        self.finish(outcome, costs, self.score(outcome.model, data))

    def score(self, model: nn.Module, data: DeviceData) -> float:
        """The accuracy that is reported: the last epoch's, or that on the test split."""
        if not self.job.test:
            return self.last.accuracy
        pictures = test_pictures(self.job.recipe, self.device)
        return evaluate(model, data, self.job.recipe, pictures)[0]

    @property
    def seconds(self) -> float:
        return self.earlier_seconds + time.perf_counter() - self.began

    def price(self, model: nn.Module, num_classes: int) -> Costs:
        job, recipe = self.job, self.job.recipe
        costs = job.costs or count_costs(model, recipe.image_size)
        if costs.params != (found := sum(p.numel() for p in model.parameters())):
            raise AttentuneError(
                f"{job.architecture} has {found:,} parameters where {costs.params:,} were counted "
                "on; please report the architecture"
            )
        latency = ratio = memory = None
        if "latency_ms" in job.measure:
            bare = build_network(
                Architecture(job.architecture.backbone),
                num_classes=num_classes,
                stem=recipe.stem,
                image_size=recipe.image_size,
                seed=job.seed,
            ).to(self.device)
            latency, ratio = measure_latency(model, bare, recipe.image_size)
            if job.reference_latency_ms is not None:
                latency = ratio * job.reference_latency_ms
        if "memory_mib" in job.measure:
            memory = count_training_memory_mib(job.architecture, recipe, num_classes)
        return Costs(costs.params, costs.macs, latency, ratio, memory)

    def after_epoch(self, report: EpochReport, save: Save) -> bool:
        self.device_seconds += report.seconds
        self.last = report
        last = report.epoch == self.job.recipe.epochs  # after it the weights are kept at once
        if self.saving is None:
            self.saving = save.size / SAVED_A_SECOND
        due = time.perf_counter() - self.saved_at >= WORTH_SAVING * self.saving
        if due and not last:
            self.checkpoint(save)
        self.decision = self.tell(EpochDone(self.job.number, report))
        if self.decision is Decision.PAUSE and not (due or last):
            self.checkpoint(save)
        return self.decision is Decision.GO_ON

    def checkpoint(self, save: Save) -> None:
        began = time.perf_counter()
        spent = {"seconds": self.seconds, "device_seconds": self.device_seconds}
        with atomic_write(self.saved) as path:
            save(path, {"report": asdict(self.last), **spent})
        self.saved_at = time.perf_counter()
        self.saving = self.saved_at - began

    def environment(self) -> dict[str, str]:
        attentions = (insertion.attention for insertion in self.job.architecture.insertions)
        return describe_environment(self.device, self.job.recipe.precision, attentions)

    def kernels(self) -> dict[str, str]:
        """Why kernels of ours were wanted and could not be used; usually nothing."""
        every = {
            "attention": pool_scale_cuda.KERNELS,
            "strip": pool_scale_cuda.STRIPS,
            "batch norm": batch_norm.KERNELS,
        }
        reasons = {name: each.reasons.get(self.device) for name, each in every.items()}
        return {f"{name} kernels": f"torch's: {why}" for name, why in reasons.items() if why}

    def stop(self) -> None:
        """Tell that training has ended before its last epoch, for now or for good."""
        spent = (self.last.epoch, self.seconds, self.device_seconds)
        self.tell(Stopped(self.job.number, *spent, self.environment()))
        if self.decision is Decision.PRUNE:
            self.saved.unlink(missing_ok=True)

    def finish(self, outcome: Outcome, costs: Costs, accuracy: float) -> None:
        weights = {k: v.contiguous().cpu() for k, v in outcome.model.state_dict().items()}
        with atomic_write(self.job.folder / WEIGHTS) as path:
            save_file(weights, path)
        result = TrialResult(
            accuracy=accuracy,
            epochs=self.last.epoch,
            costs=costs,
            seconds=self.seconds,
            device_seconds=self.device_seconds,
            peak_memory_mib=peak_memory_mib(self.device),
            environment={**self.environment(), "steps": outcome.steps, **self.kernels()},
        )
        self.tell(Finished(self.job.number, result))
        self.saved.unlink(missing_ok=True)


@lru_cache(maxsize=1)
def resident(recipe: Recipe, device: torch.device) -> tuple[Dataset, DeviceData]:
    """The study's data on the device; a worker keeps it for all its trials."""
    dataset = load_data(recipe)
    return dataset, DeviceData.of(dataset, device)


@lru_cache(maxsize=1)
def test_pictures(recipe: Recipe, device: torch.device) -> DeviceImages:
    """The test split, for whoever confirms; TrialError `invalid` if the data has none."""
    test = load_data(recipe).test
    if test is None:
        raise TrialError("invalid", f"{recipe.data} has no test split to judge on")
    return DeviceImages.of(test, device, spare_bytes(device) / 2)


@lru_cache(maxsize=2)
def template(
    backbone: str,
    strip_attention: bool,
    stem: Stem,
    image_size: int,
    init: Init,
    num_classes: int,
    device: torch.device,
) -> ReusableBackbone:
    """The study's plain backbone on the device; a worker keeps it for all its trials."""
    return ReusableBackbone(
        backbone,
        num_classes=num_classes,
        image_size=image_size,
        stem=stem,
        strip_attention=strip_attention,
        pretrained=init == "pretrained",
        device=device,
    )


def classify(error: BaseException) -> tuple[FailureKind, str]:
    """The kind and message that the database records for an exception."""
    message = str(error).strip() or type(error).__name__
    if isinstance(error, TrialError):
        return error.kind, message
    if (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "can't allocate memory" in message
    ):
        return "out_of_memory", message.splitlines()[0]
    if isinstance(error, AttentuneError):
        return "invalid", message
    return "error", f"{type(error).__name__}: {message}"


def peak_memory_mib(device: torch.device) -> float:
    """Highest memory so far: of the device's tensors on CUDA, of this process elsewhere."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
