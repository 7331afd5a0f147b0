"""Whether a map on a CUDA device is pooled and scaled by the Triton kernels, and by which.

Triton comes with torch for CUDA; on other machines it is missing and nothing here is called. The
kernels are tried out on a device before they are used, and where they cannot be compiled, or
compute something else than torch does, attentions are the plain formulas there.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .pools import Pool

_REASONS: dict[torch.device, str] = {}


def unusable(device: torch.device) -> str:
    """Why the kernels are not used on a CUDA device; nothing if they are.

    The first call compiles them and takes some seconds.
    """
    if device not in _REASONS:
        if torch.cuda.is_current_stream_capturing():
            return "a graph is being captured, which the trial would spoil"
        try:
            _REASONS[device] = str(_kernels().check(device))
        except ImportError as error:
            _REASONS[device] = f"no Triton: {error}"
    return _REASONS[device]


def covers(pools: Sequence[Pool]) -> bool:
    """Whether there is a kernel: for a mean, a maximum, or both, of all places or channels."""
    first, kinds = pools[0].axes, sorted(pool.kind for pool in pools)
    alike = first in ((1,), (2, 3)) and all(pool.axes == first for pool in pools)
    return alike and kinds in (["mean"], ["maximum"], ["maximum", "mean"])


def covers_gate(x: Tensor, gate: Tensor) -> bool:
    """Whether there is a kernel: for a gate of channels or of places."""
    return gate.shape[1:] in ((x.shape[1], 1, 1), (1, *x.shape[2:])) and gate.shape != x.shape


def pool(x: Tensor, pools: Sequence[Pool]) -> list[Tensor]:
    """The values of pools that are covered, of a lying map; their axes are kept with length 1."""
    axes = pools[0].axes
    shape = [1 if axis in axes else side for axis, side in enumerate(x.shape)]
    found = {each.kind: x.new_empty(shape) for each in pools}
    _kernels().pool(x, axes, found.get("mean"), found.get("maximum"))
    return [found[each.kind] for each in pools]


def add(
    x: Tensor, grad: Tensor, total: Tensor, pools: Sequence[Pool], small: Sequence[Tensor]
) -> None:
    """total = grad + the part of every pool; `small` are value and gradient of each."""
    values, grads = (
        {each.kind: tensor for each, tensor in zip(pools, tensors, strict=True)}
        for tensors in (small[::2], small[1::2])
    )
    of_mean, top, of_top = grads.get("mean"), values.get("maximum"), grads.get("maximum")
    _kernels().add(x, grad, total, pools[0].axes, of_mean, top, of_top)


def unscale(given: Sequence[Tensor], wanted: Sequence[Tensor | None]) -> None:
    """Gradients of a lying map and its gate; `given` are map, gradient and gate."""
    _kernels().unscale(*given, *wanted)


def _kernels() -> Any:
    return importlib.import_module(".triton_kernels", __package__)
