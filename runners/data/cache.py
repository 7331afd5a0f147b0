"""The cache of prepared data: decoded and split once, stored as uint8 arrays for all workers.

    <cache>/data/<key>/          train.images.npy  train.labels.npy  val.…  test.…  info.json
    <cache>/sources/<key>.json   the `SourceInfo` of a source, which for a tar takes a whole pass

The key is a digest of the source's fingerprint and of the recipe's fields that determine the
images: the preprocessing and the splits. A folder is built under another name and then renamed, so
several processes may prepare the same data at once. A folder that is damaged is built again:
checksums cover all of its files. Those of the images, which may be many gigabytes, are verified
once for a run of a study.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ...cache_folders import (
    ABANDONED_AFTER_SECONDS,
    cache_folder,
    cache_root,
    read_cached_json,
    write_cached_json,
)
from ...errors import DataError
from ...files import make_folder, replace_folder
from ..recipe import Recipe
from .dataset import SPLITS, DataInfo, Dataset, SourceInfo, Split
from .prepare import Progress, compute_checksum, default_crop, prepare_arrays
from .preprocessing import ValueRange
from .resolve import describe_choice, open_source
from .source import DataSource, SourceOptions

_FORMAT = 1
"""Part of every key. Raise it when the meaning of prepared data changes."""
_FIRST_FIELDS = ("image_size", "train_limit", "val_fraction", "data_seed", "skip_broken")
_ADDED_FIELDS = ("fit", "interpolation", "value_range", "fold")
"""Fields that are part of a key where they differ from their defaults, with which the images are
those of the versions before there were these fields."""
_KEY_DIGITS = 24
_KEY = re.compile(rf"[0-9a-f]{{{_KEY_DIGITS}}}", re.ASCII)


def inspect_data(spec: str, options: SourceOptions = SourceOptions()) -> SourceInfo:  # noqa: B008
    """Classes, sizes and suitable settings of the data source `spec`, before there is a recipe.

    Args:
        spec: the text of `--data`; see `resolve.open_source`.
        options: how it is read.

    Raises:
        DataError: there is no such source, or it has no images to train on.
    """
    source = open_source(spec, options)
    file = cache_folder("sources") / f"{_digest([_FORMAT, source.listing_fingerprint])}.json"
    info = _read_source_info(file)
    if info is None:
        counts, size = source.count_images(), source.default_size
        info = SourceInfo(
            name=source.name,
            classes=source.classes,
            native_size=source.native_size,
            image_size=size,
            counts=counts,
            flip=source.flip,
            crop=default_crop(source, size),
            remarks=source.remarks,
            value_range=source.measure_value_range(),
        )
        # A cache that cannot be written is reported when the data are prepared.
        with suppress(OSError):
            write_cached_json(file, asdict(info))
    choice = describe_choice(spec)
    return info if choice is None else replace(info, remarks=(choice, *info.remarks))


def prepare_data(
    recipe: Recipe, progress: Progress | None = None, *, verify: bool = False
) -> DataInfo:
    """Decode and split the recipe's data into the cache, unless it is there already.

    Args:
        recipe: chooses the source, the preprocessing and the splits.
        progress: called with the number of images done and of all images.
        verify: read prepared images to the end, and prepare them again if they are damaged.

    Raises:
        DataError: the source cannot be used, or an image cannot be decoded and the recipe does not
            have `skip_broken`.
    """
    source = open_source(recipe.data, SourceOptions.of(recipe))
    folder = cache_folder("data") / _cache_key(source, recipe)
    info = _read_info(folder)
    if info is None or (verify and _has_damaged_images(info)):
        with _scratch_folder(folder) as scratch:
            info = prepare_arrays(source, recipe, scratch, folder, progress)
    return _with_normalisation(info, recipe)


def _with_normalisation(info: DataInfo, recipe: Recipe) -> DataInfo:
    """Prepared data with the recipe's mean and deviation in place of those of the images."""
    if recipe.normalisation is None:
        return info
    mean, std = recipe.normalisation
    return replace(info, preprocessing=replace(info.preprocessing, mean=mean, std=std))


def find_prepared_data(key: str) -> DataInfo | None:
    """Data that were prepared before, by their `DataInfo.key`; None if they are not in the cache.

    Nothing is decoded, and the source is not needed.
    """
    if not _KEY.fullmatch(key):
        return None
    return _read_info(cache_folder("data") / key)


