"""Convolutions of pooled maps against the plain layers."""

from __future__ import annotations

import pytest
import torch
from attentune.spaces.kernels import pooled_convolutions
from attentune.spaces.kernels.limits import use_limits
from torch import Tensor, nn


@pytest.fixture(autouse=True)
def turn_small_planes():
    with use_limits(min_column_convolution_locations=1):
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

    expected, result = (
        layer(values.unsqueeze(1)).squeeze(1),
        pooled_convolutions.convolve_vectors(layer, values),
    )
    torch.testing.assert_close(result, expected)
    torch.testing.assert_close(gradients(result), gradients(expected))


@pytest.mark.parametrize("groups", [1, 6])
def test_a_convolution_of_strips_is_the_layer(groups):
    kernel = 1 if groups == 1 else 5
    layer = nn.Conv1d(6, 6, kernel, padding=kernel // 2, groups=groups).double()
    x = torch.randn(3, 6, 4, 5, dtype=torch.float64)
    rows, columns = x.mean(3), x.mean(2)
    strips = pooled_convolutions.concatenate_strips(rows, columns)
    assert torch.equal(strips, torch.cat((rows, columns), dim=2))
    result = pooled_convolutions.convolve_strips(layer, strips, x)
    torch.testing.assert_close(result, layer(strips))


def test_a_norm_of_strips_is_the_layer_and_keeps_its_statistics():
    norm, same = (nn.BatchNorm1d(6).double().train() for _ in range(2))
    rows = torch.randn(3, 6, 4, dtype=torch.float64)
    strips = pooled_convolutions.concatenate_strips(rows, rows + 1)
    result = pooled_convolutions.normalise_strips(norm, strips)
    torch.testing.assert_close(result, same(strips.contiguous()))
    torch.testing.assert_close(norm.running_var, same.running_var)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_projection_to_a_plane_is_the_layer(memory_format, fuse_tiny_maps):
    layer = nn.Conv2d(6, 1, 1).double()
    x = torch.randn(3, 6, 4, 5, dtype=torch.float64).to(memory_format=memory_format)
    torch.testing.assert_close(pooled_convolutions.project_to_plane(layer, x), layer(x))
