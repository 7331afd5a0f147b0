"""Gates with two starts, and norms that accept a single value a channel."""

from __future__ import annotations

import copy

import pytest
import torch
from attentune.spaces.attentions.gates import (
    BlendedGate,
    SafeBatchNorm1d,
    SafeBatchNorm2d,
    SafeGroupNorm,
    SigmoidGate,
    split_groups,
    zero_parameters,
)
from torch import nn


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_a_gate_that_starts_as_the_identity_is_one_exactly(dtype):
    assert torch.equal(
        SigmoidGate("identity")(torch.zeros(5, dtype=dtype)), torch.ones(5).to(dtype)
    )
    z = torch.randn(5, dtype=dtype)
    assert torch.equal(BlendedGate("identity").to(dtype)(z), torch.ones(5).to(dtype))
    assert BlendedGate("identity")(z).dtype == torch.promote_types(dtype, z.dtype)


def test_published_gates_are_sigmoids_without_parameters():
    z = torch.randn(5)
    for gate in (SigmoidGate("paper"), BlendedGate("paper")):
        assert torch.equal(gate(z), z.sigmoid())
        assert not list(gate.parameters())


def test_a_blended_gate_with_a_weight_of_one_is_the_published_one():
    gate, z = BlendedGate("identity"), torch.randn(5)
    nn.init.ones_(gate.weight)
    torch.testing.assert_close(gate(z), z.sigmoid())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_groups_are_a_view_of_the_map(layout):
    x = torch.randn(2, 6, 3, 4).to(memory_format=layout)
    groups = split_groups(x, 3)
    assert groups.shape == (2, 3, 2, 3, 4)
    assert groups.data_ptr() == x.data_ptr()
    assert torch.equal(groups[:, 1], x[:, 2:4])


def test_zero_parameters_leaves_children_alone():
    layer = nn.Sequential(nn.Linear(2, 2))
    before = copy.deepcopy(layer.state_dict())
    zero_parameters(layer)
    assert all(torch.equal(before[key], value) for key, value in layer.state_dict().items())
    zero_parameters(layer[0])
    assert not any(value.any() for value in layer.state_dict().values())


SINGLE_VALUES = [
    (SafeBatchNorm1d, nn.BatchNorm1d, (1, 4)),
    (SafeBatchNorm1d, nn.BatchNorm1d, (1, 4, 1)),
    (SafeBatchNorm2d, nn.BatchNorm2d, (1, 4, 1, 1)),
]


@pytest.mark.parametrize(("safe", "plain", "shape"), SINGLE_VALUES, ids=str)
def test_one_value_a_channel_is_normalised_where_torch_refuses_it(safe, plain, shape):
    x = torch.randn(shape)
    with pytest.raises(ValueError, match="more than 1 value"):
        plain(4).train()(x)
    norm = safe(4).train()
    assert torch.equal(norm(x), safe(4).eval()(x))
    assert int(norm.num_batches_tracked) == 0
    more = torch.randn(3, *shape[1:])
    assert torch.equal(norm(more), plain(4).train()(more))
    assert int(norm.num_batches_tracked) == 1


def test_a_group_of_one_value_is_zero():
    with pytest.raises(ValueError, match="more than 1 value"):
        nn.GroupNorm(4, 4)(torch.randn(1, 4, 1))
    y = SafeGroupNorm(4, 4)(torch.randn(1, 4, 1))
    torch.testing.assert_close(y, torch.zeros(1, 4, 1), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["cbam", "nl", "bam", "srm", "strip"])
def test_a_single_value_is_normalised_with_running_statistics(name, make, randomise):
    module = randomise(make(name, 8, {})).train()
    before = copy.deepcopy(module.state_dict())
    x = torch.randn(1, 8, 1, 1)
    trained = module(x)
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    torch.testing.assert_close(trained, module.eval()(x))
