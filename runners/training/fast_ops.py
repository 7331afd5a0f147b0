"""Fast ops: in a training step, replace functions of torch that are slow for some maps.

The network itself does not change. Inside `PatchedFunctions` all calls of a function of torch go to
its replacement; inside `PatchedLayers` this applies to the layers of one network. A replacement
calls torch's function for inputs that it does not cover.
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
from ...spaces.kernels.pooling import mean_by_sum

Function = Callable[..., Any]


class PatchedFunctions(TorchFunctionMode):
    """Inside this context each key of `replacements`, a function, is replaced by its value."""

    def __init__(self, replacements: Mapping[Function, Function]) -> None:
        super().__init__()
        self.replacements = replacements

    def __torch_function__(
        self,
        func: Function,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch instead of each of its functions."""
        return self.replacements.get(func, func)(*args, **(kwargs or {}))


class PatchedLayers:
    """Inside this context some layers of one network have other implementations.

    Convolutions use `small_convolutions.conv2d`, and timm's squeeze-and-excitation `_excited`.

    `PatchedFunctions` could do the same, but it intercepts every function that a step calls, 300 to
    800 times. That takes 2 to 3 % of the step of a small network on a CPU.
    """

    def __init__(self, model: nn.Module) -> None:
        convolutions = [
            (layer, "_conv_forward", _conv_forward)
            for layer in small_convolutions.replaceable_layers(model)
        ]
        excitations = [
            (layer, "forward", _excited) for layer in model.modules() if _is_excitation(layer)
        ]
        self.patches: list[tuple[nn.Module, str, Function]] = [
            (layer, name, MethodType(function, layer))
            for layer, name, function in convolutions + excitations
        ]

    def __enter__(self) -> None:
        for layer, name, method in self.patches:
            layer.__dict__[name] = method

    def __exit__(self, *_: object) -> None:
        for layer, name, _method in self.patches:
            layer.__dict__.pop(name, None)


def _conv_forward(layer: nn.Conv2d, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    settings = (layer.stride, layer.padding, layer.dilation, layer.groups)
    return small_convolutions.conv2d(input, weight, bias, *settings)  # type: ignore[arg-type]


def _is_excitation(layer: nn.Module) -> bool:
    """Whether this is the squeeze-and-excitation of timm's EfficientNets and MobileNets."""
    kind = type(layer)
    return (kind.__module__, kind.__name__) == ("timm.models._efficientnet_blocks", "SqueezeExcite")


def _excited(layer: Any, x: Tensor) -> Tensor:
    """`SqueezeExcite.forward`, with a mean whose gradient is not written out at the map's size."""
    squeezed = layer.act1(layer.conv_reduce(mean_by_sum(x, (2, 3))))
    excited: Tensor = x * layer.gate(layer.conv_expand(squeezed))
    return excited


class Nested:
    """A reusable context of several contexts, the first one outermost."""

    def __init__(self, *contexts: AbstractContextManager[object]) -> None:
        self.contexts = contexts

    def __enter__(self) -> None:
        for context in self.contexts:
            context.__enter__()

    def __exit__(self, *exception: Any) -> None:
        for context in reversed(self.contexts):
            context.__exit__(*exception)


def fast_ops(
    model: nn.Module, device: torch.device, synchronised_norm: Function | None = None
) -> AbstractContextManager[object]:
    """A reusable context for the training steps of `model`; on some devices it changes nothing.

    Args:
        model: the network.
        device: where it is trained.
        synchronised_norm: takes the place of `torch.nn.functional.batch_norm` in a training on
            several devices.
    """
    if synchronised_norm is not None:
        functions = PatchedFunctions({F.batch_norm: synchronised_norm})
        return functions if device.type == "cuda" else Nested(PatchedLayers(model), functions)
    if device.type == "cuda":
        return PatchedFunctions({F.batch_norm: batch_norm.batch_norm})
    return PatchedLayers(model) if device.type == "cpu" else nullcontext()
