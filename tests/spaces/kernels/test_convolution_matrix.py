"""The convolution as a product of matrices against torch's."""

from __future__ import annotations

import pytest
import torch
from attentune.spaces.kernels.convolution_matrix import convolution_matrix
from torch.nn import functional as F


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        ((4, 4), (3, 3), (1, 1), (1, 1)),
        ((2, 5), (5, 3), (1, 2), (2, 0)),
        ((1, 1), (3, 3), (2, 2), (1, 1)),
        ((1, 9), (1, 3), (1, 1), (0, 1)),
    ],
    ids=str,
)
def test_a_convolution_is_a_product_with_the_matrix_of_its_kernel(size, kernel, stride, padding):
    x, weight = torch.randn(3, 1, *size), torch.randn(1, 1, *kernel)
    matrix = convolution_matrix(size, kernel, stride, padding)
    assert set(matrix.unique().tolist()) <= {0.0, 1.0}
    expected = F.conv2d(x, weight, None, stride, padding)
    by_place = (matrix @ weight.flatten()).view(x[0].numel(), -1)
    torch.testing.assert_close(x.flatten(1) @ by_place, expected.flatten(1))


def test_the_cached_matrix_can_be_used_where_gradients_are_wanted():
    convolution_matrix.cache_clear()
    with torch.inference_mode():
        convolution_matrix((3, 3), (3, 3), (1, 1), (1, 1))
    weight = torch.randn(9, requires_grad=True)
    (convolution_matrix((3, 3), (3, 3), (1, 1), (1, 1)) @ weight).sum().backward()
    assert weight.grad.isfinite().all()
