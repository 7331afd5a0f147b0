"""The average of the weights over the training steps, which is evaluated and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from ...spaces.kernels.torch_compat import interpolate_tensors
from .flat_parameters import Slice, flat_tensors, flatten


def flatten_state(model: nn.Module, parameters: Sequence[Slice]) -> list[Slice]:
    """The slices of all floating-point parameters and buffers of `model`, in its order.

    The small ones that are not among `parameters`, the slices of the optimizer, become views of a
    new flat parameter.
    """
    state = [t for t in (*model.parameters(), *model.buffers()) if t.is_floating_point()]
    slices = {id(part.tensor): part for part in parameters}
    remaining = [tensor for tensor in state if id(tensor) not in slices]
    slices |= {id(part.tensor): part for part in flatten(remaining)}
    return [slices[id(tensor)] for tensor in state]


class WeightAverage:
    """Exponential moving average of weights and buffers (Polyak averaging), for evaluation.

    The decay grows as (1 + t) / (10 + t) up to `decay`, so that the initial weights do not dominate
    early epochs. Integer buffers (the counters of batch norms) are not averaged.

    Args:
        slices: the tensors to average; see `flatten_state`.
        decay: weight of the previous average in a step, a fraction.
    """

    def __init__(self, slices: Sequence[Slice], decay: float) -> None:
        self.live = [part.tensor for part in slices]
        self._live_flat = flat_tensors(slices)
        self.flat = [flat.detach().clone() for flat in self._live_flat]
        averages = dict(zip(map(id, self._live_flat), self.flat, strict=True))
        self.values = [part.view(averages[id(part.flat)]) for part in slices]
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Add the current weights to the average, after a training step."""
        self.steps += 1
        weight = 1 - min(self.decay, (1 + self.steps) / (10 + self.steps))
        interpolate_tensors(self.flat, self._live_flat, weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside the context, the model has the averaged weights."""
        self.swap()
        try:
            yield
        finally:
            self.swap()

    def swap(self) -> None:
        """Exchange the model's weights and the averaged ones, without a copy."""
        for live, value in zip(self.live, self.values, strict=True):
            live.data, value.data = value.data, live.data
