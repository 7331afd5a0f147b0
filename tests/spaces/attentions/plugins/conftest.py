"""A user's attention, and registrations that are forgotten after every test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import attentune
import pytest
from attentune.spaces.attentions.plugins import register as registration
from torch import nn


@pytest.fixture(autouse=True)
def _forget_registrations(monkeypatch):
    monkeypatch.setattr(registration, "_registered", {})
    registration._resolve.cache_clear()
    yield
    registration._resolve.cache_clear()


class Wave(nn.Module):
    """A gate from a few waves over the channels.

    More words that are no title.
    """

    def __init__(
        self,
        channels: int,
        reduction_ratio: int = 8,
        waves: int = 2,
        gain: float = 0.5,
        joined: bool = False,
        mode: Literal["sum", "product"] = "sum",
    ) -> None:
        super().__init__()
        assert isinstance(joined, bool)
        assert mode in ("sum", "product")
        self.gain = gain
        self.down = nn.Linear(channels, max(1, channels // reduction_ratio), bias=False)
        self.up = nn.Linear(max(1, channels // reduction_ratio), channels * waves, bias=False)

    def forward(self, x):
        gates = self.up(self.down(x.mean((2, 3)))).unflatten(1, (-1, x.shape[1])).sum(1)
        return x * (self.gain * gates).sigmoid()[:, :, None, None]


@pytest.fixture
def register() -> Callable[..., None]:
    """Registers a class, by default `Wave`, under a name, by default `wave`."""

    def register_class(cls: type = Wave, name: str = "wave", **facts) -> None:
        attentune.register_attention(name, **facts)(cls)

    return register_class
