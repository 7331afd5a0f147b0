"""Every answer of `torch_compat` with the installed torch, both ways."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from attentune.spaces.kernels.torch_compat import (
    copy_tensors,
    has_dispatch_mode,
    in_function_transform,
    interpolate_tensors,
    map_nested,
)
from torch.utils.flop_counter import FlopCounterMode

TRANSFORMS = {
    "grad": lambda f, x: torch.func.grad(f)(x),
    "vmap": lambda f, x: torch.func.vmap(f)(x),
    "jvp": lambda f, x: torch.func.jvp(f, (x,), (x,)),
}


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_transforms_of_functions_are_noticed(transform):
    answers = []

    def function(x: torch.Tensor) -> torch.Tensor:
        answers.append(in_function_transform())
        return x.square().sum()

    function(torch.ones(3))
    transform(function, torch.ones(3))
    function(torch.ones(3))
    assert answers == [False, True, False]


def test_dispatch_modes_are_noticed():
    assert not has_dispatch_mode()
    with FlopCounterMode(display=False):
        assert has_dispatch_mode()
    assert not has_dispatch_mode()


def test_functions_reach_everything_in_nested_arguments():
    nested = ([1, (2, 3)], {"dim": 4, "tensors": [5]})
    assert map_nested(lambda value: 10 * value, nested) == (
        [10, (20, 30)],
        {"dim": 40, "tensors": [50]},
    )


def test_many_tensors_are_copied_and_interpolated_in_place():
    targets = [torch.zeros(3), torch.zeros(2, 2)]
    sources = [torch.arange(3.0), torch.full((2, 2), 4.0)]
    interpolate_tensors(targets, sources, 0.25)
    assert torch.equal(targets[0], torch.arange(3.0) / 4)
    assert torch.equal(targets[1], torch.ones(2, 2))
    copy_tensors(targets, sources)
    assert all(map(torch.equal, targets, sources))


def test_a_dispatch_mode_sees_operators_without_importing_the_compiler():
    code = (
        "import sys, torch\n"
        "from attentune.spaces.kernels.torch_compat import EagerDispatchMode\n"
        "class Names(EagerDispatchMode):\n"
        "    def __torch_dispatch__(self, func, types, args=(), kwargs=None):\n"
        "        print(func)\n"
        "        return func(*args, **(kwargs or {}))\n"
        "x = torch.ones(2)\n"
        "with Names():\n"
        "    x.mean()\n"
        "assert 'torch._dynamo' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "aten.mean" in done.stdout
