"""Convolutions of pooled maps against the plain layers."""

from __future__ import annotations

import pytest
import torch
from attentune.spaces.kernels import pooled_convolutions
from attentune.spaces.kernels.limits import use_limits
from torch import Tensor, nn


@pytest.fixture(autouse=True)
def turn_small_planes():
    with use_limits(min_turned_plane_locations=1):
        yield


@pytest.mark.parametrize("size", [(5, 9), (3, 2), (4, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("k", [3, 7])
def test_a_convolution_of_planes_is_the_layer(size, k):
    layer = nn.Conv2d(2, 1, k, padding=k // 2, bias=False).double()
    planes = [torch.randn(3, *size, dtype=torch.float64) for _ in range(2)]
    expected = layer(torch.stack(planes, dim=1))
    torch.testing.assert_close(pooled_convolutions.convolve_planes(layer, *planes), expected)


@pytest.mark.parametrize("channels", [6, 100])
@pytest.mark.parametrize("k", [3, 7])
def test_a_kernel_along_a_vector_is_the_layer(channels, k):
    layer = nn.Conv1d(1, 1, k, padding=k // 2, bias=False).double()
    values = torch.randn(3, channels, dtype=torch.float64, requires_grad=True)

    def gradients(y: Tensor) -> tuple[Tensor, ...]:
        return torch.autograd.grad(y.square().sum(), (values, layer.weight))

    expected, ours = (
        layer(values.unsqueeze(1)).squeeze(1),
        pooled_convolutions.convolve_vectors(layer, values),
    )
    torch.testing.assert_close(ours, expected)
    torch.testing.assert_close(gradients(ours), gradients(expected))
