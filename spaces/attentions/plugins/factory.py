"""Making modules of somebody's attention: checked once a setting, blended in where it is asked for.

What is checked is the contract: an `nn.Module` that takes (2, C, 5, 7), in training and in
evaluation, and gives the same shape. The check works on a copy and leaves random numbers alone.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import AttentuneError
from ..entry import MapSize, Options


class Blended(nn.Module):
    """x + a·(attention(x) − x) with one more parameter, a = 0 at first: exactly x."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        attended: Tensor = self.attention(x)
        return x + self.weight * (attended - x)


class PluginFactory:
    """Makes and counts modules of one class; `origin` is for messages."""

    def __init__(self, name: str, origin: str, cls: type, *, takes_start: bool) -> None:
        self.cls = cls
        self.takes_start = takes_start
        self._who = f"the attention {name!r} of {origin}"
        self._proven: set[tuple[object, ...]] = set()
        self._counts: dict[tuple[object, ...], int] = {}

    def __call__(self, channels: int, **options: Any) -> nn.Module:
        """The module; AttentuneError with the attention's name if it breaks the contract."""
        start = options.get("start") if self.takes_start else options.pop("start", None)
        try:
            module = self.cls(channels, **options)
        except Exception as error:
            raise self._error(f"raises when it is made for {channels} channels", error) from error
        if not isinstance(module, nn.Module):
            raise AttentuneError(f"{self._who} is no torch.nn.Module.")
        setting = (channels, *options.items())
        if setting not in self._proven:
            self._prove(module, channels)
            self._proven.add(setting)
        return Blended(module) if start == "identity" and not self.takes_start else module

    def count(self, channels: int, settings: Options, _: MapSize) -> int:
        """Parameters of the class, counted on a module without memory; once a setting."""
        options = {"reduction_ratio" if k == "r" else k: v for k, v in settings.items()}
        if not self.takes_start:
            options.pop("start", None)
        setting = (channels, *options.items())
        if setting not in self._counts:
            with torch.device("meta"):
                module = self(channels, **options)
            self._counts[setting] = sum(p.numel() for p in module.parameters())
        return self._counts[setting]

    def _prove(self, module: nn.Module, channels: int) -> None:
        device = next((p.device for p in module.parameters()), None)
        x = torch.zeros(2, channels, 5, 7, device=device)
        try:
            trial = copy.deepcopy(module)
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                shapes = [getattr(trial.train(mode)(x), "shape", None) for mode in (True, False)]
        except Exception as error:
            raise self._error(f"raises on a map of {tuple(x.shape)}", error) from error
        for shape in shapes:
            if shape != x.shape:
                now = "no tensor" if shape is None else str(tuple(shape))
                raise AttentuneError(
                    f"{self._who} changes the shape: {tuple(x.shape)} became {now}. "
                    "An attention gives back a map of the shape that it got."
                )

    def _error(self, what: str, error: Exception) -> AttentuneError:
        return AttentuneError(f"{self._who} {what} ({type(error).__name__}: {error}).")
