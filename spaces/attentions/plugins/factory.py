"""Make modules of a user's attention class, check them, and blend them in for `start=identity`.

The check is made once for each combination of channels and options: the class must give an
`nn.Module` that maps a small and a large batch of maps to the same shape and type, in training and
in evaluation, and that leaves its input as it is. A map of a smaller shape would be broadcast by
the addition that follows, without an error. The check uses a copy of the module, and restores the
random number generator.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from ....errors import AttentionError
from ....sanitize import clean_error
from ..entry import MapSize, Options

SMALL_BATCH, LARGE_BATCH = 2, 600
"""Images of the batches that an attention is tried on. The second is larger than the batches of
training and evaluation usually are."""


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
            AttentionError: the class raises, or its module does not keep the shape of a map. The
                message names the attention.
        """
        start = options.get("start") if self.takes_start else options.pop("start", None)
        module = self._make(channels, options)
        device = next((p.device for p in module.parameters()), None)
        setting = (device, channels, *options.items())
        if setting not in self._checked_settings:
            self._check_shapes(module, channels, device)
            self._checked_settings.add(setting)
        blended = start == "identity" and not self.takes_start
        return BlendedAttention(module) if blended else module

    def _make(self, channels: int, options: Options) -> nn.Module:
        try:
            module = self.cls(channels, **options)
        except (Exception, SystemExit) as error:
            raise self._error(f"raises when it is made for {channels} channels", error) from error
        if not isinstance(module, nn.Module):
            raise AttentionError(f"{self._label} is no torch.nn.Module.")
        return module

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
            try:
                with torch.device("meta"):
                    module = self._make(channels, options)
            except AttentionError:  # The constructor may read the values of tensors.
                with torch.random.fork_rng(devices=[]):
                    module = self._make(channels, options)
            self._parameter_counts[setting] = sum(p.numel() for p in module.parameters())
        return self._parameter_counts[setting]

    def _check_shapes(self, module: nn.Module, channels: int, device: torch.device | None) -> None:
        large = torch.zeros(LARGE_BATCH, channels, 5, 7, device="meta")
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            small = torch.rand(SMALL_BATCH, channels, 5, 7, device=device)
            for training in (True, False):
                problem = self._find_problem(module, small, training)
                try:  # The meta device takes no time and no memory for a large batch.
                    problem = problem or self._find_problem(module, large, training)
                except AttentionError:  # It cannot do what depends on the values of tensors.
                    real = torch.rand(large.shape, device=device)
                    problem = self._find_problem(module, real, training)
                if problem is not None:
                    raise AttentionError(f"{self._label} {problem}")

    def _find_problem(self, module: nn.Module, x: Tensor, training: bool) -> str | None:
        """What a copy of the module does wrong on a batch; None if nothing."""
        before = x.clone()
        try:
            copied = copy.deepcopy(module).train(training)
            result = (copied.to("meta") if x.is_meta else copied)(x)
        except (Exception, SystemExit) as error:
            raise self._error(f"raises on a map of {tuple(x.shape)}", error) from error
        problem = find_map_problem(before, result)
        if problem is None and not (x.is_meta or torch.equal(x, before)):
            return f"changes its input, a map of {tuple(x.shape)}. It has to return a new map."
        return problem

    def _error(self, problem: str, error: BaseException) -> AttentionError:
        cause = f"{type(error).__name__}: {clean_error(error)}"
        return AttentionError(f"{self._label} {problem} ({cause}).")


def find_map_problem(x: Tensor, result: Any) -> str | None:
    """How the result of an attention differs from the kind of map that it received; None if it does
    not.

    Args:
        x: the map (N, C, H, W).
        result: what the attention returned.
    """
    if not isinstance(result, Tensor):
        return (
            f"changes the shape: {tuple(x.shape)} became no tensor. "
            "An attention has to return a map of the shape that it received."
        )
    if result.shape != x.shape:
        return (
            f"changes the shape: {tuple(x.shape)} became {tuple(result.shape)}. "
            "An attention has to return a map of the shape that it received."
        )
    if result.device != x.device:
        return f"moves its map from {x.device} to {result.device}. It has to stay where it is."
    if result.dtype != x.dtype and not _autocast_allows(x, result):
        return f"turns a map of {x.dtype} into {result.dtype}. It has to keep the type."
    return None


def _autocast_allows(x: Tensor, result: Tensor) -> bool:
    """Whether autocast, which chooses the type of each operator, may have changed the type."""
    kind = x.device.type
    if kind == "meta" or not torch.is_autocast_enabled(kind):
        return False
    return result.dtype in (torch.float32, torch.get_autocast_dtype(kind))
