"""Whether the attentions that were inserted into a user's network are trained.

Training code may build its network anew, or train a copy that was made before. The attentions are
then in a network that nobody trains.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ...spaces.networks.attended_module import AttendedModule, attentions_of


class InsertedWeights:
    """The weights of inserted attentions as they were at first; see `InsertionObserver`.

    Attributes:
        aliases: names of timm models that were registered.
    """

    def __init__(self) -> None:
        self.aliases: list[str] = []
        self._initial: list[list[tuple[nn.Module, list[Tensor]]]] = []

    @property
    def is_empty(self) -> bool:
        """Whether no attention was inserted into any network."""
        return not self._initial

    def on_register(self, alias: str) -> None:
        """Keep the name."""
        self.aliases.append(alias)

    def on_insert(self, model: nn.Module) -> None:
        """Keep a copy of the weights of all attentions of a network."""
        attended = (module for module in model.modules() if isinstance(module, AttendedModule))
        self._initial.append(
            [
                (attention, [p.detach().cpu().clone() for p in parameters])
                for module in attended
                for attention in attentions_of(module)
                if (parameters := list(attention.parameters()))
                and not any(parameter.is_meta for parameter in parameters)
            ]
        )

    def count_unmoved(self) -> tuple[int, int]:
        """How many attentions have the weights that they began with, and how many there are.

        Of several networks, such as one that is only measured, it is the one that was trained most.
        """
        counts = [(_count_equal(network), len(network)) for network in self._initial]
        return min(counts, default=(0, 0), key=lambda count: count[0] / max(count[1], 1))


@torch.no_grad()
def _count_equal(network: list[tuple[nn.Module, list[Tensor]]]) -> int:
    """The number of attentions whose weights are those that were kept."""
    return sum(
        all(
            torch.equal(now.cpu(), before.to(now.dtype))
            for now, before in zip(attention.parameters(), weights, strict=False)
        )
        for attention, weights in network
    )
