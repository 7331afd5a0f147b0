"""Read prepared images by their numbers, from the file behind the array.

Prepared images are mapped into memory. If the disk fails, or the file has been cut off, touching
such a map ends the process with SIGBUS. Reading the file raises an exception instead, adds nothing
to the memory of the process, and lets its other threads run meanwhile.
"""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

import numpy as np

from ....errors import DataError
from ..dataset import Images, Rows


def read_images(images: Images, numbers: Rows, out: Images) -> None:
    """Copy images into an array.

    Args:
        images: uint8 (N, H, W, C), mapped by `open_data`, or any other array.
        numbers: which of them, (n,).
        out: uint8 (n, H, W, C), contiguous.

    Raises:
        DataError: the file of the images is gone, has been cut off, or cannot be read.
    """
    file = _mapped_file(images)
    if file is None:
        np.take(images, numbers, axis=0, out=out, mode="clip")  # Other modes copy once more.
        return
    path, offset = file
    image_bytes = math.prod(images.shape[1:])
    content = out.reshape(-1).data
    parts = [
        (
            offset + int(numbers[begin]) * image_bytes,
            content[begin * image_bytes : end * image_bytes],
        )
        for begin, end in _runs(numbers)
    ]
    try:
        with path.open("rb", buffering=0) as opened:
            _announce(opened.fileno(), parts)
            for position, part in parts:
                opened.seek(position)
                _read_into(opened, part)
    except (OSError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(
            f"the prepared images in {path} cannot be read ({reason}); start again, what is gone "
            "or damaged is rebuilt"
        ) from error


def _read_into(opened: FileIO, part: memoryview) -> None:
    """Fill a part of an array; EOFError if the file ends before."""
    while part:
        if not (count := opened.readinto(part)):
            raise EOFError("the file has been cut off")
        part = part[count:]


def _mapped_file(images: Images) -> tuple[Path, int] | None:
    """The file of an array that maps a whole file, and where its images begin in it."""
    is_whole_file = isinstance(images, np.memmap) and isinstance(images.base, mmap.mmap)
    name = getattr(images, "filename", None)  # A map may have none.
    return (Path(name), getattr(images, "offset", 0)) if is_whole_file and name else None


def _runs(numbers: Rows) -> Iterator[tuple[int, int]]:
    """The ranges of positions whose numbers are consecutive: they are read at once."""
    begins = [0, *(np.flatnonzero(np.diff(numbers) != 1) + 1).tolist()]
    ranges = zip(begins, [*begins[1:], len(numbers)], strict=True)
    return ((begin, end) for begin, end in ranges if begin < end)


def _announce(descriptor: int, parts: list[tuple[int, memoryview]]) -> None:
    """Let the system read all parts from the disk at once, where it can do that."""
    if hasattr(os, "posix_fadvise"):
        with suppress(OSError):
            for position, part in parts:
                os.posix_fadvise(descriptor, position, len(part), os.POSIX_FADV_WILLNEED)
