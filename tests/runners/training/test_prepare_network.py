"""What is changed in a network before training."""

from __future__ import annotations

import pytest
import torch
from attentune.runners.training.epoch_batches import EpochBatches
from attentune.runners.training.optimizer import flatten_parameters, make_optimizer
from attentune.runners.training.prepare_network import prepare_network
from attentune.runners.training.steps import EagerStep
from torch.utils._python_dispatch import TorchDispatchMode


def test_a_step_copies_no_map(digits, tiny_recipe, network):
    """As it would for activations in place whose gradient needs their input."""
    copied = []

    class Copies(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func.overloadpacket is torch.ops.aten.clone:
                copied.append(args[0].shape)
            return func(*args, **(kwargs or {}))

    model = network("mobilenetv3_small_050")
    assert any(isinstance(module, torch.nn.Hardswish) for module in model.modules())
    prepare_network(model, channels_last=False)
    optimizer = make_optimizer(flatten_parameters(model), tiny_recipe)
    step = EagerStep(model, optimizer, digits, tiny_recipe)
    with Copies():
        step(*EpochBatches(digits, tiny_recipe, seed=0, epoch=0).batch(0, 8))
    assert not [shape for shape in copied if len(shape) == 4 and shape[3] > 1]


@pytest.mark.parametrize("channels_last", [True, False])
def test_weights_are_laid_out_as_asked_for(network, channels_last):
    model = network()
    prepare_network(model, channels_last=channels_last)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    maps = [weight for weight in model.parameters() if weight.ndim == 4]
    assert maps
    assert all(weight.is_contiguous(memory_format=layout) for weight in maps)
