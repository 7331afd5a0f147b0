"""Parts of torch's private API that kernels and training need, each with the reason.

tests/spaces/kernels/test_torch_compat.py checks every function, so that a change of the private API
fails there and not in a training step.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map


class EagerDispatchMode(TorchDispatchMode):
    """A dispatch mode that is never used inside torch.compile.

    Others import the whole compiler when they see their first operator, which takes seconds.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


def in_function_transform() -> bool:
    """Whether a transform of `torch.func` (grad, vmap, jvp, …) is running.

    Inside one, tensors are wrapped but still have the type `Tensor`, and an autograd function
    without rules for the transform raises an error. Kernels must not be used then.
    """
    return torch._C._are_functorch_transforms_active()


def has_dispatch_mode() -> bool:
    """Whether a dispatch mode is active, such as `torch.utils.flop_counter.FlopCounterMode`.

    Some kernels multiply by zeros that the plain layer skips. Where multiply-adds are counted, the
    plain layer has to run.
    """
    return bool(torch._C._len_torch_dispatch_stack())


def map_nested(function: Callable[[Any], Any], arguments: Any) -> Any:
    """Apply `function` to every item of nested tuples, lists and dicts.

    torch's functions receive tensors in nested structures, which torch itself traverses with this
    private module.
    """
    return tree_map(function, arguments)


def copy_tensors(targets: list[Tensor], sources: list[Tensor]) -> None:
    """Copy each source into its target with one call instead of one for each tensor.

    torch's own optimizers use these functions; there is no public form of them.
    """
    torch._foreach_copy_(targets, sources)


def interpolate_tensors(targets: list[Tensor], sources: list[Tensor], weight: float) -> None:
    """Move each target towards its source, in place: target += weight · (source − target).

    Args:
        targets: any shapes.
        sources: of the same shapes.
        weight: 0 changes nothing, 1 copies.
    """
    torch._foreach_lerp_(targets, sources, weight)
