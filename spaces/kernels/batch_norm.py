"""Batch norm at the speed of the GPU's memory, in training.

On an H200, a third of a bf16 training step of ResNet-18 is spent in torch's batch norm for maps
with channels last, which reaches an eighth to a half of the memory bandwidth. `batch_norm` passes
such maps to the kernels of `triton_batch_norm.py` instead, with the same formula (Ioffe and
Szegedy, "Batch Normalization", ICML 2015, arXiv 1502.03167) and the same running statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import Function, once_differentiable

from .dispatch import kernels_enabled
from .limits import current_limits
from .triton_module import BATCH_NORM


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
    """`torch.nn.functional.batch_norm`, by the Triton kernels for the maps that they cover.

    Args:
        input: the map (N, C, H, W).
        running_mean: (C,), updated in place in training.
        running_var: (C,), updated in place in training.
        weight: scale (C,).
        bias: shift (C,).
        training: whether to use the statistics of the batch instead of the running ones.
        momentum: weight of the batch in the running statistics.
        eps: added to the variance.
    """
    vectors = (running_mean, running_var, weight, bias)
    if (
        training
        and covers(input, vectors)
        and kernels_enabled()
        and BATCH_NORM.why_unusable(input.device) is None
    ):
        result: Tensor = BatchNormFunction.apply(  # type: ignore[no-untyped-call]
            input, *vectors, momentum, eps
        )
        return result
    return F.batch_norm(input, *vectors, training, momentum, eps)


def covers(x: Tensor, vectors: Sequence[Tensor | None]) -> bool:
    """Whether there is a kernel, which is so for a large map on CUDA with channels last.

    Args:
        x: the map (N, C, H, W).
        vectors: running mean, running variance, weight and bias (C,); none may be None, and all
            must have the dtype that torch's function requires.
    """
    limits = current_limits()
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return (
        x.is_cuda
        and x.ndim == 4
        and x.numel() >= limits.min_batch_norm_elements
        and x.shape[1] >= limits.min_batch_norm_channels
        and x.is_floating_point()
        and x.is_contiguous(memory_format=torch.channels_last)
        and all(v is not None and v.dtype == dtype and v.is_contiguous() for v in vectors)
    )


class BatchNormFunction(Function):
    """(x, running mean and variance, weight, bias, momentum, eps) to the normalised map."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        running_mean: Tensor,
        running_var: Tensor,
        weight: Tensor,
        bias: Tensor,
        momentum: float,
        eps: float,
    ) -> Tensor:
        """The map; the running statistics are updated in place."""
        y, mean, inverse_deviation = BATCH_NORM.module.forward(
            x, weight, bias, running_mean, running_var, momentum, eps
        )
        ctx.save_for_backward(x, weight, mean, inverse_deviation)
        result: Tensor = y
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of map, weight and bias."""
        x, weight, mean, inverse_deviation = ctx.saved_tensors
        if grad.stride() != x.stride():
            grad = torch.empty_like(x).copy_(grad)
        grad_map, grad_weight, grad_bias = BATCH_NORM.module.backward(
            x, grad, weight, mean, inverse_deviation
        )
        return grad_map, None, None, grad_weight, grad_bias, None, None
