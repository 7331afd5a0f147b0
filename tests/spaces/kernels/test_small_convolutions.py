"""Convolutions over small maps: ours against torch's."""

from __future__ import annotations

import copy

import pytest
import torch
from attentune.runners.training.fast_ops import PatchedFunctions, fast_ops
from attentune.spaces.architecture import parse
from attentune.spaces.kernels import small_convolutions
from attentune.spaces.networks.build import build_network
from torch import Tensor, nn
from torch.nn import functional as F

CPU = torch.device("cpu")
REPLACED = PatchedFunctions({F.conv2d: small_convolutions.conv2d})
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def gradients(module: nn.Module, x: Tensor) -> list[Tensor]:
    """Output, and gradients of the map and of every parameter, of a copy."""
    copied, map_ = copy.deepcopy(module), x.detach().clone().requires_grad_()
    y = copied(map_)
    draw = torch.Generator().manual_seed(1)
    y.backward(torch.randn(y.shape, generator=draw, dtype=y.dtype))
    return [y.detach(), map_.grad, *(each.grad for each in copied.parameters())]


def drawn(*shape: int, dtype: torch.dtype, layout: torch.memory_format) -> Tensor:
    draw = torch.Generator().manual_seed(0)
    values = torch.randn(shape, generator=draw, dtype=torch.float64).to(dtype)
    return values.to(memory_format=layout)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((4, 4), {"kernel_size": 5, "padding": 2}),
        ((2, 2), {"kernel_size": 5, "padding": 2, "bias": False}),
        ((1, 1), {"kernel_size": 3, "padding": 1}),
        ((4, 4), {"kernel_size": 5, "padding": 2, "stride": 2}),
        ((8, 8), {"kernel_size": 7, "padding": 3}),
        ((2, 5), {"kernel_size": (3, 5), "padding": (1, 0), "stride": (1, 2)}),
        ((7, 3), {"kernel_size": (5, 1), "padding": (2, 0)}),
        ((5, 6), {"kernel_size": 5}),
        ((3, 3), {"kernel_size": 5, "padding": 2, "padding_mode": "reflect"}),
        ((2, 3), {"kernel_size": 1, "groups": 1}),
        ((1, 1), {"kernel_size": 1, "groups": 1, "bias": False}),
    ],
    ids=str,
)
def test_gradients_are_torchs(size, settings, layout):
    conv = nn.Conv2d(6, 6, dtype=torch.float64, **{"groups": 6, **settings}).to(
        memory_format=layout
    )
    x = drawn(3, 6, *size, dtype=torch.float64, layout=layout)
    expected = gradients(conv, x)
    with REPLACED:
        results = gradients(conv, x)
    for result, exact in zip(results, expected, strict=True):
        torch.testing.assert_close(result, exact, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("replaced", "size", "settings"),
    [
        (True, 4, {"groups": 6, "kernel_size": 5}),
        (True, 2, {"groups": 6, "kernel_size": 3}),
        (True, 4, {"kernel_size": 1}),
        (False, 4, {"groups": 6, "kernel_size": 3}),
        (False, 9, {"groups": 6, "kernel_size": 5}),
        (False, 4, {"groups": 3, "kernel_size": 5}),
        (False, 4, {"kernel_size": 5}),
        (False, 4, {"kernel_size": 1, "groups": 3}),
        (False, 4, {"kernel_size": 1, "stride": 2}),
        (False, 9, {"kernel_size": 1}),
    ],
    ids=str,
)
def test_only_where_torch_is_slow(replaced, size, settings):
    """What torch computes, it computes bit for bit, and notes as a convolution."""
    conv = nn.Conv2d(6, 6, padding=settings["kernel_size"] // 2, **settings)
    x = drawn(3, 6, size, size, dtype=torch.float32, layout=torch.channels_last)
    with torch.no_grad():
        expected = conv(x)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = conv(x)
    with REPLACED:
        assert (conv(x).grad_fn.name() != "ConvolutionBackward0") == replaced
        with torch.no_grad():
            assert torch.equal(conv(x), expected)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(conv(x), rounded)


@pytest.mark.parametrize(("instructions", "replaced"), [("AVX2", False), ("AVX512", True)])
def test_large_kernels_on_maps_not_much_larger_are_ours_where_there_is_avx512(
    monkeypatch, instructions, replaced
):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    conv = nn.Conv2d(6, 6, 5, padding=2, groups=6)
    x = drawn(3, 6, 8, 8, dtype=torch.float32, layout=torch.channels_last)
    with REPLACED:
        assert (conv(x).grad_fn.name() != "ConvolutionBackward0") == replaced


@pytest.mark.parametrize(
    ("instructions", "wide", "narrow"), [("AVX2", True, True), ("AVX512", False, True)]
)
def test_wide_products_are_torchs_where_there_is_avx512(monkeypatch, instructions, wide, narrow):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: instructions)
    x = drawn(64, 1152, 4, 4, dtype=torch.float32, layout=torch.channels_last)
    for channels, replaced in ((192, wide), (16, narrow)):
        conv = nn.Conv2d(1152, channels, 1)
        with REPLACED:
            assert (conv(x).grad_fn.name() != "ConvolutionBackward0") == replaced


def test_dilation_and_padding_in_words_stay_torchs():
    x = drawn(3, 6, 4, 4, dtype=torch.float32, layout=torch.channels_last)
    for settings in ({"dilation": 2, "padding": 4}, {"padding": "same"}):
        conv = nn.Conv2d(6, 6, 5, groups=6, **settings)
        expected = gradients(conv, x)
        with REPLACED:
            results = gradients(conv, x)
        assert all(map(torch.equal, results, expected))


@pytest.mark.parametrize("text", ["mobilenetv3_small_050", "convnext_atto"])
def test_a_network_learns_as_with_torchs(text):
    """In float64, so that nothing but a mistake can tell them apart."""
    network = build_network(
        parse(text), num_classes=5, stem="native", image_size=64, seed=0
    ).double()
    network = network.to(memory_format=torch.channels_last).train()
    x = drawn(4, 3, 64, 64, dtype=torch.float64, layout=torch.channels_last)
    expected = gradients(network, x)
    with fast_ops(network, CPU):
        results = gradients(network, x)
    assert any(
        not torch.equal(result, exact) for result, exact in zip(results, expected, strict=True)
    )
    for result, exact in zip(results, expected, strict=True):
        torch.testing.assert_close(result, exact, rtol=1e-9, atol=1e-10)
