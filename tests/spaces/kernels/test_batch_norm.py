"""Batch norm by our kernels against torch's; on a CPU, torch's own."""

from __future__ import annotations

import copy
import os

import pytest
import torch
from attentune.runners.events import Decision, Finished
from attentune.runners.recipe import Recipe
from attentune.runners.results import Job
from attentune.runners.training.fast_ops import PatchedFunctions
from attentune.runners.workers.trial import run_trial
from attentune.spaces.architecture import parse
from attentune.spaces.kernels import batch_norm
from attentune.spaces.networks.build import build_network
from torch import Tensor, nn
from torch.nn import functional as F

CUDA = torch.device("cuda", 0)
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 4e-2}


def shaped(shape: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """A map with channels last, far from zero."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(shape, generator=generator, dtype=torch.float64) * 2 + 3
    return values.to(device, dtype).to(memory_format=torch.channels_last)


def close(one: Tensor, two: Tensor, limit: float) -> None:
    torch.testing.assert_close(one.double(), two.double(), rtol=limit, atol=limit)


def test_on_a_cpu_nothing_changes():
    norm, x = (
        nn.BatchNorm2d(16).train(),
        shaped((8, 16, 40, 40), torch.device("cpu"), torch.float32),
    )
    other = copy.deepcopy(norm)
    with PatchedFunctions({F.batch_norm: batch_norm.batch_norm}):
        found = norm(x)
    assert torch.equal(found, other(x))
    assert torch.equal(norm.running_var, other.running_var)


@pytest.mark.gpu
@pytest.mark.parametrize("shape", [(4, 5, 3, 7), (8, 64, 8, 8), (2, 70, 5, 33)], ids=str)
@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
def test_kernels_compute_what_torch_does(shape, dtype):
    pytest.importorskip("triton")
    if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("there is no CUDA device; with TRITON_INTERPRET=1 the kernels run without")
    from attentune.spaces.kernels import triton_batch_norm as kernels

    device = CUDA if torch.cuda.is_available() else torch.device("cpu")
    kept = torch.float64 if dtype == torch.float64 else torch.float32
    norm = nn.BatchNorm2d(shape[1], device=device, dtype=torch.float64)
    nn.init.uniform_(norm.weight, 0.5, 2)
    nn.init.uniform_(norm.bias, -1, 1)
    weight, bias = norm.weight.detach().to(kept), norm.bias.detach().to(kept)
    mean, var = norm.running_mean.to(kept).clone(), norm.running_var.to(kept).clone()
    x = shaped(shape, device, dtype)
    exact = x.double().requires_grad_()
    expected = norm(exact)
    grad = torch.randn(shape).to(x).to(memory_format=torch.channels_last)
    expected.backward(grad.double())
    y, *seen = kernels.forward(x, weight, bias, mean, var, 0.1, norm.eps)
    of_map, of_weight, of_bias = kernels.backward(x, grad, weight, *seen)
    limit = TOLERANCES[dtype]
    close(y, expected, limit)
    close(of_map, exact.grad, limit)
    for one, two in ((mean, norm.running_mean), (var, norm.running_var)):
        close(one, two, min(max(limit, 1e-7), 1e-4))
    scale = float(norm.weight.grad.abs().max())
    close(of_weight / scale, norm.weight.grad / scale, min(limit, 1e-4))
    close(of_bias, norm.bias.grad, min(limit, 1e-3))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("backbone", ["test_resnet", "mobilenetv3_small_050"])
def test_a_network_is_as_exact_as_with_torchs(backbone, monkeypatch):
    """Outputs, gradients and running statistics, against the same network in float64."""
    pytest.importorskip("triton")
    monkeypatch.setattr(batch_norm, "LEAST", 1)
    called = []
    kernels = batch_norm.KERNELS.module
    forward = kernels.forward
    monkeypatch.setattr(kernels, "forward", lambda *given: (called.append(1), forward(*given))[1])
    network = build_network(parse(backbone), num_classes=5, image_size=64, seed=0).to(CUDA)
    x = shaped((6, 3, 64, 64), CUDA, torch.float32)
    exact = trained_once(network.double(), x.double())
    plain = trained_once(network.float(), x)
    assert not called
    with PatchedFunctions({F.batch_norm: batch_norm.batch_norm}):
        quick = trained_once(network, x)
    assert called
    for ours, theirs, truth in zip(quick, plain, exact, strict=True):
        error, allowed = (float((each - truth).square().mean().sqrt()) for each in (ours, theirs))
        assert error <= 2 * allowed + 1e-5 * float(truth.abs().max())


def trained_once(network: nn.Module, x: Tensor) -> list[Tensor]:
    """Outputs, all gradients, and all buffers after one step forwards and backwards of a copy."""
    copied = copy.deepcopy(network).to(memory_format=torch.channels_last).train()
    y = copied(x)
    y.square().sum().backward()
    gradients = [p.grad.flatten() for p in copied.parameters()]
    buffers = [b.flatten() for b in copied.buffers() if b.is_floating_point()]
    return [found.double() for found in (y.detach(), torch.cat(gradients), torch.cat(buffers))]


def test_a_trial_records_why_kernels_were_not_used(cache, tmp_path, monkeypatch):
    del cache
    cpu = torch.device("cpu")
    monkeypatch.setitem(batch_norm.KERNELS.reasons, cpu, "no Triton: it is not installed")
    settings = {"data": "digits", "image_size": 16, "train_limit": 128, "epochs": 1}
    recipe = Recipe.of(**settings, batch_size=32, stem="native")
    told = []
    run_trial(
        Job(0, parse("test_resnet"), recipe, 0, tmp_path),
        lambda event: (told.append(event), Decision.GO_ON)[1],
        device=cpu,
    )
    result = next(event.result for event in told if isinstance(event, Finished))
    assert result.environment["batch norm kernels"] == "torch's: no Triton: it is not installed"
    assert "attention kernels" not in result.environment
