"""The optimizer of a training: its parameter groups and its state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..recipe import Recipe
from .flat_parameters import FlatParameter, Slice, flat_tensors, flatten


class ParameterGroup(NamedTuple):
    """Parameters that are decayed alike, as slices of the tensors that the optimizer moves."""

    slices: list[Slice]
    is_decayed: bool


def group_parameters(model: nn.Module) -> list[ParameterGroup]:
    """The trained parameters in two groups: weights are decayed; biases, norms and other vectors
    are not. Each parameter stays by itself; `model` does not change."""
    groups = [
        ParameterGroup([Slice(weight, weight) for weight in weights], is_decayed)
        for weights, is_decayed in _split_parameters(model)
    ]
    return [group for group in groups if group.slices]


def flatten_parameters(model: nn.Module) -> list[ParameterGroup]:
    """`group_parameters`, with the small parameters of `model` on a CPU made views of one flat
    parameter for each group."""
    groups = [
        ParameterGroup(flatten(weights), is_decayed)
        for weights, is_decayed in _split_parameters(model)
    ]
    return [group for group in groups if group.slices]


def _split_parameters(model: nn.Module) -> list[tuple[list[Tensor], bool]]:
    parameters: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    return [
        ([p for p in parameters if p.ndim > 1], True),
        ([p for p in parameters if p.ndim <= 1], False),
    ]


def make_optimizer(groups: Sequence[ParameterGroup], recipe: Recipe) -> TrainingOptimizer:
    """The recipe's optimizer for grouped parameters.

    On CUDA its learning rate is a tensor, which a captured step reads anew every time.
    """
    device = groups[0].slices[0].tensor.device
    options = [
        {
            "params": flat_tensors(group.slices),
            "weight_decay": recipe.weight_decay if group.is_decayed else 0.0,
        }
        for group in groups
    ]
    on_gpu = device.type == "cuda"
    fused = on_gpu or device.type == "cpu"
    lr = torch.tensor(recipe.lr, device=device) if on_gpu else recipe.lr
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(options, lr=lr, momentum=0.9, nesterov=True, fused=fused)
    else:
        optimizer = torch.optim.AdamW(options, lr=lr, fused=fused, capturable=on_gpu)
    return TrainingOptimizer(optimizer, [part for group in groups for part in group.slices])


class TrainingOptimizer:
    """An optimizer of torch over flat parameters.

    Args:
        optimizer: moves the tensors that hold the slices.
        slices: where the parameters of the network lie, in the order of the optimizer's groups.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, slices: list[Slice]) -> None:
        self.optimizer, self.slices = optimizer, slices

    @property
    def weights(self) -> list[Tensor]:
        """The tensors that it moves, each once."""
        return [weight for group in self.optimizer.param_groups for weight in group["params"]]

    def step(self) -> None:
        """Move the weights along their gradients."""
        self.optimizer.step()

    def clear_gradients(self) -> None:
        """As `zero_grad`, but the gradient of a flat parameter is zeroed in place."""
        for weight in self.weights:
            if isinstance(weight, FlatParameter):
                weight.grad.zero_()  # type: ignore[union-attr]
            else:
                weight.grad = None

    def set_learning_rate(self, lr: float) -> None:
        """The rate of the next step; written in place where it is a tensor."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def state_names(self) -> list[list[str]]:
        """The names of what is kept for each parameter; none for one that had no gradient yet."""
        return [sorted(self._state_tensors(part.flat)) for part in self.slices]

    def allocate_state(self, names: Sequence[Sequence[str]]) -> None:
        """Make state of these names for each parameter, all zero, where there is none yet."""
        for part, wanted in zip(self.slices, names, strict=True):
            weight, state = part.flat, self.optimizer.state[part.flat]
            for name in wanted:
                if name in state:
                    continue
                scalar = torch.zeros((), device=weight.device if weight.is_cuda else "cpu")
                state[name] = scalar if name == "step" else torch.zeros_like(weight)

    def state_tensors(self) -> list[Tensor]:
        """All that is kept, by parameter and then by name, each shaped as its parameter."""
        return [
            value if name == "step" else part.view(value)
            for part in self.slices
            for name, value in sorted(self._state_tensors(part.flat).items())
        ]

    @property
    def state_bytes(self) -> int:
        """The memory of all that is kept."""
        states = self.optimizer.state.values()
        values = [value for state in states for value in state.values()]
        return sum(value.nbytes for value in values if isinstance(value, Tensor))

    @contextmanager
    def preserved_state(self) -> Iterator[None]:
        """Put the state back after the block, in the same memory; state that is new is zeroed."""
        before = {
            weight: {name: value.clone() for name, value in self._state_tensors(weight).items()}
            for weight in self.optimizer.state
        }
        try:
            yield
        finally:
            with torch.no_grad():
                for weight in self.optimizer.state:
                    for name, value in self._state_tensors(weight).items():
                        earlier = before.get(weight, {}).get(name)
                        value.zero_() if earlier is None else value.copy_(earlier)

    def _state_tensors(self, weight: Tensor) -> dict[str, Tensor]:
        state = self.optimizer.state[weight]
        return {name: value for name, value in state.items() if isinstance(value, Tensor)}
