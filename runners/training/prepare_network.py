"""Prepare a network so that its training steps are fast, without changing what it computes."""

from __future__ import annotations

import torch
from torch import nn


def prepare_network(model: nn.Module, *, channels_last: bool) -> None:
    """Change the memory format of the weights of `model` and its activations, in place.

    Args:
        model: the network to train.
        channels_last: whether its 4-d weights get the channels-last format.
    """
    if channels_last:
        # `model.to(memory_format=…)` does the same, but takes longer because it visits all tensors.
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.ndim == 4:
                tensor.data = tensor.data.to(memory_format=torch.channels_last)
    disable_inplace_activations(model)


def disable_inplace_activations(model: nn.Module) -> None:
    """Switch off `inplace` of activations whose gradient needs their input; changes `model`.

    With `inplace`, torch copies the input first, which reads and writes one more map.
    """
    for module in model.modules():
        if isinstance(module, nn.Hardswish | nn.SiLU | nn.Mish):
            module.inplace = False
