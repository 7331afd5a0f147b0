"""Write the prepared images and labels of a split: `SplitWriter`."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np

from ....errors import DataError
from ..dataset import WEIGHTS_FILE, Images, Labels, Rows, Weights
from ..preprocessing import Preprocessing
from .repeated_images import hash_pixels

_HEADER_BYTES = 128
"""Length of the header that NumPy writes for these arrays."""
_BYTES_PER_WRITE = 2**20
_IMAGES_PER_MOVE = 256
"""Images that are moved at once."""


def reserve_space(file: Path) -> None:
    """Allocate the disk space of a file that was created with its final size.

    Writing through a memory map to a file with holes ends the process with SIGBUS once the disk is
    full, where no exception can be raised.

    Raises:
        OSError: the disk is full, for example.
    """
    size = file.stat().st_size
    with file.open("r+b") as opened:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(opened.fileno(), 0, size)
            return
        # The beginning has NumPy's header already.
        opened.seek(_HEADER_BYTES)
        while opened.tell() < size:
            opened.write(bytes(min(_BYTES_PER_WRITE, size - opened.tell())))


class SplitWriter:
    """Writes the arrays of one split.

    Args:
        scratch: the folder to write to.
        split: the name of the split.
        labels: (N,) of all images of the source's split.
        rows: (n,) which of these images are written, in their order.
        preprocessing: says which shape they have.

    Attributes:
        hashes: (n,) of the pixels; after `close`, of the images that were written.
    """

    def __init__(
        self, scratch: Path, split: str, labels: Labels, rows: Rows, preprocessing: Preprocessing
    ) -> None:
        self.scratch, self.split, self.rows = scratch, split, rows
        self.labels = labels[rows]
        self.written = np.zeros(len(rows), bool)
        self.hashes = np.zeros(len(rows), np.uint64)
        self.file = scratch / f"{split}.images.npy"
        shape = (len(rows), *preprocessing.shape)
        self.images = np.lib.format.open_memmap(self.file, "w+", np.uint8, shape)
        reserve_space(self.file)

    def write(self, index: int, image: Images) -> None:
        """Write the image at a position of `rows`."""
        self.images[index] = image
        self.hashes[index] = hash_pixels(image)
        self.written[index] = True

    def close(self, classes: tuple[str, ...]) -> int:
        """Save the images that were written, and return their number.

        Raises:
            DataError: the split, or a class of the training split, has no image.
        """
        labels = self.labels[self.written]
        counts = np.bincount(labels, minlength=len(classes))
        if not counts.any():
            raise DataError(f"no image of the {self.split} split can be decoded; repair them")
        if self.split == "train" and not counts.all():
            name = classes[int(np.argmin(counts))]
            raise DataError(f"no training image of class {name!r} can be decoded; repair them")
        self.images.flush()
        del self.images
        if not self.written.all():
            self._move_up()
        np.save(self.scratch / f"{self.split}.labels.npy", labels)
        self.hashes = self.hashes[self.written]
        return len(labels)

    def _move_up(self) -> None:
        """Leave the images that were not written out of the file, which may exceed the memory."""
        images = np.load(self.file, mmap_mode="r+")
        kept = np.flatnonzero(self.written)
        for first in range(0, len(kept), _IMAGES_PER_MOVE):
            rows = kept[first : first + _IMAGES_PER_MOVE]
            images[first : first + len(rows)] = images[rows]
        images.flush()
        shape = (len(kept), *images.shape[1:])
        del images
        with self.file.open("r+b") as opened:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(opened, header)
            opened.truncate(_HEADER_BYTES + math.prod(shape))

    def write_weights(self, weights: Weights, classes: tuple[str, ...]) -> None:
        """Save the weights of the images that were written, with a mean of 1.

        Args:
            weights: of all images of the source's split.
            classes: names of the classes.

        Raises:
            DataError: a class has no image whose weight is above 0.
        """
        chosen = weights[self.rows[self.written]]
        chosen = chosen / (chosen.max() or 1)  # The sum of very large ones would be infinite.
        by_class = np.bincount(self.labels[self.written], chosen, len(classes))
        if not by_class.all():
            name = classes[int(np.argmin(by_class))]
            raise DataError(
                f"all training images of class {name!r} have the weight 0, so that it could not be "
                "learned; give some of them a weight above 0"
            )
        np.save(self.scratch / WEIGHTS_FILE, chosen / chosen.mean())
