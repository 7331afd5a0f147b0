"""Hashes of the content of images, so that a change is noticed that names, sizes and dates hide.

An image is hashed when it is read, by the thread that decodes it. The hashes are kept in the cache,

    <cache>/hashes/<key>.npz    names, facts, hashes and times of the images of one source

beside what the system says of their files: size, inode, device, and the times of the last change.
An image is read again only where these facts differ. Two files that exchange their names have
other inodes and another time of their last status change (`ctime`), also if sizes and dates are the
same. A change within the resolution of a file system's clock leaves no trace, so a file that was
changed just before it was listed is hashed again the next time, as Git does with its index.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...cache_folders import cache_folder
from ...files import atomic_write
from .dataset import Rows, SplitName

Hashes = npt.NDArray[np.uint64]
"""One number for each image: the first 8 bytes of the SHA-256 of its content."""
Facts = npt.NDArray[np.int64]
"""(N, 5): size, time of modification, time of the status change (ns), inode and device."""
MAX_HASHED_BYTES = 2**31
"""A larger file has no hash: it is no image that can be used, and may have holes of any size."""
NUM_FACTS = 5
_MAX_FACT = 2**63 - 1
STATUS_CHANGE = 2
"""The column of `Facts` with the time of the last status change, ns."""
UNKNOWN_HASH = 0
UNREADABLE_HASH = 1
"""The hash of an image that cannot be read."""
CLOCK_RESOLUTION_NS = 2 * 10**9
"""The coarsest clock of a common file system, that of FAT."""
_UNREADABLE_CACHE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


def hash_content(content: bytes) -> int:
    """The hash of the content of an image; never one of the reserved numbers."""
    number = int.from_bytes(hashlib.sha256(content).digest()[:8], "big")
    return max(number, UNREADABLE_HASH + 1)


def hash_file(content: bytes | Path) -> int:
    """The hash of an image, from its content or its path.

    `UNREADABLE_HASH` if it is not there, or larger than `MAX_HASHED_BYTES`.
    """
    if isinstance(content, bytes):
        return hash_content(content)
    try:
        with content.open("rb") as file:
            if os.fstat(file.fileno()).st_size > MAX_HASHED_BYTES:
                return UNREADABLE_HASH
            digest = hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return UNREADABLE_HASH
    return max(int.from_bytes(digest[:8], "big"), UNREADABLE_HASH + 1)


def file_facts(status: os.stat_result) -> tuple[int, ...]:
    """What the system says of a file, as a row of `Facts`."""
    return (
        status.st_size & _MAX_FACT,
        status.st_mtime_ns & _MAX_FACT,
        status.st_ctime_ns & _MAX_FACT,
        status.st_ino & _MAX_FACT,
        status.st_dev & _MAX_FACT,
    )


@dataclass(frozen=True, eq=False)
class ListedImages:
    """The images of one split of a source, in the order of its labels.

    Attributes:
        names: N different names, which stay the same if the source is moved.
        facts: (N, 5), of the files that hold the images.
    """

    names: Sequence[str]
    facts: Facts


class ImageHashes:
    """The hashes of a source's images, as far as they are known.

    Args:
        place: where the source is; its cache belongs to that place.
        images: those of each split of the source.
        listed_ns: the time at which the facts were read, or an earlier one, ns since 1970.
    """

    def __init__(
        self, place: str, images: Mapping[SplitName, ListedImages], listed_ns: int
    ) -> None:
        self._place, self._images, self._listed_ns = place, images, listed_ns
        self._hashes = {
            split: np.full(len(listed.names), UNKNOWN_HASH, np.uint64)
            for split, listed in images.items()
        }
        self._times = {
            split: np.full(len(listed.names), listed_ns, np.int64)
            for split, listed in images.items()
        }
        self.was_read_before = self._load()

    @classmethod
    def of_known(
        cls, names: Mapping[SplitName, Sequence[str]], hashes: Mapping[SplitName, Hashes]
    ) -> ImageHashes:
        """Hashes that are known already and are not kept in the cache.

        Args:
            names: of the images of each split.
            hashes: (N,) of each split; `UNKNOWN_HASH` where one is not known.
        """
        images = {
            split: ListedImages(listed, np.zeros((len(listed), NUM_FACTS), np.int64))
            for split, listed in names.items()
        }
        known = cls("", images, 0)
        for split, numbers in hashes.items():
            known._hashes[split][:] = numbers
        return known

    def names(self, split: SplitName) -> Sequence[str]:
        """The names of a split's images, in the order of its labels."""
        return self._images[split].names

    @property
    def splits(self) -> tuple[SplitName, ...]:
        """The splits of the source."""
        return tuple(self._images)

    def of(self, split: SplitName) -> Hashes:
        """The hashes (N,) of a split; `UNKNOWN_HASH` for images that were not read."""
        return self._hashes[split]

    def unknown_rows(self, split: SplitName, rows: Rows) -> Rows:
        """Those of some rows of a split whose hash is not known."""
        unknown: Rows = rows[self._hashes[split][rows] == UNKNOWN_HASH]
        return unknown

    def record(self, split: SplitName, row: int, number: int) -> None:
        """Record the hash of an image that was read after the listing.

        Args:
            split: of the source.
            row: of the image in this split.
            number: the hash.
        """
        self._hashes[split][row] = number
        self._times[split][row] = self._listed_ns

    def save(self) -> None:
        """Keep what is known in the cache. A cache that cannot be written is left as it is."""
        if not self._place:
            return
        names, facts, hashes, times = [], [], [], []
        for split, listed in self._images.items():
            known = np.flatnonzero(self._hashes[split] > UNREADABLE_HASH)
            names += [f"{split}/{listed.names[row]}" for row in known.tolist()]
            facts.append(listed.facts[known])
            hashes.append(self._hashes[split][known])
            times.append(self._times[split][known])
        file = _file_of(self._place)
        with suppress(OSError), atomic_write(file) as draft, draft.open("wb") as opened:
            np.savez(
                opened,
                names=encode_names(names),
                facts=np.concatenate(facts),
                hashes=np.concatenate(hashes),
                times=np.concatenate(times),
            )

    def _load(self) -> bool:
        """Take the hashes of unchanged files from the cache; whether it has any of this source."""
        if not self._place:
            return False
        try:
            with np.load(_file_of(self._place), allow_pickle=False) as stored:
                names, facts, hashes, times = (
                    stored[name] for name in ("names", "facts", "hashes", "times")
                )
            numbers = {name: number for number, name in enumerate(decode_names(names))}
            if not len(numbers) == len(facts) == len(hashes) == len(times):
                return False
        except _UNREADABLE_CACHE:
            return False
        # A file that was changed just before it was listed may have been changed once more.
        is_past_resolution = facts[:, STATUS_CHANGE] + CLOCK_RESOLUTION_NS < times
        for split, listed in self._images.items():
            stored_rows = np.array(
                [numbers.get(f"{split}/{name}", -1) for name in listed.names], np.int64
            )
            rows = np.flatnonzero(stored_rows >= 0)
            earlier = stored_rows[rows]
            is_same = is_past_resolution[earlier] & (facts[earlier] == listed.facts[rows]).all(
                axis=1
            )
            self._hashes[split][rows[is_same]] = hashes[earlier[is_same]]
            self._times[split][rows[is_same]] = times[earlier[is_same]]
        return True


def encode_names(names: Iterable[str]) -> npt.NDArray[np.uint8]:
    """Names as an array of bytes; `decode_names` is the inverse."""
    return np.frombuffer("\0".join(names).encode("utf-8", "surrogatepass"), np.uint8)


def decode_names(encoded: npt.NDArray[np.uint8]) -> list[str]:
    """The names that `encode_names` wrote."""
    if not len(encoded):
        return []
    return bytes(encoded.tobytes()).decode("utf-8", "surrogatepass").split("\0")


def _file_of(place: str) -> Path:
    key = hashlib.sha256(place.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return cache_folder("hashes") / f"{key}.npz"
