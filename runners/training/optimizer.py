"""The optimizer of a training: its parameter groups and its state."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import DamagedFileError
from ...spaces.networks.attended_module import visible_parameters
from ..recipe import Recipe
from .flat_parameters import FlatParameter, Slice, attach_gradients, flat_tensors, flatten
from .parameter_rates import SINGLE_RATE, ParameterRate, parameter_rates

STATE_NAMES = {"adamw": ["exp_avg", "exp_avg_sq", "step"], "sgd": ["momentum_buffer"]}
"""The sorted names of the state tensors of each optimizer, once a parameter had a gradient."""


class ParameterGroup(NamedTuple):
    """Parameters with the same weight decay and rate, as slices of the tensors of the optimizer."""

    slices: list[Slice]
    is_decayed: bool
    rate: ParameterRate = SINGLE_RATE


def group_parameters(model: nn.Module, recipe: Recipe | None = None) -> list[ParameterGroup]:
    """The trained parameters in groups: weights are decayed; biases, norms and other vectors are
    not. Parameters are not flattened, and `model` does not change.

    Args:
        model: the network.
        recipe: decides which parameters learn at rates of their own; None: all at one rate.
    """
    return [
        ParameterGroup([Slice(weight, weight) for weight in weights], is_decayed, rate)
        for (is_decayed, rate), weights in _split_parameters(model, recipe).items()
    ]


def flatten_parameters(model: nn.Module, recipe: Recipe | None = None) -> list[ParameterGroup]:
    """As `group_parameters`, but on a CPU the small parameters of each group become views of one
    flat parameter."""
    return [
        ParameterGroup(flatten(weights), is_decayed, rate)
        for (is_decayed, rate), weights in _split_parameters(model, recipe).items()
    ]


def _split_parameters(
    model: nn.Module, recipe: Recipe | None
) -> dict[tuple[bool, ParameterRate], list[Tensor]]:
    """The parameters by whether they are decayed and by their rate, decayed ones first."""
    rates = {} if recipe is None or recipe.has_one_rate else parameter_rates(model, recipe)
    groups: dict[tuple[bool, ParameterRate], list[Tensor]] = {}
    for is_decayed in (True, False):
        for name, parameter in visible_parameters(model):
            if parameter.requires_grad and (parameter.ndim > 1) == is_decayed:
                rate = rates.get(name, SINGLE_RATE)
                groups.setdefault((is_decayed, rate), []).append(parameter)
    return groups


def make_optimizer(groups: Sequence[ParameterGroup], recipe: Recipe) -> TrainingOptimizer:
    """The recipe's optimizer for grouped parameters.

    On CUDA its learning rate is a tensor, so that a captured step reads the current value.
    """
    device = groups[0].slices[0].tensor.device
    on_gpu = device.type == "cuda"
    fused = on_gpu or device.type == "cpu"
    options = [
        {
            "params": flat_tensors(group.slices),
            "weight_decay": recipe.weight_decay if group.is_decayed else 0.0,
            "lr": torch.tensor(recipe.lr, device=device) if on_gpu else recipe.lr,
        }
        for group in groups
    ]
    lr = recipe.lr
    optimizer: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        optimizer = torch.optim.SGD(options, lr=lr, momentum=0.9, nesterov=True, fused=fused)
    else:
        optimizer = torch.optim.AdamW(options, lr=lr, fused=fused, capturable=on_gpu)
    scaler = torch.amp.GradScaler(device.type) if recipe.precision == "fp16" else None
    return TrainingOptimizer(optimizer, groups, scaler)


class TrainingOptimizer:
    """An optimizer of torch over flat parameters.

    Args:
        optimizer: updates the tensors that hold the slices.
        groups: the parameters of the network, one for each group of the optimizer, in its order.
        scaler: multiplies the loss of fp16, whose gradients would otherwise vanish, and skips steps
            whose gradients are not finite; None in other precisions.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        groups: Sequence[ParameterGroup],
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self.optimizer, self.groups, self.scaler = optimizer, groups, scaler
        self.slices = [part for group in groups for part in group.slices]

    @property
    def weights(self) -> list[Tensor]:
        """The tensors that it updates, each once."""
        return [weight for group in self.optimizer.param_groups for weight in group["params"]]

    def backward(self, loss: Tensor) -> None:
        """Add the gradients of a loss, a scalar; in fp16 those of the scaled loss."""
        scaled = loss if self.scaler is None else self.scaler.scale(loss)
        scaled.backward()  # type: ignore[no-untyped-call]

    def step(self) -> None:
        """Update the weights; in fp16 the scale of the loss too."""
        if self.scaler is None:
            self.optimizer.step()
            return
        self._allocate_momentum()
        # The optimizer is fused on CUDA, so it divides by the scale, and skips a step, without
        # waiting for the device. Therefore the step can be captured.
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def _allocate_momentum(self) -> None:
        """Set missing momentum of SGD to zero, with which a first step does what it does without.

        torch's fused SGD stores uninitialised memory as momentum if its first step is skipped, and
        the first steps in fp16 usually are, until the scale of the loss fits.
        """
        if not isinstance(self.optimizer, torch.optim.SGD):
            return
        for weight in self.weights:
            state = self.optimizer.state[weight]
            if weight.grad is not None and state.get("momentum_buffer") is None:
                state["momentum_buffer"] = torch.zeros_like(weight)

    def scaler_state(self) -> dict[str, float] | None:
        """What a checkpoint holds of the scale of the loss; None if it is not scaled."""
        return None if self.scaler is None else self.scaler.state_dict()

    def load_scaler_state(self, state: Any) -> None:
        """Continue with the scale of the loss that `scaler_state` returned.

        Raises:
            DamagedFileError: it is something else.
        """
        if self.scaler is None:
            if state is not None:
                raise DamagedFileError("the checkpoint is of a training in fp16.")
            return
        expected = self.scaler.state_dict()
        is_known = isinstance(state, dict) and state.keys() == expected.keys()
        if not is_known or not all(_is_count(value) for value in state.values()):
            raise DamagedFileError("the scale of the loss is missing in the checkpoint.")
        self.scaler.load_state_dict(state)

    def clear_gradients(self) -> None:
        """As `zero_grad`, but the gradient of a flat parameter is zeroed in place."""
        for weight in self.weights:
            if isinstance(weight, FlatParameter) and weight.grad is not None:
                weight.grad.zero_()
            else:
                weight.grad = None

    def set_learning_rate(self, lr: float) -> None:
        """Set the rate of the next step, of which a group may have a multiple of its own; in place
        where it is a tensor."""
        for group, options in zip(self.groups, self.optimizer.param_groups, strict=True):
            group_lr = lr * group.rate.factor
            if isinstance(options["lr"], Tensor):
                options["lr"].fill_(group_lr)
            else:
                options["lr"] = group_lr

    def freeze_backbone(self, frozen: bool) -> None:
        """Train only new parameters from now on, or all of them again.

        Frozen parameters have no gradient, so the optimizer passes over them and creates no state
        for them. Gradients are not computed for them either.
        """
        for group in self.groups:
            if group.rate.is_new:
                continue
            for part in group.slices:
                part.tensor.requires_grad_(not frozen)
                part.tensor.grad = part.flat.grad = None
            if not frozen:
                attach_gradients(group.slices)

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
        scaler_state = self.scaler_state()
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
            self.load_scaler_state(scaler_state)

    def _state_tensors(self, weight: Tensor) -> dict[str, Tensor]:
        state = self.optimizer.state[weight]
        return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _is_count(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < math.inf
