"""What an attention is made of: how it pools its map, and through which functions values go.

It is read from the operators that one forward pass calls, and serves to say in which way an
attention differs, once it is known that it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ...spaces.kernels.dispatch import disable_kernels
from ...spaces.kernels.torch_compat import EagerDispatchMode

TRACED_SIZE = (2, 7, 5)
"""Images, height and width of the traced map; no product of two lengths is another's."""
_MEANS = {"mean", "sum", "avg_pool2d", "avg_pool1d", "_adaptive_avg_pool2d", "adaptive_avg_pool1d"}
_MAXIMA = {
    *("amax", "max", "topk", "max_pool2d_with_indices", "max_pool2d", "adaptive_max_pool2d"),
    *("adaptive_max_pool1d", "max_pool1d", "max_pool1d_with_indices"),
}
_FUNCTIONS = {
    *("sigmoid", "hardsigmoid", "tanh", "relu", "hardswish", "silu", "gelu", "hardtanh", "elu"),
    *("leaky_relu", "softplus", "clamp_min"),
}
_ALIASES = {"_softmax": "softmax", "_log_softmax": "softmax", "hardtanh": "relu6"}
_VIEWS = {
    *("view", "_unsafe_view", "unsqueeze", "squeeze", "expand", "permute", "transpose", "t"),
    *("alias", "detach", "slice", "select", "clone", "contiguous", "_to_copy", "split"),
}


class OperatorTrace(EagerDispatchMode):
    """The operators of one pass.

    Args:
        channels: of the map, by which the results of poolings are recognised.

    Attributes:
        pools: (`mean` or `maximum`, over which axes), such as (`maximum`, `the map`).
        functions: sigmoid, relu and so on.
        after: (a function, the function whose result it receives).
        operators: all names.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.pools: set[tuple[str, str]] = set()
        self.functions: set[str] = set()
        self.after: set[tuple[str, str]] = set()
        self.operators: set[str] = set()
        self._made_by: dict[int, str] = {}
        self._kept_alive: list[Tensor] = []

    def __torch_dispatch__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute, and record what was called."""
        result = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        name = name if name.startswith("_") else name.removesuffix("_")
        name = _ALIASES.get(name, name)
        self.operators.add(name)
        sources = [a for a in args if isinstance(a, Tensor)]
        sources += [t for a in args if isinstance(a, list | tuple) for t in a if _is_tensor(t)]
        results = list(_tensors(result))
        if sources and results:
            self._record_pooling(name, sources[0], results[0])
        inner = {self._made_by[id(source)] for source in sources[:1] if id(source) in self._made_by}
        if name in _FUNCTIONS or name == "softmax":
            self.functions.add(name)
            self.after |= {(name, before) for before in inner}
        for tensor in results:
            self._kept_alive.append(tensor)
            if name in _FUNCTIONS:
                self._made_by[id(tensor)] = name
            elif name in _VIEWS and inner:
                self._made_by[id(tensor)] = next(iter(inner))
            else:
                self._made_by.pop(id(tensor), None)
        return result

    def _record_pooling(self, name: str, source: Tensor, result: Tensor) -> None:
        kind = "mean" if name in _MEANS else "maximum" if name in _MAXIMA else None
        images, height, width = TRACED_SIZE
        if kind is None or result.numel() >= source.numel():
            return
        over = {
            images * self.channels: "the map",
            images * height * width: "the channels",
            images * self.channels * height: "the columns",
            images * self.channels * width: "the rows",
        }
        if result.numel() in over:
            self.pools.add((kind, over[result.numel()]))


def trace_operators(module: nn.Module, channels: int) -> OperatorTrace | None:
    """The operators of a module for maps of `channels` channels; None if it cannot be traced."""
    images, height, width = TRACED_SIZE
    trace = OperatorTrace(channels)
    module.eval()
    try:
        with torch.no_grad(), disable_kernels(), trace:
            module(torch.rand(images, channels, height, width))
    except Exception:  # The other checks say what it raises.
        return None
    return trace


def _is_tensor(value: Any) -> bool:
    return isinstance(value, Tensor)


def _tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, list | tuple):
        for value in result:
            yield from _tensors(value)
