"""Functions of torch that are slow for some maps, replaced by our own inside a training step.

The network is left alone: inside `Quick` every module that calls torch's function gets ours, and
inside `Own` its layers do. Ours hand on what they do not cover.
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

from ...spaces.kernels import batch_norm, small_convolutions
from ...spaces.kernels.pooling import averaged

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


class Own:
    """Inside, layers of this network compute in a way of ours: convolutions by
    `convolutions.conv2d`, and timm's squeeze-and-excitation by `_excited`.

    `Quick` would do, but is asked about all that a step does with tensors in Python, 300 to 800
    times: 2 to 3 % of the step of a small network on a CPU.
    """

    def __init__(self, model: nn.Module) -> None:
        convolving = [
            (each, "_conv_forward", _conv_forward) for each in small_convolutions.layers(model)
        ]
        exciting = [(each, "forward", _excited) for each in model.modules() if _is_excite(each)]
        self.ways: list[tuple[nn.Module, str, Function]] = [
            (layer, name, MethodType(own, layer)) for layer, name, own in convolving + exciting
        ]

    def __enter__(self) -> None:
        for layer, name, own in self.ways:
            layer.__dict__[name] = own

    def __exit__(self, *_: object) -> None:
        for layer, name, _own in self.ways:
            layer.__dict__.pop(name, None)


def _conv_forward(layer: nn.Conv2d, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    given = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return small_convolutions.conv2d(input, weight, bias, *given)  # type: ignore[arg-type]


def _is_excite(layer: nn.Module) -> bool:
    """Whether this is the squeeze-and-excitation of timm's EfficientNets and MobileNets."""
    kind = type(layer)
    return (kind.__module__, kind.__name__) == ("timm.models._efficientnet_blocks", "SqueezeExcite")


def _excited(layer: Any, x: Tensor) -> Tensor:
    """As that class computes it, with a mean whose gradient is not a map of its own."""
    squeezed = layer.act1(layer.conv_reduce(averaged(x, (2, 3))))
    excited: Tensor = x * layer.gate(layer.conv_expand(squeezed))
    return excited


def spare_copies(model: nn.Module) -> None:
    """Let no activation work in place whose gradient needs its input: torch would copy that before,
    and read and write a map more than out of place."""
    for module in model.modules():
        if isinstance(module, nn.Hardswish | nn.SiLU | nn.Mish):
            module.inplace = False


def quick(model: nn.Module, device: torch.device) -> AbstractContextManager[object]:
    """What to train this network in, over and over; nothing where it would gain nothing."""
    if device.type == "cuda":
        return Quick({F.batch_norm: batch_norm.batch_norm})
    return Own(model) if device.type == "cpu" else nullcontext()