def open_data(info: DataInfo) -> Dataset:
    """Map prepared data into memory, read-only.

    Raises:
        DataError: it has been deleted or damaged since it was prepared.
    """
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
        preprocessing=info.preprocessing,
        flip=info.flip,
        crop=info.crop,
        broken=info.broken,
    )


def load_data(recipe: Recipe, progress: Progress | None = None) -> Dataset:
    """Prepare the recipe's data if necessary, and open it; raises as `prepare_data`."""
    return open_data(prepare_data(recipe, progress))


def _cache_key(source: DataSource, recipe: Recipe) -> str:
    facts = recipe.identity_facts()
    added = {field: facts[field] for field in _ADDED_FIELDS if field in facts}
    return _digest(
        [
            _FORMAT,
            source.fingerprint,
            *(facts[field] for field in _FIRST_FIELDS),
            *([added] if added else []),
        ]
    )


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:_KEY_DIGITS]


def _read_source_info(file: Path) -> SourceInfo | None:
    """What the cache has about a source; None if the file is absent or damaged."""
    fields = read_cached_json(file)
    try:
        value_range = fields["value_range"] and ValueRange(*fields["value_range"])
        lists = {name: tuple(fields[name]) for name in ("classes", "remarks")}
        return SourceInfo(**{**fields, **lists, "value_range": value_range})
    except (KeyError, TypeError):
        return None


def _read_info(folder: Path) -> DataInfo | None:
    """The prepared data in a folder; None if it is absent or damaged, apart from its images."""
    try:
        content = read_cached_json(folder / "info.json")
        info = replace(DataInfo.from_json(content), folder=folder)  # The cache may have been moved.
        data = open_data(info)
        splits = zip(SPLITS, (data.train, data.val, data.test), strict=True)
        shape = (info.image_size, info.image_size, 3)
        for name, split in splits:
            labels = folder / f"{name}.labels.npy"
            if split is None or split.images.shape != (info.counts[name], *shape):
                return None
            if split.labels.shape != (info.counts[name],) or split.images.dtype != np.uint8:
                return None
            if compute_checksum(labels) != info.checksums[labels.name]:
                return None
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None
    return info


def _has_damaged_images(info: DataInfo) -> bool:
    """Whether the files of images are not those that were written."""
    try:
        return any(
            _checksum_of(file, file.stat().st_mtime_ns) != info.checksums[file.name]
            for file in (info.folder / f"{split}.images.npy" for split in SPLITS)
        )
    except (OSError, KeyError):
        return True


@lru_cache(maxsize=16)
def _checksum_of(file: Path, modified: int) -> int:
    del modified  # It only tells a file from one that replaces it.
    return compute_checksum(file)


@contextmanager
def _scratch_folder(folder: Path) -> Iterator[Path]:
    """A folder to build in. It becomes `folder` if the block succeeds; otherwise it is deleted."""
    try:
        make_folder(folder.parent)
        _delete_abandoned_folders(folder.parent)
        scratch = Path(tempfile.mkdtemp(prefix="tmp-", dir=folder.parent))
    except OSError as error:
        raise _unwritable(error) from error
    try:
        yield scratch
        _move_into_place(scratch, folder)
    except OSError as error:
        raise _unwritable(error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _move_into_place(scratch: Path, folder: Path) -> None:
    try:
        replace_folder(scratch, folder)
    except OSError:
        info = _read_info(folder)
        if info is not None and not _has_damaged_images(info):
            return  # Another process was first, with the same content.
        # The folder there is damaged. It is moved away first, because a rename cannot replace a
        # folder that is not empty.
        if folder.exists():
            damaged = scratch.with_suffix(".damaged")
            folder.rename(damaged)
            shutil.rmtree(damaged, ignore_errors=True)
        replace_folder(scratch, folder)


def _delete_abandoned_folders(parent: Path) -> None:
    """Delete the folders under construction that killed processes have left, a day later."""
    for scratch in parent.glob("tmp-*"):
        if time.time() - scratch.stat().st_mtime > ABANDONED_AFTER_SECONDS:
            shutil.rmtree(scratch, ignore_errors=True)


def _unwritable(error: OSError) -> DataError:
    return DataError(
        f"cannot write prepared data to {cache_root()} ({error.strerror or error}); "
        "set ATTENTUNE_CACHE to a writable folder with enough space"
    )
