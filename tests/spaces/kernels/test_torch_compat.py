"""Every answer of `torch_compat` with the installed torch, both ways."""

from __future__ import annotations

import pytest
import torch
from attentune.spaces.kernels.torch_compat import (
    has_dispatch_mode,
    in_function_transform,
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
