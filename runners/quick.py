"""Functions of torch that are slow for some maps, replaced by our own inside a training step.

The network is left alone: inside `Quick` every module that calls torch's function gets ours, and
inside `Convolving` its convolutions do. Ours hand on what they do not cover.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
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


class Convolving:
    """Inside, these layers convolve by `convolutions.conv2d`.

    `Quick` would do, but is asked about all that a step does with tensors in Python, 300 to 800
    times: 2 to 3 % of the step of a small network on a CPU.
    """

    def __init__(self, layers: Sequence[nn.Conv2d]) -> None:
        self.layers = {layer: MethodType(_conv_forward, layer) for layer in layers}

    def __enter__(self) -> None:
        for layer, own in self.layers.items():
            layer.__dict__["_conv_forward"] = own

    def __exit__(self, *_: object) -> None:
        for layer in self.layers:
            layer.__dict__.pop("_conv_forward", None)


def _conv_forward(layer: nn.Conv2d, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    given = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return convolutions.conv2d(input, weight, bias, *given)  # type: ignore[arg-type]


def spare_copies(model: nn.Module) -> None:
    """Let no activation work in place whose gradient needs its input: torch would copy that before,
    and read and write a map more than out of place."""
    for module in model.modules():
        if isinstance(module, nn.Hardswish | nn.SiLU | nn.Mish):
            module.inplace = False


def quick(model: nn.Module, device: torch.device) -> AbstractContextManager[object]:
    """What to train this network in, over and over; nothing where it would gain nothing."""
    if device.type == "cuda":
        return Quick({F.batch_norm: norms.batch_norm})
    if device.type == "cpu" and (layers := convolutions.layers(model)):
        return Convolving(layers)
    return nullcontext()
