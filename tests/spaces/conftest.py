"""Modules of the catalogue, as published or with weights at random."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from attentune.spaces.attentions.registry import get_attention
from torch import nn


@pytest.fixture
def make() -> Callable[..., nn.Module]:
    """An attention's module for so many channels, always with the same weights."""

    def make_attention(
        name: str, channels: int, options: dict[str, Any], start: str = "paper"
    ) -> nn.Module:
        named = {"reduction_ratio" if k == "r" else k: v for k, v in options.items()}
        torch.manual_seed(0)
        return get_attention(name).load()(channels, start=start, **named)

    return make_attention


@pytest.fixture
def randomise() -> Callable[..., nn.Module]:
    """Every parameter and running statistic at random, so that no term hides behind a zero."""

    def randomised(module: nn.Module, seed: int = 1) -> nn.Module:
        generator = torch.Generator().manual_seed(seed)
        for key, value in module.state_dict().items():
            if value.is_floating_point():
                noise = torch.randn(value.shape, generator=generator)
                value.copy_(noise.abs() + 0.5 if key.endswith("running_var") else noise * 0.4)
        return module

    return randomised
