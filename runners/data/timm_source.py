"""Data sets by timm's names: `torch/cifar10`, `hfds/owner/name`, `hfids/owner/name`, `tfds/name`.

`timm.data.create_dataset` finds, downloads and opens them; here they are only listed and read,
once, into the cache. torchvision's sets have two splits, of which the second is the test; the
others are asked for `validation` and `test`. Sets that can only be streamed are read twice, for
their labels and for their pictures, so that they need not fit into memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from itertools import islice
from statistics import median
from typing import Any

import numpy as np

from ...cache_folders import cache_folder
from ...errors import AttentuneError, DataError
from ...spaces.backbones.timm_compat import import_timm
from .dataset import Images, Labels, SplitName
from .images import BrokenImage, fit
from .source import Integers, mirrors, sensible_size

_SAMPLE = 32
_DOWNLOADS = ("torch", "tfds", "hfids")  # the families that take `download`
_PACKAGES = {"hfds": "datasets", "hfids": "datasets", "tfds": "tensorflow-datasets"}


class TimmSource:
    """A data set that timm opens, as a source; see `source.DataSource`."""

    crop = None

    def __init__(self, spec: str) -> None:
        self.name = spec
        self.identity = f"timm:{spec}"
        self._family = spec.partition("/")[0].lower()

    @cached_property
    def _sets(self) -> dict[SplitName, Any]:
        train = self._open("train")
        if train is None:
            raise DataError(f"{self.name} has no split called 'train'")
        found: dict[SplitName, Any] = {"train": train}
        asked: dict[SplitName, str] = {"val": "validation", "test": "test"}
        if self._family == "torch":
            asked = {"test": "validation"}
        for split, word in asked.items():
            opened = self._open(word)
            if opened is not None:
                found[split] = opened
        return found

    def _open(self, split: str) -> Any | None:
        """timm's data set for one split; None if the set has no such split."""
        root = cache_folder("downloads") / self.name.replace("/", "-")
        try:
            root.mkdir(parents=True, exist_ok=True)
            return import_timm().data.create_dataset(
                self.name, root=str(root), split=split, download=self._family in _DOWNLOADS
            )
        except AttentuneError:
            raise
        except ImportError as error:
            package = _PACKAGES.get(self._family, error.name or "the missing one")
            raise DataError(
                f"{self.name} needs a package that is not installed ({error}); "
                f"pip install {package}"
            ) from error
        except Exception as error:  # every family fails in its own way
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            if split != "train" and isinstance(error, ValueError) and "split" in reason.lower():
                return None
            raise DataError(
                f"{self.name} cannot be loaded ({reason}); check its name and the network, "
                "or give a folder or an archive"
            ) from error

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The set's own class names, or numbers if it has none."""
        train = self._sets["train"]
        reader = getattr(train, "reader", None)
        by_index = getattr(reader, "class_to_idx", None)
        if isinstance(by_index, dict):
            return tuple(map(str, sorted(by_index, key=by_index.__getitem__)))
        names = getattr(train, "classes", None)
        if names:
            return tuple(map(str, names))
        highest = max(int(labels.max(initial=0)) for labels in self._labels.values())
        return tuple(map(str, range(highest + 1)))

    @cached_property
    def native_size(self) -> int:
        """Median of the shorter sides of the first pictures."""
        first = islice(_items(self._sets["train"]), _SAMPLE)
        sides: list[int] = [min(image.size) for image, _ in first]
        if not sides:
            raise DataError(f"{self.name} holds no pictures")
        return round(median(sides))

    @property
    def default_size(self) -> int:
        """The native size, made round, at most 224."""
        return sensible_size(self.native_size)

    @property
    def flip(self) -> bool:
        """Not for sets of characters."""
        return mirrors(self.name, self.classes)

    @cached_property
    def _labels(self) -> dict[SplitName, Labels]:
        return {split: _labels_of(data) for split, data in self._sets.items()}

    def counts(self) -> dict[str, int]:
        """Pictures of every split that is there."""
        return {
            split: len(data) if hasattr(data, "__len__") else len(self._labels[split])
            for split, data in self._sets.items()
        }

    def labels(self) -> dict[SplitName, Labels]:
        """Index of the class of every picture, a split."""
        return self._labels

    def pictures(
        self, split: SplitName, rows: Integers, size: int
    ) -> Iterator[tuple[int, Images | BrokenImage]]:
        """The chosen pictures at size × size, each with its place in `rows`."""
        places = {row: place for place, row in enumerate(rows.tolist())}
        data = self._sets[split]
        if hasattr(data, "__getitem__"):
            for row in sorted(places):
                yield places[row], self._picture(split, row, size)
            return
        for row, (image, _) in enumerate(_items(data)):
            if row in places:
                yield places[row], self._fit(split, row, image, size)

    def _picture(self, split: SplitName, row: int, size: int) -> Images | BrokenImage:
        try:
            image = self._sets[split][row][0]
        except Exception as error:  # decoders raise anything on damaged input
            return BrokenImage(f"{self.name} {split} picture {row}", str(error))
        return self._fit(split, row, image, size)

    def _fit(self, split: SplitName, row: int, image: Any, size: int) -> Images | BrokenImage:
        try:
            return fit(image, size)
        except Exception as error:  # some decode only now
            return BrokenImage(f"{self.name} {split} picture {row}", str(error))


def _items(data: Any) -> Iterator[tuple[Any, Any]]:
    """Pictures and labels in order; not every set with an index can be iterated."""
    if hasattr(data, "__getitem__"):
        return (data[index] for index in range(len(data)))
    return iter(data)


def _labels_of(data: Any) -> Labels:
    """Labels of a split, without decoding its pictures where the set keeps them apart."""
    for name in ("targets", "_labels"):
        kept = getattr(data, name, None)
        if kept is not None:
            return np.asarray(kept, np.int64)
    reader = getattr(data, "reader", None)
    table, key = getattr(reader, "dataset", None), getattr(reader, "label_key", None)
    if table is not None and key is not None and hasattr(table, "column_names"):
        return np.asarray(table[key], np.int64)
    return np.fromiter((int(label) for _, label in _items(data)), np.int64)
