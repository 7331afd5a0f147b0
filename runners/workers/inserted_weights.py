"""Whether the attentions that were inserted into a user's network are trained.

Training code may build its network anew, or train a copy that was made before. The attentions are
then in a network that nobody trains.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...spaces.networks.attended_module import AttendedModule, attentions_of


class InsertedWeights:
    """The weights of inserted attentions as they were at first."""

    def __init__(self) -> None:
        self._initial: list[tuple[nn.Module, list[Tensor]]] = []

    def watch(self, model: nn.Module) -> None:
        """Keep a copy of the weights of all attentions of a network."""
        attended = (module for module in model.modules() if isinstance(module, AttendedModule))
        for module in attended:
            for attention in attentions_of(module):
                if weights := [p.detach().cpu().clone() for p in attention.parameters()]:
                    self._initial.append((attention, weights))

    @torch.no_grad()
    def count_unmoved(self) -> tuple[int, int]:
        """How many attentions have the weights that they began with, and how many there are."""
        unmoved = 0
        for attention, weights in self._initial:
            parameters = [parameter.cpu() for parameter in attention.parameters()]
            pairs = zip(parameters, weights, strict=False)
            unmoved += all(torch.equal(now, before) for now, before in pairs)
        return unmoved, len(self._initial)
