"""The state of a training in one file, as two or three large tensors.

A network has hundreds of small tensors, and naming and serialising each takes longer than writing
them. Before training continues, the same network is built, so the order of the tensors identifies
them. They are concatenated in memory order, into one tensor for each dtype.

A file that is damaged, or that does not fit the network, is refused before anything is changed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from ...errors import DamagedFileError
from .tensor_file import read_metadata, verify_tensors, write_tensors

FORMAT = 3


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
    write_tensors(path, packed, {"facts": json.dumps({"format": FORMAT, **facts})})


def read_facts(path: Path) -> dict[str, Any] | None:
    """The facts of a checkpoint that is whole; None if the file is missing or no checkpoint.

    The whole file is read, since its checksum covers its tensors.

    Raises:
        DamagedFileError: the file is damaged, of another format, or cannot be read.
    """
    try:
        if "facts" not in read_metadata(path):
            return None
        facts = json.loads(verify_tensors(path)["facts"])
        if facts["format"] != FORMAT:
            raise DamagedFileError(f"{path} has another format.")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedFileError(f"{path} cannot be read: {error}") from error
    checked: dict[str, Any] = facts
    return checked


@torch.no_grad()
def load(path: Path, tensors: Sequence[Tensor]) -> None:
    """Copy the tensors of a file into `tensors`.

    Args:
        path: a file that `read_facts` has found whole.
        tensors: with the dtypes, shapes and order of those that were written.

    Raises:
        DamagedFileError: the file has other tensors, or numbers that are not finite where those of
            `tensors` are. Nothing has been copied then.
    """
    try:
        with safe_open(path, "pt") as file:
            packed = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise DamagedFileError(f"{path} cannot be read: {error}") from error
    sizes: dict[str, list[int]] = {}
    for tensor in tensors:
        sizes.setdefault(_type_name(tensor), []).append(tensor.numel())
    expected = {name: (name, (sum(counts),)) for name, counts in sizes.items()}
    if {name: (_type_name(flat), tuple(flat.shape)) for name, flat in packed.items()} != expected:
        raise DamagedFileError(f"{path} does not fit the network.")
    parts = {name: iter(packed[name].split(counts)) for name, counts in sizes.items()}
    values = [next(parts[_type_name(tensor)]) for tensor in tensors]
    if not all(_is_finite(flat) for flat in packed.values()) and any(
        _is_finite(tensor) and not _is_finite(value)
        for tensor, value in zip(tensors, values, strict=True)
    ):
        raise DamagedFileError(f"{path} has numbers that are not finite.")
    for tensor, value in zip(tensors, values, strict=True):
        _flat_view(tensor).copy_(value)


def _is_finite(tensor: Tensor) -> bool:
    return bool(tensor.isfinite().all())


def _type_name(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _flat_view(tensor: Tensor) -> Tensor:
    """All elements in memory order, without a copy."""
    if tensor.dim() == 4 and not tensor.is_contiguous():
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.view(-1)
