"""Small tensors of a network laid end to end: what goes over all of them has few to go over.

A network has a hundred or two weights of some dozen values, and on a CPU an optimizer spends a
microsecond or three on each of them, several times a step: a twentieth of the step of a small
network. What is computed for every value is the same, so small ones are computed together. The
network notices nothing: its tensors become views of the piece, their gradients of its gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor, nn

SMALL = 2**15
"""Values of the largest tensor that is laid into a piece: gradients are added up there, which moves
more memory than to keep them as they come."""
APART = 16
"""Each begins at a multiple of so many values: a line of the cache."""


class Piece(nn.Parameter):
    """Several tensors end to end. Its gradient stays where it is; see `forget_gradients`."""


class Place(NamedTuple):
    """Where a tensor of a network lies: in a piece, from a value on, or by itself."""

    tensor: Tensor
    piece: Tensor
    begin: int = 0

    def of(self, other: Tensor) -> Tensor:
        """This tensor's part of another one that is like the piece."""
        if self.piece is self.tensor:
            return other
        return other.as_strided(self.tensor.shape, self.tensor.stride(), self.begin)


@torch.no_grad()
def lay(tensors: Sequence[Tensor]) -> list[Place]:
    """Lay the small ones of some tensors end to end in a new piece; the place of every tensor."""
    few = [tensor for tensor in tensors if _fits(tensor)]
    lengths = [-(-tensor.numel() // APART) * APART for tensor in few]
    piece = Piece(torch.zeros(sum(lengths)))
    places = [
        Place(tensor, piece, end - length)
        for tensor, length, end in zip(few, lengths, accumulate(lengths), strict=True)
    ]
    values = piece.detach()
    parts = [place.of(values) for place in places]
    if few:
        torch._foreach_copy_(parts, few)
    for tensor, part in zip(few, parts, strict=True):
        tensor.data = part
    if any(tensor.requires_grad for tensor in few):
        piece.grad = torch.zeros_like(values)
        for place in places:
            place.tensor.grad = place.of(piece.grad)
    moved = {id(place.tensor): place for place in places}
    return [moved.get(id(tensor)) or Place(tensor, tensor) for tensor in tensors]


def pieces(places: Sequence[Place]) -> list[Tensor]:
    """What holds all of some tensors, each once."""
    return list({id(place.piece): place.piece for place in places}.values())


def forget_gradients(optimizer: torch.optim.Optimizer) -> None:
    """As `zero_grad`, where some weights lie in pieces."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if isinstance(weight, Piece):
                weight.grad.zero_()  # type: ignore[union-attr]
            else:
                weight.grad = None


def _fits(tensor: Tensor) -> bool:
    """Small, on a CPU, and without gaps in memory."""
    if tensor.dtype != torch.float32 or tensor.device.type != "cpu" or tensor.numel() > SMALL:
        return False
    dense = tensor.is_contiguous()
    return dense or (tensor.ndim == 4 and tensor.is_contiguous(memory_format=torch.channels_last))
