"""What the kernels need of torch that its public API does not offer, each with the reason why.

tests/spaces/kernels/test_torch_compat.py checks every function, so that a release of torch that
moves one of them fails there and not in the middle of a training step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._pytree import tree_map


def in_function_transform() -> bool:
    """Whether a transform of `torch.func` (grad, vmap, jvp, …) is running.

    Inside one, tensors are wrapped but still have the type `Tensor`, and an autograd function
    without rules for the transform raises. So the kernels must leave the work to torch's operators.
    """
    return torch._C._are_functorch_transforms_active()


def has_dispatch_mode() -> bool:
    """Whether a dispatch mode is active, such as `torch.utils.flop_counter.FlopCounterMode`.

    Some kernels multiply by zeros that the plain layer skips. Where multiply-adds are counted, the
    plain layer has to run.
    """
    return bool(torch._C._len_torch_dispatch_stack())


def map_nested(function: Callable[[Any], Any], arguments: Any) -> Any:
    """Nested tuples, lists and dicts with `function` applied to everything inside.

    Functions of torch are called with tensors in nested structures, which torch itself traverses by
    this private module.
    """
    return tree_map(function, arguments)
