"""The optimizer of a training: its parameter groups and its state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import DamagedFileError
from ..recipe import Recipe
from .flat_parameters import FlatParameter, Slice, flat_tensors, flatten

STATE_NAMES = {"adamw": ["exp_avg", "exp_avg_sq", "step"], "sgd": ["momentum_buffer"]}
"""The sorted names of the state tensors of each optimizer, once a parameter had a gradient."""


class ParameterGroup(NamedTuple):
    """Parameters with the same weight decay, as slices of the tensors of the optimizer."""

    slices: list[Slice]
    is_decayed: bool


def group_parameters(model: nn.Module) -> list[ParameterGroup]:
    """The trained parameters in two groups: weights are decayed; biases, norms and other vectors
    are not. Parameters are not flattened, and `model` does not change."""
    groups = [
        ParameterGroup([Slice(weight, weight) for weight in weights], is_decayed)
        for weights, is_decayed in _split_parameters(model)
    ]
    return [group for group in groups if group.slices]


def flatten_parameters(model: nn.Module) -> list[ParameterGroup]:
    """As `group_parameters`, but on a CPU the small parameters of each group become views of one
    flat parameter."""
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

    On CUDA its learning rate is a tensor, so that a captured step reads the current value.
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
        optimizer: updates the tensors that hold the slices.
        slices: the parameters of the network, in the order of the optimizer's groups.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, slices: list[Slice]) -> None:
        self.optimizer, self.slices = optimizer, slices

    @property
    def weights(self) -> list[Tensor]:
        """The tensors that it updates, each once."""
        return [weight for group in self.optimizer.param_groups for weight in group["params"]]

    def step(self) -> None:
        """Update the weights."""
        self.optimizer.step()

    def clear_gradients(self) -> None:
        """As `zero_grad`, but the gradient of a flat parameter is zeroed in place."""
        for weight in self.weights:
            if isinstance(weight, FlatParameter):
                weight.grad.zero_()  # type: ignore[union-attr]
            else:
                weight.grad = None

    def set_learning_rate(self, lr: float) -> None:
        """Set the rate of the next step; in place where it is a tensor."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def state_names(self) -> list[list[str]]:
        """The names of the state tensors of each parameter; none if it had no gradient yet."""
        return [sorted(self._state_tensors(part.flat)) for part in self.slices]

    def allocate_state(self, names: Any) -> None:
        """Create the named state tensors of each parameter, filled with zeros, where missing.

        Args:
            names: what `state_names` returned for an optimizer of the same kind and slices.

        Raises:
            DamagedFileError: it is something else.
        """
        kind = type(self.optimizer).__name__.lower()
        allowed: tuple[list[str], ...] = ([], STATE_NAMES[kind])
        is_list = isinstance(names, list) and len(names) == len(self.slices)
        if not is_list or any(state_names not in allowed for state_names in names):
            raise DamagedFileError(f"the state of the optimizer is not that of {kind}.")
        for part, state_names in zip(self.slices, names, strict=True):
            weight, state = part.flat, self.optimizer.state[part.flat]
            for name in state_names:
                if name in state:
                    continue
                scalar = torch.zeros((), device=weight.device if weight.is_cuda else "cpu")
                state[name] = scalar if name == "step" else torch.zeros_like(weight)

    def state_tensors(self) -> list[Tensor]:
        """All state tensors, by parameter and then by name, in the shapes of the parameters."""
        return [
            value if name == "step" else part.view(value)
            for part in self.slices
            for name, value in sorted(self._state_tensors(part.flat).items())
        ]

    @property
    def state_bytes(self) -> int:
        """The memory of the state, bytes."""
        states = self.optimizer.state.values()
        values = [value for state in states for value in state.values()]
        return sum(value.nbytes for value in values if isinstance(value, Tensor))

    @contextmanager
    def preserved_state(self) -> Iterator[None]:
        """Restore the state after the context, in the same memory; new state is set to zero."""
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
