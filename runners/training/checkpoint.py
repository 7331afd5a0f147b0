"""All that a training needs to go on, in two or three tensors.

A network has hundreds of small tensors, and naming and pickling each takes longer than writing
them. Whoever goes on builds the same network first, so their order is enough: weights, buffers,
averaged weights and the optimizer's state are laid end to end, as they lie in memory.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .optimizer import WeightAverage, slices_of

FORMAT = 2


def save(path: Path, facts: dict[str, Any], tensors: Sequence[Tensor]) -> None:
    """Write tensors, and facts that JSON can hold, to one file."""
    by_type: dict[str, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault(_type(tensor), []).append(_flat(tensor.detach()))
    packed = {name: torch.cat(parts).cpu() for name, parts in by_type.items()}
    save_file(packed, path, {"facts": json.dumps({"format": FORMAT, **facts})})


def read_facts(path: Path) -> dict[str, Any] | None:
    """The facts of a file; None if it is not there, torn, or of another version."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
    except Exception:  # a torn file is worth less than the epoch it costs to start again
        return None
    return facts if facts.get("format") == FORMAT else None


@torch.no_grad()
def load(path: Path, tensors: Sequence[Tensor]) -> None:
    """Put the tensors of a file back into tensors that are like those it was written from."""
    with safe_open(path, "pt") as file:
        packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    at = dict.fromkeys(packed, 0)
    for tensor in tensors:
        name, start = _type(tensor), at[_type(tensor)]
        at[name] = start + tensor.numel()
        _flat(tensor).copy_(packed[name][start : at[name]])


def state_of(
    model: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage | None
) -> list[Tensor]:
    """Every tensor of a training, in an order that depends on the network and recipe alone."""
    held = [
        value if name == "step" else part.view(value)
        for part in slices_of(optimizer)
        for name, value in sorted(optimizer.state[part.flat].items())
        if isinstance(value, Tensor)
    ]
    averaged = average.values if average else []
    return [*model.parameters(), *model.buffers(), *averaged, *held]


def names_of(optimizer: torch.optim.Optimizer) -> list[list[str]]:
    """What the optimizer holds of each weight; nothing of weights that had no gradient."""
    return [
        sorted(k for k, v in optimizer.state[part.flat].items() if isinstance(v, Tensor))
        for part in slices_of(optimizer)
    ]


def make_room(optimizer: torch.optim.Optimizer, names: Sequence[Sequence[str]]) -> None:
    """Give a fresh optimizer the state that another one held, all zero."""
    for part, held in zip(slices_of(optimizer), names, strict=True):
        weight, known = part.flat, optimizer.state[part.flat]
        for name in held:
            if name in known:
                continue
            scalar = torch.zeros((), device=weight.device if weight.is_cuda else "cpu")
            known[name] = scalar if name == "step" else torch.zeros_like(weight)


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _flat(tensor: Tensor) -> Tensor:
    """All elements in the order in which they lie in memory, without a copy."""
    if tensor.dim() == 4 and not tensor.is_contiguous():
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.view(-1)
