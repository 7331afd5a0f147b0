"""Attentions of a trained network that still are the identity: training has not moved their gates.

An attention with `start=identity` begins with a gate of exactly 1. If its gate is 1 after training
too, the network is the bare backbone under another name, and what it gains is noise.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...spaces.networks.attention_checks import labelled_attentions
from ..recipe import Recipe
from .device_data import DeviceData
from .steps import autocast

MAX_IMAGES = 8
"""How many validation images are passed through the network: fewer than a training step has, so
that memory suffices."""
MIN_CHANGE = 1e-3
"""An attention that changes its map by less, in the Euclidean norm relative to the map, is the
identity. It is below a gate's rounding in bf16, and far below what one epoch does to a gate."""


@torch.no_grad()
def count_unmoved_attentions(model: nn.Module, data: DeviceData, recipe: Recipe) -> tuple[int, int]:
    """How many attentions of a network return their map unchanged, and how many there are.

    Args:
        model: a network of `build_network`, on the device of the data.
        data: its first validation images are used.
        recipe: precision and memory layout.
    """
    changes: dict[int, float] = {}
    inputs: dict[int, Tensor] = {}

    def before(module: nn.Module, args: tuple[Any, ...]) -> None:
        inputs[id(module)] = args[0].clone()  # A layer may change its map in place.

    def after(module: nn.Module, _: tuple[Any, ...], output: Any) -> None:
        x = inputs.pop(id(module))
        size = float(x.float().norm())
        if getattr(output, "shape", None) != x.shape or not size:
            changes[id(module)] = math.inf  # A map of zeros shows nothing.
            return
        change = float((output.float() - x.float()).norm()) / size
        changes[id(module)] = max(changes.get(id(module), 0.0), change)

    attentions = labelled_attentions(model)
    handles = [module.register_forward_pre_hook(before) for module in attentions]
    handles += [module.register_forward_hook(after) for module in attentions]
    device = data.val.labels.device
    index = torch.arange(min(MAX_IMAGES, len(data.val)), device=device)
    model.eval()
    try:
        batch = data.normalised(data.val.take(index), channels_last=recipe.channels_last)
        with autocast(recipe, device):
            model(batch)
    finally:
        for handle in handles:
            handle.remove()
    return sum(change < MIN_CHANGE for change in changes.values()), len(attentions)
