"""The state of a training in one file, as two or three large tensors.

A network has hundreds of small tensors, and naming and serialising each takes longer than writing
them. Before training continues, the same network is built, so the order of the tensors identifies
them. They are concatenated in memory order, into one tensor for each dtype.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

FORMAT = 2


def save(path: Path, facts: dict[str, Any], tensors: Sequence[Tensor]) -> None:
    """Write tensors and facts to one file.

    Args:
        path: the file.
        facts: values that JSON can represent, by name.
        tensors: in an order that `load` repeats.
    """
    by_type: dict[str, list[Tensor]] = {}
    for tensor in tensors:
        by_type.setdefault(_type_name(tensor), []).append(_flat_view(tensor.detach()))
    packed = {name: torch.cat(views).cpu() for name, views in by_type.items()}
    save_file(packed, path, {"facts": json.dumps({"format": FORMAT, **facts})})


def read_facts(path: Path) -> dict[str, Any] | None:
    """The facts of a file; None if it is missing, damaged or of another format."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            facts: dict[str, Any] = json.loads(file.metadata()["facts"])
    except Exception:  # If the file is damaged, training starts again from the first epoch.
        return None
    return facts if facts.get("format") == FORMAT else None


@torch.no_grad()
def load(path: Path, tensors: Sequence[Tensor]) -> None:
    """Copy the tensors of a file into `tensors`.

    These must have the dtypes, shapes and order of those that were written.
    """
    with safe_open(path, "pt") as file:
        packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    ends = dict.fromkeys(packed, 0)
    for tensor in tensors:
        name = _type_name(tensor)
        begin, ends[name] = ends[name], ends[name] + tensor.numel()
        _flat_view(tensor).copy_(packed[name][begin : ends[name]])


def _type_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _flat_view(tensor: Tensor) -> Tensor:
    """All elements in memory order, without a copy."""
    if tensor.dim() == 4 and not tensor.is_contiguous():
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.view(-1)
