"""Questions to torch that its public API does not answer, each with the reason why it is asked.

tests/spaces/kernels/test_torch_compat.py checks every answer, so that a release of torch that moves
one of these functions fails there and not in the middle of a training step.
"""

from __future__ import annotations

import torch


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
