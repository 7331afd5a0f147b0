"""Images in files of NumPy (`.npy`): arrays (H, W) or (H, W, C) with any number of channels.

Objects of Python, which such a file may hold, are never read. What becomes of an array is decided
by its `Preprocessing`.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...errors import DataError
from ...sanitize import clean_error
from .preprocessing import Array, as_channels_last

ARRAY_SUFFIXES = (".npy",)
_MAGIC = b"\x93NUMPY"
_READERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def is_array_file(content: bytes | Path) -> bool:
    """Whether a file is one of NumPy, by its first bytes."""
    if isinstance(content, bytes):
        return content.startswith(_MAGIC)
    with content.open("rb") as file:
        return file.read(len(_MAGIC)) == _MAGIC


def read_array(content: bytes | Path) -> Array:
    """The array (H, W, C) of a file.

    Raises:
        ValueError: it is damaged, or no image.
        OSError: it cannot be read.
    """
    read_array_header(content)  # NumPy allocates what the header says before it reads.
    file = io.BytesIO(content) if isinstance(content, bytes) else content
    return as_channels_last(np.load(file, allow_pickle=False))


def read_array_header(content: bytes | Path) -> Array:
    """An array (H, W, C) of the shape and type of that of a file, which takes no memory.

    Raises as `read_array`.
    """
    if isinstance(content, bytes):
        return _read_header(io.BytesIO(content), len(content))
    with content.open("rb") as file:
        return _read_header(file, content.stat().st_size)


def _read_header(file: BinaryIO, size: int) -> Array:
    version = np.lib.format.read_magic(file)
    if version not in _READERS:
        raise ValueError(f"a file of version {version} of NumPy's format")
    shape, _, dtype = _READERS[version](file)
    array = as_channels_last(np.broadcast_to(np.zeros((), dtype), shape))
    if array.size * array.itemsize > size - file.tell():
        raise ValueError("the file is shorter than its header says")
    return array


def count_channels(name: str, arrays: Iterable[tuple[str, bytes | Path]]) -> int | None:
    """The number of channels of the arrays of a data set; None if there are none.

    Args:
        name: of the data set.
        arrays: names and contents of files. Single broken ones are reported when they are decoded.

    Raises:
        DataError: they have different numbers of channels, or none of them is an image.
    """
    counts: Counter[int] = Counter()
    examples: dict[int, str] = {}
    broken: list[str] = []
    for label, content in arrays:
        try:
            channels = read_array_header(content).shape[2]
        except Exception as error:  # Damaged files raise anything.
            broken.append(f"{label} ({clean_error(error)})")
            continue
        counts[channels] += 1
        examples.setdefault(channels, label)
    if len(counts) > 1:
        described = ", ".join(
            f"{count:,} with {channels} (such as {examples[channels]})"
            for channels, count in counts.most_common()
        )
        raise DataError(
            f"the images of {name} have different numbers of channels: {described}; convert them "
            "to one number, or leave some out with --leave-out"
        )
    if broken and not counts:
        raise DataError(f"no array of {name} is an image, such as {broken[0]}")
    return next(iter(counts), None)
