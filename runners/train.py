"""The training loop, from the resident pictures to the weights that are kept.

Everything random is drawn from (seed, epoch): a trial that continues after epoch 5 trains epoch 6
exactly as it would have without the interruption, and two architectures with one seed see the same
pictures in the same order with the same augmentation.

The pictures live on the device as uint8 (N, H, W, 3); a batch is gathered, shifted, mirrored and
normalised there, and arrives channels-last for nothing. The host waits for the device once an
epoch.
"""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import TrialError
from .data import Dataset, Split
from .data.dataset import Images
from .recipe import Recipe
from .results import EpochReport

Checkpoint = dict[str, Any]
EVAL_BATCH = 500


@dataclass(frozen=True)
class Pictures:
    """One split: int64 labels (N,) on the device, and its uint8 pictures (N, H, W, 3).

    The pictures are on the device too if they fit there, else in the memory-mapped cache, from
    which batches are read as they are needed.
    """

    images: Tensor | Images
    labels: Tensor

    @classmethod
    def of(cls, split: Split, device: torch.device, budget: float = math.inf) -> Pictures:
        """A split for the device; its pictures stay in the cache if they exceed `budget` bytes."""
        labels = torch.from_numpy(np.array(split.labels)).to(device)
        if split.images.nbytes > budget:
            return cls(split.images, labels)
        return cls(torch.from_numpy(np.array(split.images)).to(device), labels)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, index: Tensor) -> Tensor:
        """The chosen pictures, on the device."""
        if isinstance(self.images, Tensor):
            return self.images[index]
        return torch.from_numpy(self.images[index.cpu().numpy()]).to(index.device)


@dataclass(frozen=True)
class DeviceData:
    """What a trial trains and validates on, and how its pictures are normalised."""

    train: Pictures
    val: Pictures
    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, data: Dataset, device: torch.device) -> DeviceData:
        """A data set's training and validation pictures, on the device if they fit."""
        budget = spare_bytes(device) / 2
        scale = 255.0
        return cls(
            Pictures.of(data.train, device, budget),
            Pictures.of(data.val, device, budget),
            torch.tensor(data.mean, device=device) * scale,
            torch.tensor(data.std, device=device) * scale,
        )

    def normalised(self, images: Tensor) -> Tensor:
        """uint8 (N, H, W, 3) → float32 (N, 3, H, W), channels-last in memory."""
        return ((images.float() - self.mean) / self.std).permute(0, 3, 1, 2)


def spare_bytes(device: torch.device) -> float:
    """Memory that is free for pictures: the GPU's, or this process's share of the machine's."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return float(psutil.virtual_memory().available) / (os.cpu_count() or 1)


@dataclass(frozen=True)
class Outcome:
    """The weights that are kept, and whether training was told to stop before its last epoch."""

    model: nn.Module
    stopped: bool


def train(
    model: nn.Module,
    data: DeviceData,
    recipe: Recipe,
    *,
    seed: int,
    resume: Checkpoint | None = None,
    on_epoch: Callable[[EpochReport, Callable[[], Checkpoint]], bool] = lambda *_: True,
) -> Outcome:
    """Train `model` in place by the recipe.

    Args:
        model: on the device of `data`.
        resume: what an earlier call gave to `on_epoch`; training goes on after that epoch.
        on_epoch: told about every epoch, with a function that makes a checkpoint on demand;
            answers whether to go on.

    Raises:
        TrialError: `diverged` if the loss is not finite at the end of an epoch, `invalid` if
            there is less than one batch of pictures.
    """
    device = data.train.labels.device
    if recipe.channels_last:
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(model, recipe, device)
    average = WeightAverage(model, recipe.ema) if recipe.ema else None
    batch = min(recipe.batch_size, len(data.train))
    if batch < 2:
        raise TrialError("invalid", "there are fewer than two training pictures")
    steps = len(data.train) // batch
    total = steps * recipe.epochs
    first_epoch = 0
    if resume:
        first_epoch = restore(resume, model, optimizer, average)

    stopped = False
    for epoch in range(first_epoch, recipe.epochs):
        began = time.perf_counter()
        generator = torch.Generator(device).manual_seed(_mix(seed, epoch))
        torch.manual_seed(_mix(seed, epoch))  # dropout and drop path draw from the global state
        order = torch.randperm(len(data.train), generator=generator, device=device)
        loss_sum = torch.zeros((), device=device)
        lr = recipe.lr
        model.train()
        for step in range(steps):
            chosen = order[step * batch : (step + 1) * batch]
            images = augmented(data.train.take(chosen), recipe, generator)
            lr = learning_rate(recipe, epoch * steps + step, total)
            for group in optimizer.param_groups:
                group["lr"] = lr
            with autocast(recipe, device):
                logits = model(data.normalised(images))
            loss = F.cross_entropy(
                logits.float(), data.train.labels[chosen], label_smoothing=recipe.label_smoothing
            )
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if average:
                average.update(model)
            loss_sum += loss.detach()

        train_loss = float(loss_sum) / steps
        if not math.isfinite(train_loss):
            raise TrialError("diverged", f"the training loss was {train_loss} in epoch {epoch + 1}")
        accuracy, val_loss = evaluate(average.model if average else model, data, recipe)
        report = EpochReport(
            epoch + 1, train_loss, accuracy, val_loss, lr, time.perf_counter() - began
        )
        go_on = on_epoch(report, partial(checkpoint, epoch + 1, model, optimizer, average))
        if not go_on and epoch + 1 < recipe.epochs:
            stopped = True
            break
    return Outcome(average.model if average else model, stopped)


@torch.no_grad()
def evaluate(
    model: nn.Module, data: DeviceData, recipe: Recipe, pictures: Pictures | None = None
) -> tuple[float, float]:
    """Accuracy (fraction) and mean cross-entropy on validation, or the given, pictures."""
    pictures = pictures or data.val
    device = pictures.labels.device
    model.eval()
    correct = torch.zeros((), device=device)
    loss = torch.zeros((), device=device)
    for index in torch.split(torch.arange(len(pictures), device=device), EVAL_BATCH):
        labels = pictures.labels[index]
        with autocast(recipe, device):
            logits = model(data.normalised(pictures.take(index))).float()
        correct += (logits.argmax(1) == labels).sum()
        loss += F.cross_entropy(logits, labels, reduction="sum")
    return float(correct) / len(pictures), float(loss) / len(pictures)


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """The recipe's precision as a context."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16")


