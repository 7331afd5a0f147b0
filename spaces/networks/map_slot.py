"""A place where one module leaves a map, and a later one takes it: `MapSlot`."""

from __future__ import annotations

from threading import get_ident

import torch
from torch import Tensor, nn


class MapSlot(nn.Module):
    """Passes a map past the modules between two points of a forward pass.

    Both points have the same slot as a child, and copies of a network have a slot of their own.
    Threads that run one network at the same time do not see each other's maps. A program that is
    traced or exported from the network has an edge from one point to the other instead.
    """

    def __init__(self) -> None:
        super().__init__()
        self._kept_by_thread: dict[int, Tensor] = {}
        self._kept: Tensor | None = None

    def keep(self, x: Tensor) -> Tensor:
        """Keep a map; returns it."""
        if torch.compiler.is_compiling():  # Dynamo traces no thread numbers, and keeps no state.
            self._kept = x
        else:
            self._kept_by_thread[get_ident()] = x
        return x

    def recall(self) -> Tensor:
        """The map that was kept; the slot is empty afterwards."""
        if torch.compiler.is_compiling():
            x, self._kept = self._kept, None
            assert x is not None
            return x
        return self._kept_by_thread.pop(get_ident())
