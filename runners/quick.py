"""Functions of torch that are slow for some maps, replaced by our own inside a training step.

The network is left alone: inside `Quick` every module that calls torch's function gets ours, which
hands on what it does not cover.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from . import convolutions, norms

Function = Callable[..., Any]


class Quick(TorchFunctionMode):
    """Inside, each function of `instead` is replaced by its value."""

    def __init__(self, instead: Mapping[Function, Function]) -> None:
        super().__init__()
        self.instead = instead

    def __torch_function__(
        self,
        func: Function,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Every function of torch comes by here."""
        return self.instead.get(func, func)(*args, **(kwargs or {}))


def quick(model: nn.Module, device: torch.device) -> AbstractContextManager[object]:
    """What to train this network in, over and over; nothing where it would gain nothing."""
    if device.type == "cuda":
        return Quick({F.batch_norm: norms.batch_norm})
    if device.type == "cpu" and convolutions.within(model):
        return Quick({F.conv2d: convolutions.conv2d})
    return nullcontext()