def augmented(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Shift by up to `recipe.crop` pixels (edges reflected) and mirror, a batch at a time.

    uint8 (N, H, W, 3) → the same shape; every picture draws its own shift and side.
    """
    n, height, width, _ = images.shape
    device = images.device
    if recipe.crop:
        reach = recipe.crop
        shift = torch.randint(-reach, reach + 1, (2, n, 1), generator=generator, device=device)
        rows = _reflect(torch.arange(height, device=device) + shift[0], height)
        columns = _reflect(torch.arange(width, device=device) + shift[1], width)
    else:
        rows = torch.arange(height, device=device).expand(n, -1)
        columns = torch.arange(width, device=device).expand(n, -1)
    if recipe.flip:
        mirror = torch.randint(0, 2, (n, 1), generator=generator, device=device).bool()
        columns = torch.where(mirror, columns.flip(1), columns)
    if not (recipe.crop or recipe.flip):
        return images
    which = torch.arange(n, device=device)
    return images[which[:, None, None], rows[:, :, None], columns[:, None, :]]


def _reflect(index: Tensor, size: int) -> Tensor:
    """Indices beyond an edge, reflected back without repeating the edge itself."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


def learning_rate(recipe: Recipe, step: int, total: int) -> float:
    """The rate at one step.

    wsd: linear warm-up, constant, then linear to zero (Hu et al., arXiv 2404.06395): early epochs
    of short and long runs agree. onecycle: half a cosine up, half a cosine down (arXiv 1708.07120).
    """
    progress = (step + 1) / total
    if recipe.warmup and progress < recipe.warmup:
        rise = progress / recipe.warmup
        return recipe.lr * ((1 - math.cos(math.pi * rise)) / 2 if _cosine(recipe) else rise)
    if recipe.schedule == "constant":
        return recipe.lr
    if _cosine(recipe):
        fall = (progress - recipe.warmup) / (1 - recipe.warmup)
        return recipe.lr * (1 + math.cos(math.pi * fall)) / 2
    if progress > 1 - recipe.decay:
        # One step past the end is zero: the last step still learns.
        return recipe.lr * (total - step) / (recipe.decay * total + 1)
    return recipe.lr


def _cosine(recipe: Recipe) -> bool:
    return recipe.schedule == "onecycle"


def make_optimizer(model: nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """The recipe's optimizer; biases, norms and other vectors are not decayed."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    fused = device.type in ("cpu", "cuda")
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=0.9, nesterov=True, fused=fused)
    return torch.optim.AdamW(groups, lr=recipe.lr, fused=fused)


class WeightAverage:
    """Exponential moving average of weights and buffers (Polyak), for evaluation.

    The decay grows as (1 + t) / (10 + t) up to `decay`, so that early epochs are not dominated by
    the initial weights. Whole-number buffers (BN's counters) are copied.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay
        self.steps = 0
        self._pairs: list[tuple[list[Tensor], list[Tensor]]] | None = None

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take one step of `model` in."""
        self.steps += 1
        weight = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        if self._pairs is None:
            self._pairs = self._tensors(model)
        (averaged, floats), (copied, counters) = self._pairs
        torch._foreach_lerp_(averaged, floats, weight)
        if copied:
            torch._foreach_copy_(copied, counters)

    def _tensors(self, model: nn.Module) -> list[tuple[list[Tensor], list[Tensor]]]:
        mine = [*self.model.parameters(), *self.model.buffers()]
        theirs = [*model.parameters(), *model.buffers()]
        both = list(zip(mine, theirs, strict=True))
        return [
            (
                [a for a, _ in both if a.is_floating_point()],
                [b for a, b in both if a.is_floating_point()],
            ),
            (
                [a for a, _ in both if not a.is_floating_point()],
                [b for a, b in both if not a.is_floating_point()],
            ),
        ]


def checkpoint(
    epoch: int,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
) -> Checkpoint:
    """All that `train` needs to go on after `epoch` epochs: tensors and plain numbers only."""
    return {
        "epoch": epoch,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": average.model.state_dict() if average else None,
        "average_steps": average.steps if average else 0,
    }


def restore(
    saved: Checkpoint,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
) -> int:
    """Put a checkpoint back; the number of epochs that it had seen."""
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    if average:
        average.model.load_state_dict(saved["average"])
        average.steps = saved["average_steps"]
    return int(saved["epoch"])


def _mix(seed: int, epoch: int) -> int:
    """One 63-bit number from a seed and an epoch (a splitmix64 step keeps neighbours apart)."""
    z = (seed * 0x9E3779B97F4A7C15 + (epoch + 1) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    z = ((z ^ (z >> 30)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (z ^ (z >> 31)) >> 1
