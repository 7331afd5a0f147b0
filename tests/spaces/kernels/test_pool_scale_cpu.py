"""How maps are cut into chunks, and in which order their axes lie in memory."""

from __future__ import annotations

import pytest
import torch
from attentune.spaces.kernels.limits import use_limits
from attentune.spaces.kernels.pool_scale_cpu import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    gates_in_order,
    inverse_order,
    memory_order,
    multiply,
    multiply_in_memory_order,
    split_into_chunks,
)


def test_chunks_hold_all_samples_in_order_and_stay_below_the_limit():
    x, gate = torch.randn(7, 2, 3, 3), torch.randn(7, 2, 1, 1)
    with use_limits(chunk_bytes=3 * 2 * 9 * 4):
        chunks = list(split_into_chunks(x, gate))
        double = list(split_into_chunks(x, gate, times=2))
    assert [len(part) for part, _ in chunks] == [3, 3, 1]
    assert [len(part) for part, _ in double] == [6, 1]
    assert torch.equal(torch.cat([part for part, _ in chunks]), x)
    assert torch.equal(torch.cat([part for _, part in chunks]), gate)
    with use_limits(chunk_bytes=1):
        assert [len(part) for (part,) in split_into_chunks(x)] == [1] * 7


@pytest.mark.parametrize(
    ("memory_format", "order"),
    [(torch.contiguous_format, CHANNELS_FIRST), (torch.channels_last, CHANNELS_LAST)],
)
def test_a_map_permuted_to_its_memory_order_is_contiguous(memory_format, order):
    x = torch.randn(2, 3, 4, 5).to(memory_format=memory_format)
    assert memory_order(x) == order
    permuted = x.permute(memory_order(x))
    assert permuted.is_contiguous()
    assert permuted.permute(inverse_order(order)).shape == x.shape
    gates = [torch.randn(2, 3, 4, 1), torch.randn(2, 3, 1, 5)]
    assert all(gate.is_contiguous() for gate in gates_in_order(gates, order))
    assert torch.equal(multiply_in_memory_order(x, *gates), multiply(x, *gates))
    assert multiply_in_memory_order(x, *gates).stride() == x.stride()
