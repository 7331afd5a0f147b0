"""Kernels are not used where they are switched off or where operators are observed."""

from __future__ import annotations

import pytest
import torch
from attentune.spaces.kernels.dispatch import can_fuse, disable_kernels, kernels_enabled
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode


@pytest.fixture(autouse=True)
def fuse_small_maps(fuse_tiny_maps):
    del fuse_tiny_maps


def a_map(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    return x.to(memory_format=torch.channels_last).requires_grad_()


def test_kernels_can_be_switched_off_and_come_back():
    x = a_map(5, 16, 6, 7)
    assert can_fuse(x)
    with disable_kernels():
        assert not kernels_enabled()
        assert not can_fuse(x)
        with disable_kernels():
            assert not can_fuse(x)
        assert not can_fuse(x)
    assert kernels_enabled()
    assert can_fuse(x)


def test_fusing_is_allowed_for_plain_tensors_that_are_not_observed():
    x = a_map(5, 16, 6, 7)
    assert not can_fuse(nn.Parameter(x))
    with FlopCounterMode(display=False):
        assert can_fuse(x)
        assert not can_fuse(x, adds_operations=True)
    with forward_ad.dual_level():
        assert can_fuse(x)
        assert not can_fuse(forward_ad.make_dual(x, x))
    assert torch.func.vmap(lambda row: row * can_fuse(row))(x.detach()).eq(0).all()


@pytest.fixture
def module(make, randomise) -> nn.Module:
    return randomise(make("cbam", 16, {})).eval().double()


PROGRAMS = {
    "export": lambda module, x: torch.export.export(module, (x,)).module(),
    "compile": lambda module, _: torch.compile(module, backend="aot_eager", fullgraph=True),
    "jit": lambda module, x: torch.jit.trace(module, (x,)),
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_made_from_a_module_computes_the_same(program, module):
    x = a_map(5, 16, 6, 7).detach()
    torch.testing.assert_close(program(module, x)(x), module(x))


@pytest.mark.parametrize("name", ["se", "channel", "ca", "scse", "gc"])
def test_symbolic_tracing_sees_the_formula(name, make, randomise):
    module, x = randomise(make(name, 16, {})).eval(), a_map(5, 16, 6, 7, dtype=torch.float32)
    torch.testing.assert_close(torch.fx.symbolic_trace(module)(x), module(x))


def test_transforms_of_functions_work(module):
    x = a_map(5, 16, 6, 7)
    expected = torch.autograd.grad(module(x).square().sum(), x)[0]
    x = x.detach()
    torch.testing.assert_close(torch.func.grad(lambda x: module(x).square().sum())(x), expected)
    with forward_ad.dual_level():
        tangent = forward_ad.unpack_dual(module(forward_ad.make_dual(x, x))).tangent
    torch.testing.assert_close(tangent, torch.func.jvp(module, (x,), (x,))[1])


def test_a_weight_can_have_a_forward_mode_gradient(make, randomise):
    module = randomise(make("simam", 16, {}, "identity")).double()
    (name, weight), x = next(module.named_parameters()), a_map(5, 16, 6, 7)

    def attend(weight: Tensor) -> Tensor:
        return torch.func.functional_call(module, {name: weight}, (x,))

    with forward_ad.dual_level():
        dual = forward_ad.make_dual(weight.detach(), torch.ones_like(weight))
        tangent = forward_ad.unpack_dual(attend(dual)).tangent
    expected = torch.func.jvp(attend, (weight.detach(),), (torch.ones_like(weight),))[1]
    torch.testing.assert_close(tangent, expected)
