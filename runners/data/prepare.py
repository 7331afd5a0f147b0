"""Decode a source's pictures into arrays: the one slow step, done once for a study."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ...errors import DataError
from ..recipe import Recipe
from .dataset import DataInfo, Images, Labels, Rgb, SplitName
from .images import BrokenImage
from .source import DataSource, Integers
from .splits import plan_splits

Progress = Callable[[int, int], None]
"""Called now and then with (pictures done, pictures in all)."""

_SHOWN = 256  # pictures between two calls of progress
_CHUNK = 256


def build(
    source: DataSource,
    recipe: Recipe,
    scratch: Path,
    folder: Path,
    progress: Progress | None = None,
) -> DataInfo:
    """Write `<split>.images.npy`, `<split>.labels.npy` and `info.json` into `scratch`.

    `folder` is where the caller will put them. DataError if the data cannot be used.
    """
    labels = source.labels()
    plan = plan_splits(labels, source.classes, recipe)
    shelves = {
        split: _Shelf(scratch, split, labels[selection.split], selection.rows, recipe.image_size)
        for split, selection in plan.selections.items()
    }
    meter = _Meter(sum(len(shelf.rows) for shelf in shelves.values()), progress)
    broken: list[str] = []
    for origin in labels:
        # One pass over each split of the source, whatever is dealt from it: archives are slow.
        fed = [
            shelves[split] for split, chosen in plan.selections.items() if chosen.split == origin
        ]
        broken += _fill(fed, source, origin, recipe, meter)
    counts: dict[str, int] = {
        split: shelf.close(source.classes) for split, shelf in shelves.items()
    }
    mean, std = moments(np.load(scratch / "train.images.npy", mmap_mode="r"))
    info = DataInfo(
        name=source.name,
        classes=source.classes,
        image_size=recipe.image_size,
        counts=counts,
        held_out=plan.held_out,
        mean=mean,
        std=std,
        flip=source.flip,
        crop=usual_crop(source, recipe.image_size),
        folder=folder,
        broken=tuple(broken),
    )
    (scratch / "info.json").write_text(json.dumps(info.to_json()), "utf-8")
    return info


def usual_crop(source: DataSource, size: int) -> int:
    """Pixels of shift: what the source says, or an eighth of the side, as is usual on CIFAR."""
    return size // 8 if source.crop is None else source.crop


def moments(images: Images) -> tuple[Rgb, Rgb]:
    """Mean and deviation of every channel of (N, H, W, 3), in [0, 1]; deviations at least 1/255."""
    total, squares = np.zeros(3), np.zeros(3)
    for start in range(0, len(images), _CHUNK):
        pixels = images[start : start + _CHUNK].reshape(-1, 3).astype(np.float32)
        total += pixels.sum(0, dtype=np.float64)
        squares += np.square(pixels).sum(0, dtype=np.float64)
    count = max(1, images.size // 3)
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1))
    return _rgb(mean / 255), _rgb(std / 255)


class _Meter:
    """Counts pictures and tells the caller now and then."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.done, self.total, self.progress = 0, total, progress

    def step(self) -> None:
        self.done += 1
        if self.progress and (self.done % _SHOWN == 0 or self.done == self.total):
            self.progress(self.done, self.total)


class _Shelf:
    """The arrays of one split, while they are filled."""

    def __init__(
        self, scratch: Path, split: str, labels: Labels, rows: Integers, side: int
    ) -> None:
        self.scratch, self.split, self.rows = scratch, split, rows
        self.labels = labels[rows]
        self.kept = np.zeros(len(rows), bool)
        self.file = scratch / f"{split}.images.npy"
        shape = (len(rows), side, side, 3)
        self.images = np.lib.format.open_memmap(self.file, "w+", np.uint8, shape)

    def put(self, place: int, picture: Images) -> None:
        self.images[place] = picture
        self.kept[place] = True

    def close(self, classes: tuple[str, ...]) -> int:
        """Save what was put; how many. DataError if a class or the split is left without."""
        labels = self.labels[self.kept]
        counts = np.bincount(labels, minlength=len(classes))
        if not counts.any():
            raise DataError(f"no picture of the {self.split} split can be decoded; repair them")
        if self.split == "train" and not counts.all():
            name = classes[int(np.argmin(counts))]
            raise DataError(f"no training picture of class {name!r} can be decoded; repair them")
        self.images.flush()
        del self.images
        if not self.kept.all():
            np.save(self.file, np.load(self.file)[self.kept])
        np.save(self.scratch / f"{self.split}.labels.npy", labels)
        return len(labels)


def _fill(
    shelves: list[_Shelf], source: DataSource, origin: SplitName, recipe: Recipe, meter: _Meter
) -> list[str]:
    """Put the pictures onto their shelves; the names of those that cannot be decoded."""
    if not shelves:
        return []
    rows = np.concatenate([shelf.rows for shelf in shelves])
    owners = [(shelf, place) for shelf in shelves for place in range(len(shelf.rows))]
    broken: list[str] = []
    seen = 0
    for place, picture in source.pictures(origin, rows, recipe.image_size):
        seen += 1
        meter.step()
        if not isinstance(picture, BrokenImage):
            shelf, where = owners[place]
            shelf.put(where, picture)
        elif recipe.skip_broken:
            broken.append(picture.label)
        else:
            raise DataError(
                f"{picture.label} cannot be decoded ({picture.reason}); repair or remove it, "
                "or leave such pictures out with --skip-broken"
            )
    if seen != len(rows):
        raise DataError(f"{source.name} changed while it was read; start again")
    return sorted(broken)


def _rgb(values: npt.NDArray[np.float64]) -> Rgb:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
