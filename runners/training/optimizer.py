"""What moves the weights: the optimizer, its rate over a run, and the average that is kept."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from ..recipe import Recipe
from .flat_parameters import Slice, flat_tensors, flatten


def make_optimizer(
    model: nn.Module, recipe: Recipe, device: torch.device, *, flat: bool = True
) -> torch.optim.Optimizer:
    """The recipe's optimizer; biases, norms and other vectors are not decayed.

    On CUDA its learning rate is a tensor, which a captured step reads anew every time. On a CPU
    small weights are moved into flat parameters, unless `flat` is false; a group's `slices` say
    where its weights lie.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in parameters if p.ndim > 1], recipe.weight_decay
    others = [p for p in parameters if p.ndim <= 1], 0.0
    groups = []
    for weights, decay in (decayed, others):
        slices = flatten(weights) if flat else [Slice(weight, weight) for weight in weights]
        if slices:
            groups.append({"params": flat_tensors(slices), "weight_decay": decay, "slices": slices})
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


def slices_of(optimizer: torch.optim.Optimizer) -> list[Slice]:
    """Where the weights lie that an optimizer of ours moves, in its order."""
    return [part for group in optimizer.param_groups for part in group["slices"]]


class WeightAverage:
    """Exponential moving average of weights and buffers (Polyak), for evaluation.

    The decay grows as (1 + t) / (10 + t) up to `decay`, so that early epochs are not dominated by
    the initial weights. Whole-number buffers (BN's counters) are the model's own.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, decay: float) -> None:
        self.live = [t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()]
        known = {id(part.tensor): part for part in slices_of(optimizer)}
        known |= {id(p.tensor): p for p in flatten([t for t in self.live if id(t) not in known])}
        slices = [known[id(tensor)] for tensor in self.live]
        self._live = flat_tensors(slices)
        self.flat = [flat.detach().clone() for flat in self._live]
        averages = dict(zip(map(id, self._live), self.flat, strict=True))
        self.values = [part.view(averages[id(part.flat)]) for part in slices]
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take in one step of the model."""
        self.steps += 1
        weight = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        torch._foreach_lerp_(self.flat, self._live, weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The model has the averaged weights inside, and its own again afterwards."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        """Exchange the model's weights and the averaged ones, without a copy."""
        for live, value in zip(self.live, self.values, strict=True):
            live.data, value.data = value.data, live.data
