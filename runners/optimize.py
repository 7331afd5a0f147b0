"""What moves the weights: the optimizer, its rate over a run, and the average that is kept."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from .recipe import Recipe


def make_optimizer(model: nn.Module, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """The recipe's optimizer; biases, norms and other vectors are not decayed.

    On CUDA its learning rate is a tensor, which a captured step reads anew every time.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    on_gpu = device.type == "cuda"
    fused = on_gpu or device.type == "cpu"
    lr = torch.tensor(recipe.lr, device=device) if on_gpu else recipe.lr
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True, fused=fused)
    return torch.optim.AdamW(groups, lr=lr, fused=fused, capturable=on_gpu)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """For the next step, in place where the rate is a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """A saved state, on the devices of the weights; so is a rate that is a tensor."""
    optimizer.load_state_dict(state)
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"] = group["lr"].to(group["params"][0].device)


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
