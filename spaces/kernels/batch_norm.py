"""Batch norm at the speed of the GPU's memory, in training.

On an H200 a third of a bf16 step of ResNet-18 goes into torch's batch norm for maps with channels
last, which reads memory at an eighth to a half of its speed. `batch_norm` gives such maps to the
kernels of `norm_kernels.py` instead: the same formula (Ioffe and Szegedy, arXiv 1502.03167), the
same running statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from .triton_module import TritonKernels

LEAST = 2**17
"""Values of a map below which starting kernels takes longer than they run."""

FEWEST = 8
"""Channels below which too little of a place lies together."""

KERNELS = TritonKernels(f"{__package__}.triton_batch_norm")


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm`, by our kernels where they can have the map (`covers`)."""
    own = (running_mean, running_var, weight, bias)
    if training and covers(input, own) and not KERNELS.unusable(input.device):
        result: Tensor = _Norm.apply(  # type: ignore[no-untyped-call]
            input, *own, momentum, eps
        )
        return result
    return F.batch_norm(input, *own, training, momentum, eps)


def covers(x: Tensor, own: Sequence[Tensor | None]) -> bool:
    """Whether there is a kernel: a large map on CUDA with channels last, and all four vectors in
    the precision that torch's function asks for."""
    kept = torch.float64 if x.dtype == torch.float64 else torch.float32
    return (
        x.is_cuda
        and x.ndim == 4
        and x.numel() >= LEAST
        and x.shape[1] >= FEWEST
        and x.is_floating_point()
        and x.is_contiguous(memory_format=torch.channels_last)
        and all(each is not None and each.dtype == kept and each.is_contiguous() for each in own)
    )


class _Norm(Function):
    """(x, running mean and variance, weight, bias, momentum, eps) to the normalised map."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        mean: Tensor,
        var: Tensor,
        weight: Tensor,
        bias: Tensor,
        momentum: float,
        eps: float,
    ) -> Tensor:
        """The map; the running statistics move."""
        found = KERNELS.module.forward(x, weight, bias, mean, var, momentum, eps)
        y: Tensor = found[0]
        ctx.save_for_backward(x, weight, *found[1:])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Those of map, weight and bias."""
        x, weight, mean, inverse = ctx.saved_tensors
        if grad.stride() != x.stride():
            grad = torch.empty_like(x).copy_(grad)
        of_map, *of_own = KERNELS.module.backward(x, grad, weight, mean, inverse)
        return of_map, None, None, *of_own, None, None
