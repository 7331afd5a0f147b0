"""Fast ops replace functions of torch inside a context, and leave the network as it was."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from attentune.runners.training.fast_ops import PatchedFunctions, PatchedLayers, fast_ops

CPU = torch.device("cpu")


def test_a_function_is_replaced_inside_and_only_there():
    x = torch.ones(3)
    with PatchedFunctions({F.relu: lambda x, **_: -x}):
        assert torch.equal(torch.nn.ReLU()(x), -x)
    assert torch.equal(torch.nn.ReLU()(x), x)


def test_layers_have_their_own_methods_again_afterwards(network):
    model = network("mobilenetv3_small_050")
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    context = fast_ops(model, CPU)
    assert isinstance(context, PatchedLayers)
    with context:
        assert {name: set(vars(module)) for name, module in model.named_modules()} != before
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before


def test_a_network_computes_the_same_inside(network):
    model = network("mobilenetv3_small_050").eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad(), fast_ops(model, CPU):
        inside = model(x)
    with torch.no_grad():
        torch.testing.assert_close(inside, model(x), rtol=1e-4, atol=1e-5)
