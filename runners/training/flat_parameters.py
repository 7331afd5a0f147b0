"""Flat parameters: the small tensors of a network end to end in one tensor.

A network has one or two hundred weights of a few dozen values each. On a CPU an optimizer spends
1 to 3 µs on each of them, several times a step, which is 5 % of the step of a small network. The
update is elementwise, so the small weights can be updated together. (FSDP's `FlatParameter` is the
same idea for another purpose.) The network works as before: its tensors become views of the flat
parameter, and their gradients views of its gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...spaces.kernels.torch_compat import copy_tensors

MAX_FLATTENED_VALUES = 2**15
"""Values of the largest tensor that is flattened. A flat parameter accumulates gradients in place,
which is slower than separate gradients for large tensors."""
ALIGNMENT_VALUES = 16
"""Every slice begins at a multiple of this many float32 values, a cache line of 64 bytes."""


class FlatParameter(nn.Parameter):
    """Several tensors end to end.

    Its gradient keeps its memory; see `TrainingOptimizer.clear_gradients`.
    """


class Slice(NamedTuple):
    """The part of `flat`, from value `begin` on, that holds a tensor of a network.

    A tensor that is not flattened is its own `flat`.
    """

    tensor: Tensor
    flat: Tensor
    begin: int = 0

    def view(self, flat: Tensor) -> Tensor:
        """The same slice of another tensor with the layout of `self.flat`, in its shape."""
        if self.flat is self.tensor:
            return flat
        return flat.as_strided(self.tensor.shape, self.tensor.stride(), self.begin)


@torch.no_grad()
def flatten(tensors: Sequence[Tensor]) -> list[Slice]:
    """Move the small tensors into one new flat parameter; returns the slice of every tensor.

    Each small tensor becomes a view of the flat parameter, in place. If any of them requires a
    gradient, their gradients become views of its gradient.
    """
    small = [tensor for tensor in tensors if _can_be_flattened(tensor)]
    lengths = [-(-tensor.numel() // ALIGNMENT_VALUES) * ALIGNMENT_VALUES for tensor in small]
    flat = FlatParameter(torch.zeros(sum(lengths)))
    slices = [
        Slice(tensor, flat, end - length)
        for tensor, length, end in zip(small, lengths, accumulate(lengths), strict=True)
    ]
    values = flat.detach()
    views = [part.view(values) for part in slices]
    if small:
        copy_tensors(views, small)
    for tensor, view in zip(small, views, strict=True):
        tensor.data = view
    if any(tensor.requires_grad for tensor in small):
        attach_gradients(slices)
    flattened = {id(part.tensor): part for part in slices}
    return [flattened.get(id(tensor)) or Slice(tensor, tensor) for tensor in tensors]


def attach_gradients(slices: Sequence[Slice]) -> None:
    """Give each flat parameter a gradient of zeros, of which its slices' gradients are views."""
    for part in slices:
        if part.flat is part.tensor:
            continue
        if part.flat.grad is None:
            part.flat.grad = torch.zeros_like(part.flat.detach())
        part.tensor.grad = part.view(part.flat.grad)


def flat_tensors(slices: Sequence[Slice]) -> list[Tensor]:
    """The tensors that hold all the slices, each once."""
    return list({id(part.flat): part.flat for part in slices}.values())


def _can_be_flattened(tensor: Tensor) -> bool:
    """Whether a tensor is small, float32, on a CPU, and without gaps in memory."""
    if tensor.dtype != torch.float32 or tensor.device.type != "cpu":
        return False
    if tensor.numel() > MAX_FLATTENED_VALUES:
        return False
    dense = tensor.is_contiguous()
    return dense or (tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last))
