"""Make modules of a user's attention class, check them, and blend them in for `start=identity`.

The check is made once for each combination of channels and options: the class must give an
`nn.Module` that maps (2, C, 5, 7) to the same shape, in training and in evaluation. It uses a copy
of the module, and restores the random number generator.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import AttentuneError
from ..entry import MapSize, Options


class BlendedAttention(nn.Module):
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
    """Makes modules of one class, and counts their parameters.

    Args:
        name: the attention's name in architecture texts.
        origin: the package, its version and the class, for messages.
        cls: the class, called as `cls(channels, **options)`.
        takes_start: whether the class has a `start` of its own. If it has none, `start=identity`
            makes a `BlendedAttention`.
    """

    def __init__(self, name: str, origin: str, cls: type, *, takes_start: bool) -> None:
        self.cls = cls
        self.takes_start = takes_start
        self._label = f"the attention {name!r} of {origin}"
        self._checked_settings: set[tuple[object, ...]] = set()
        self._parameter_counts: dict[tuple[object, ...], int] = {}

    def __call__(self, channels: int, **options: Any) -> nn.Module:
        """The module for maps of `channels` channels.

        Raises:
            AttentuneError: the class raises, or its module does not keep the shape of a map. The
                message names the attention.
        """
        start = options.get("start") if self.takes_start else options.pop("start", None)
        try:
            module = self.cls(channels, **options)
        except Exception as error:
            raise self._error(f"raises when it is made for {channels} channels", error) from error
        if not isinstance(module, nn.Module):
            raise AttentuneError(f"{self._label} is no torch.nn.Module.")
        setting = (channels, *options.items())
        if setting not in self._checked_settings:
            self._check_shapes(module, channels)
            self._checked_settings.add(setting)
        blended = start == "identity" and not self.takes_start
        return BlendedAttention(module) if blended else module

    def count_parameters(self, channels: int, settings: Options, _: MapSize) -> int:
        """Parameters of the class, counted on the meta device, once per setting.

        Args:
            channels: channels of the map.
            settings: every option with its value, as in `Attention.parameters`.
            _: the size of the map, which is not needed.
        """
        options = {"reduction_ratio" if k == "r" else k: v for k, v in settings.items()}
        if not self.takes_start:
            options.pop("start", None)
        setting = (channels, *options.items())
        if setting not in self._parameter_counts:
            with torch.device("meta"):
                module = self(channels, **options)
            self._parameter_counts[setting] = sum(p.numel() for p in module.parameters())
        return self._parameter_counts[setting]

    def _check_shapes(self, module: nn.Module, channels: int) -> None:
        device = next((p.device for p in module.parameters()), None)
        x = torch.zeros(2, channels, 5, 7, device=device)
        try:
            copied = copy.deepcopy(module)
            with torch.no_grad(), torch.random.fork_rng(devices=[]):
                shapes = [getattr(copied.train(mode)(x), "shape", None) for mode in (True, False)]
        except Exception as error:
            raise self._error(f"raises on a map of {tuple(x.shape)}", error) from error
        for shape in shapes:
            if shape != x.shape:
                result = "no tensor" if shape is None else str(tuple(shape))
                raise AttentuneError(
                    f"{self._label} changes the shape: {tuple(x.shape)} became {result}. "
                    "An attention has to return a map of the shape that it received."
                )

    def _error(self, problem: str, error: Exception) -> AttentuneError:
        return AttentuneError(f"{self._label} {problem} ({type(error).__name__}: {error}).")
