"""SimAM: a gate for every value of the map, from how much it stands out in its channel.

Yang, Zhang, Li, Xie, "SimAM: A Simple, Parameter-Free Attention Module for Convolutional Neural
Networks", ICML 2021, PMLR 139:11863–11874 (not on arXiv), eq. 5 and the listing:

    y = x · σ((x − μ)² / (4(v + λ)) + 1/2),  v = Σ (x − μ)² / (HW − 1),  λ = 1e-4

μ and v are computed for each channel of each image. Eq. 5 has 1/HW in v; the paper's listing and
the authors' code have 1/(HW − 1), which we follow. λ is the listing's; the authors trained on
ImageNet with 0.1. On a 1×1 map the listing divides by zero; here v is 0 and the gate σ(1/2). There
are no parameters, except the one that blends the gate in at the identity start.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import Function

from ..kernels.dispatch import has_tangent
from ..kernels.pool_scale import can_fuse_map
from ..kernels.pool_scale_cpu import differentiable_gradients, memory_order, split_into_chunks
from .gates import BlendedGate, Start

_LAMBDA = 1e-4


class SimAM(nn.Module):
    """(N, C, H, W) to the same shape; adds no parameters, one at the identity start."""

    def __init__(self, channels: int, start: Start = "paper") -> None:
        super().__init__()
        del channels  # The formula is the same for every channel.
        self.gate = BlendedGate(start)

    def forward(self, x: Tensor) -> Tensor:
        """The map with every value scaled."""
        inputs = (x, *self.gate.parameters())
        if can_fuse_map(x) and torch.is_grad_enabled() and _has_gradient(inputs):
            result: Tensor = SimAMFunction.apply(*inputs)  # type: ignore[no-untyped-call]
            return result
        return _simam(*inputs)


def _has_gradient(tensors: tuple[Tensor, ...]) -> bool:
    """Whether gradients are required, and none of them in forward mode."""
    return any(t.requires_grad for t in tensors) and not any(map(has_tangent, tensors))


def _simam(x: Tensor, *blend: Tensor) -> Tensor:
    """The formula; `blend` is the parameter that blends the gate in, if there is one."""
    squares, slope = _squares_and_slope(x - x.mean((2, 3), keepdim=True), (2, 3))
    return x * BlendedGate.blend((squares * slope + 0.5).sigmoid(), *blend)


def _squares_and_slope(centred: Tensor, axes: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(x − μ)², and 1 / (4 (σ² + λ)) with the unbiased σ² over `axes`."""
    # CUDA's autocast would compute `square`, and the quotient below, in float32.
    squares = centred * centred
    locations = centred.shape[axes[0]] * centred.shape[axes[1]]
    # One location has no other: 1 // locations is 1 then, and else 0. torch.fx traces no maximum.
    variance = squares.mean(axes, keepdim=True) * (locations / (locations - 1 + 1 // locations))
    return squares, (0.25 / (variance + _LAMBDA)).to(centred.dtype)


class SimAMFunction(Function):
    """The formula, applied to chunks of samples that fit into the processor's cache.

    The backward pass computes everything again, so that no intermediate map is stored.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, *blend: Tensor) -> Tensor:
        """The map with every value scaled."""
        ctx.save_for_backward(x, *blend)
        y = torch.empty_like(x)
        for x_, y_ in split_into_chunks(x, y):
            y_.copy_(_simam(x_, *blend))
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of the map and of the parameter that blends the gate in."""
        x, *blend = ctx.saved_tensors
        if torch.is_grad_enabled():
            return differentiable_gradients(_simam, (x, *blend), (grad,))
        if grad.stride() != x.stride():
            grad = torch.empty_like(x).copy_(grad)
        order = memory_order(x)
        total = torch.empty_like(x)
        chunks = split_into_chunks(*(tensor.permute(order) for tensor in (x, grad, total)))
        grad_blend = [
            _chunk_backward(x_, grad_, total_, order, *blend) for x_, grad_, total_ in chunks
        ]
        return total, *(torch.stack(grad_blend).sum(0).to(a.dtype) for a in blend)


def _chunk_backward(
    x: Tensor, grad: Tensor, grad_map: Tensor, order: tuple[int, ...], *blend: Tensor
) -> Tensor:
    """The gradient of the parameter that blends the gate in, of one chunk.

    Args:
        x: some samples of the map, with its axes permuted to `order`.
        grad: the gradient of the result, permuted likewise.
        grad_map: buffer for the gradient of the map, permuted likewise.
        order: the order of the axes in memory.
        blend: the parameter, if there is one.
    """
    axes = (order.index(2), order.index(3))
    centred = x - x.mean(axes, keepdim=True)
    squares, slope = _squares_and_slope(centred, axes)
    sigmoid = torch.mul(squares, slope).add_(0.5).sigmoid_()
    torch.mul(grad, BlendedGate.blend(sigmoid, *blend), out=grad_map)
    grad_gate = grad * x
    grad_blend = (grad_gate * (sigmoid - 1)).sum() if blend else x.new_zeros(())
    for a in blend:
        grad_gate *= a
    grad_z = torch.ops.aten.sigmoid_backward(grad_gate, sigmoid)
    grad_slope = torch.mul(grad_z, squares, out=squares).sum(axes, keepdim=True)
    grad_variance = -4 * slope.square() * grad_slope
    locations = x.shape[axes[0]] * x.shape[axes[1]]
    grad_squares = grad_z.mul_(slope).add_(grad_variance / max(1, locations - 1))
    grad_centred = centred.mul_(grad_squares).mul_(2)
    grad_map.add_(grad_centred).sub_(grad_centred.mean(axes, keepdim=True))
    return grad_blend
