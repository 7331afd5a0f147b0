"""The non-local block in half precision: large similarities do not spoil its gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from attentune.spaces.attentions.nl import NonLocal

CHANNELS = 32


@pytest.fixture
def trained() -> NonLocal:
    """A block whose similarities are as large as after some epochs: tens and hundreds."""
    torch.manual_seed(0)
    block = NonLocal(CHANNELS).train()
    torch.nn.init.ones_(block.bn.weight)
    with torch.no_grad():
        block.project.weight.mul_(4)
    return block


def gradients(block: NonLocal, dtype: torch.dtype | None) -> list[torch.Tensor]:
    """Those of the input and of the projections, computed in a precision; None: float32."""
    torch.manual_seed(1)
    block = copy.deepcopy(block)
    x = (2 * torch.randn(4, CHANNELS, 8, 8)).requires_grad_()
    weights = torch.randn(x.shape)
    with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        y = block(x)
    (y.float() * weights).sum().backward()
    return [y.detach().float(), x.grad, block.project.weight.grad]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_in_half_precision_are_those_of_float32(trained, dtype):
    for value, exact in zip(gradients(trained, dtype), gradients(trained, None), strict=True):
        assert (value - exact).norm() < 0.02 * exact.norm()


def test_training_in_bf16_follows_training_in_float32(trained):
    """For some steps at a rate at which similarities keep growing."""
    losses = {}
    for dtype in (None, torch.bfloat16):
        block = copy.deepcopy(trained)
        optimizer = torch.optim.SGD(block.parameters(), lr=0.05)
        torch.manual_seed(2)
        x, target = torch.randn(2, 8, CHANNELS, 6, 6)
        losses[dtype] = []
        for _ in range(10):
            with torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
                loss = (block(x).float() - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[dtype].append(loss.item())
    exact, rounded = (torch.tensor(values) for values in losses.values())
    assert exact[-1] < exact[0]
    torch.testing.assert_close(rounded, exact, rtol=0.02, atol=0.0)
