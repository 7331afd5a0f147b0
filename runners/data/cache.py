"""Prepared data: decoded and split once, kept as uint8 arrays, shared by all workers.

    <cache>/data/<key>/  train.images.npy  train.labels.npy  val.…  test.…  info.json
    <cache>/looks/<key>.json  what a look at a source showed: a large archive is read through for it

The key is a digest of the source's identity (path, sizes and times of its files) and of the fields
of the recipe that choose the pictures. A folder appears whole, by a rename, so several processes
may prepare the same data at once; one that is damaged is made again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...cache_folders import cache_folder, cache_root
from ...errors import DataError
from ...files import atomic_write
from ..recipe import Recipe
from .dataset import SPLITS, DataInfo, Dataset, SourceInfo, Split
from .prepare import Progress, build, usual_crop
from .resolve import open_source
from .source import DataSource

_FORMAT = 1  # raise it when prepared data changes its meaning


def inspect_data(spec: str) -> SourceInfo:
    """A look at `--data spec`, before there is a recipe: classes, sizes, what suits it.

    DataError if there is nothing of that name, or nothing to learn from.
    """
    source = open_source(spec)
    kept = cache_folder("sources") / f"{_digest([_FORMAT, source.identity])}.json"
    info = _read_look(kept)
    if info is None:
        counts, size = source.counts(), source.default_size
        info = SourceInfo(
            name=source.name,
            classes=source.classes,
            native_size=source.native_size,
            image_size=size,
            counts=counts,
            flip=source.flip,
            crop=usual_crop(source, size),
        )
        with suppress(OSError):  # whoever prepares the data will hear of it
            _keep_look(info, kept)
    return info


def prepare_data(recipe: Recipe, progress: Progress | None = None) -> DataInfo:
    """Decode and split the recipe's data into the cache; quick if it is there already.

    DataError if the source cannot be used, and for a picture that cannot be decoded unless
    `recipe.skip_broken`.
    """
    source = open_source(recipe.data)
    folder = cache_folder("data") / _key(source, recipe)
    info = _read_info(folder)
    if info is not None:
        return info
    with _scratch(folder) as scratch:
        return build(source, recipe, scratch, folder, progress)


def open_data(info: DataInfo) -> Dataset:
    """Map prepared data into memory, read-only; DataError if it has been deleted meanwhile."""
    try:
        train, val, test = (
            Split(
                np.load(info.folder / f"{split}.images.npy", mmap_mode="r"),
                np.load(info.folder / f"{split}.labels.npy"),
            )
            for split in SPLITS
        )
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"the prepared data in {info.folder} is gone or damaged; start again, it is rebuilt"
        ) from error
    return Dataset(
        name=info.name,
        classes=info.classes,
        train=train,
        val=val,
        test=test,
        mean=info.mean,
        std=info.std,
        flip=info.flip,
        crop=info.crop,
        broken=info.broken,
    )


def load_data(recipe: Recipe, progress: Progress | None = None) -> Dataset:
    """Prepare the recipe's data if need be, and open it."""
    return open_data(prepare_data(recipe, progress))


def _key(source: DataSource, recipe: Recipe) -> str:
    fields = ("image_size", "train_limit", "val_fraction", "data_seed", "skip_broken")
    return _digest([_FORMAT, source.identity, *(getattr(recipe, field) for field in fields)])


def _digest(chosen: list[Any]) -> str:
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()[:24]


def _read_look(file: Path) -> SourceInfo | None:
    try:
        found = json.loads(file.read_text("utf-8"))
        return SourceInfo(**{**found, "classes": tuple(found["classes"])})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _keep_look(info: SourceInfo, file: Path) -> None:
    with atomic_write(file) as part:
        part.write_text(json.dumps(asdict(info)), "utf-8")


def _read_info(folder: Path) -> DataInfo | None:
    """What was prepared in a folder; None if it is absent or damaged."""
    try:
        info = DataInfo.from_json(json.loads((folder / "info.json").read_text("utf-8")))
        info = replace(info, folder=folder)  # the cache may have been moved
        data = open_data(info)
        splits = zip(SPLITS, (data.train, data.val, data.test), strict=True)
        shape = (info.image_size, info.image_size, 3)
        for name, split in splits:
            if split is None or split.images.shape != (info.counts[name], *shape):
                return None
            if split.labels.shape != (info.counts[name],):
                return None
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None
    return info


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder to build in, which takes the place of `folder` at the end, or disappears."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _sweep(folder.parent)
        scratch = Path(tempfile.mkdtemp(prefix="tmp-", dir=folder.parent))
    except OSError as error:
        raise _unwritable(error) from error
    try:
        yield scratch
        _replace(scratch, folder)
    except OSError as error:
        raise _unwritable(error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _replace(scratch: Path, folder: Path) -> None:
    try:
        scratch.rename(folder)
    except OSError:
        if _read_info(folder) is not None:
            return  # another process was first, with the same content
        # What lies there is damaged. It is moved away first: a rename replaces no full folder.
        if folder.exists():
            folder.rename(scratch.with_suffix(".damaged"))
            shutil.rmtree(scratch.with_suffix(".damaged"), ignore_errors=True)
        scratch.rename(folder)


def _sweep(parent: Path) -> None:
    """Remove what killed processes left behind, a day later."""
    for left in parent.glob("tmp-*"):
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)


def _unwritable(error: OSError) -> DataError:
    return DataError(
        f"cannot write prepared data to {cache_root()} ({error.strerror or error}); "
        "set ATTENTUNE_CACHE to a folder with room that can be written"
    )
