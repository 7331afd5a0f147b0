"""The Triton kernels for batch norm against torch, on a GPU or in Triton's interpreter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 4e-2}


def shaped(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """A map with channels last, far from zero."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(shape, generator=generator, dtype=torch.float64) * 2 + 3
    return values.to(device, dtype).to(memory_format=torch.channels_last)


def assert_near(result: Tensor, expected_value: Tensor, limit: float) -> None:
    torch.testing.assert_close(result.double(), expected_value.double(), rtol=limit, atol=limit)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(4, 5, 3, 7), (8, 64, 8, 8), (2, 70, 5, 33)], ids=str)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_kernels_compute_what_torch_does(triton_device, shape, dtype):
    from attentune.spaces.kernels import triton_batch_norm as kernels

    vector_dtype = torch.float64 if dtype == torch.float64 else torch.float32
    norm = nn.BatchNorm2d(shape[1], device=triton_device, dtype=torch.float64)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    weight, bias = norm.weight.detach().to(vector_dtype), norm.bias.detach().to(vector_dtype)
    mean, var = (
        norm.running_mean.to(vector_dtype).clone(),
        norm.running_var.to(vector_dtype).clone(),
    )
    x = shaped(shape, triton_device, dtype)
    exact = x.double().requires_grad_()
    expected = norm(exact)
    grad = torch.randn(shape).to(x).to(memory_format=torch.channels_last)
    expected.backward(grad.double())
    y, *statistics = kernels.forward(x, weight, bias, mean, var, 0.1, norm.eps)
    grad_map, grad_weight, grad_bias = kernels.backward(x, grad, weight, *statistics)
    limit = TOLERANCES[dtype]
    assert_near(y, expected, limit)
    assert_near(grad_map, exact.grad, limit)
    for result, expected_value in ((mean, norm.running_mean), (var, norm.running_var)):
        assert_near(result, expected_value, min(max(limit, 1e-7), 1e-4))
    scale = float(norm.weight.grad.abs().max())
    assert_near(grad_weight / scale, norm.weight.grad / scale, min(limit, 1e-4))
    assert_near(grad_bias, norm.bias.grad, min(limit, 1e-3))
