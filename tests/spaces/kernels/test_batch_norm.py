"""Batch norm in networks, by our kernels and by torch's; on a CPU it is torch's own."""

from __future__ import annotations

import copy

import pytest
import torch
from attentune.runners.training.fast_ops import PatchedFunctions
from attentune.spaces.architecture import parse
from attentune.spaces.kernels import batch_norm
from attentune.spaces.kernels.limits import use_limits
from attentune.spaces.kernels.triton_module import BATCH_NORM
from attentune.spaces.networks.build import build_network
from torch import Tensor, nn
from torch.nn import functional as F

CUDA = torch.device("cuda", 0)


def shaped(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """A map with channels last, far from zero."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(shape, generator=generator, dtype=torch.float64) * 2 + 3
    return values.to(device, dtype).to(memory_format=torch.channels_last)


def test_on_a_cpu_nothing_changes():
    norm, x = (
        nn.BatchNorm2d(16).train(),
        shaped((8, 16, 40, 40), torch.device("cpu"), torch.float32),
    )
    copied = copy.deepcopy(norm)
    with PatchedFunctions({F.batch_norm: batch_norm.batch_norm}):
        result = norm(x)
    assert torch.equal(result, copied(x))
    assert torch.equal(norm.running_var, copied.running_var)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("backbone", ["test_resnet", "mobilenetv3_small_050"])
def test_a_network_is_as_exact_as_with_torchs(backbone, monkeypatch):
    """Outputs, gradients and running statistics, against the same network in float64."""
    pytest.importorskip("triton")
    called = []
    kernels = BATCH_NORM.module
    forward = kernels.forward
    monkeypatch.setattr(kernels, "forward", lambda *inputs: (called.append(1), forward(*inputs))[1])
    network = build_network(parse(backbone), num_classes=5, image_size=64, seed=0).to(CUDA)
    x = shaped((6, 3, 64, 64), CUDA, torch.float32)
    exact = trained_once(network.double(), x.double())
    plain = trained_once(network.float(), x)
    assert not called
    with (
        use_limits(min_batch_norm_elements=1),
        PatchedFunctions({F.batch_norm: batch_norm.batch_norm}),
    ):
        by_kernels = trained_once(network, x)
    assert called
    for by_kernel, by_torch, truth in zip(by_kernels, plain, exact, strict=True):
        error, allowed = (
            float((value - truth).square().mean().sqrt()) for value in (by_kernel, by_torch)
        )
        assert error <= 2 * allowed + 1e-5 * float(truth.abs().max())


def trained_once(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Outputs, all gradients, and all buffers after one step forwards and backwards of a copy."""
    copied = copy.deepcopy(network).to(memory_format=torch.channels_last).train()
    y = copied(x)
    y.square().sum().backward()
    gradients = [p.grad.flatten() for p in copied.parameters()]
    buffers = [b.flatten() for b in copied.buffers() if b.is_floating_point()]
    return [values.double() for values in (y.detach(), torch.cat(gradients), torch.cat(buffers))]
