"""What is changed in a network before it is trained, so that its steps are fast.

Nothing here changes what the network computes.
"""

from __future__ import annotations

import torch
from torch import nn


def prepare_network(model: nn.Module, *, channels_last: bool) -> None:
    """Change the memory layout of weights and the activations of `model`, in place.

    Args:
        model: the network to train.
        channels_last: whether its 4-d weights are laid out channels last, as its maps will be.
    """
    if channels_last:
        # `model.to(memory_format=…)` does the same, but also asks every other tensor, which takes
        # longer.
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.ndim == 4:
                tensor.data = tensor.data.to(memory_format=torch.channels_last)
    disable_inplace_activations(model)


def disable_inplace_activations(model: nn.Module) -> None:
    """Make activations work out of place whose gradient needs their input; changes `model`.

    In place, torch would copy the input first, and so read and write one map more.
    """
    for module in model.modules():
        if isinstance(module, nn.Hardswish | nn.SiLU | nn.Mish):
            module.inplace = False
