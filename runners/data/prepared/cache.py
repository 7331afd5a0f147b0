"""The cache of prepared data: decoded and split once, stored as uint8 arrays for all workers.

    <cache>/data/<key>/          train.images.npy  train.labels.npy  val.…  test.…  images.npz
                                 info.json  verified.json (see `verified_files`)

The key of prepared data is a digest of the content of the images, of their splits, and of the
settings that determine what is made of them. So data that were moved have the same key, and images
that were exchanged have another one.

A folder is built under another name and then renamed, so several processes may prepare the same
data at once. A folder that is damaged is built again: checksums cover all of its files. Those of
the images are verified once for a run of a study, and those of many gigabytes less often.
"""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from ....cache_folders import (
    ABANDONED_AFTER_SECONDS,
    cache_folder,
    cache_root,
    read_cached_json,
)
from ....errors import DataError
from ....files import make_folder, replace_folder
from ...recipe import Recipe
from ..dataset import SPLITS, WEIGHTS_FILE, DataInfo, Dataset, Split
from ..sources.resolve import open_source
from ..sources.source import DataSource, SourceOptions
from .known_sources import earlier_key, recall_prepared_key, remember_prepared_key
from .prepare import (
    Preparation,
    Progress,
    compute_checksum,
    prepare_arrays,
)
from .record import IMAGES_FILE, KEY_DIGITS
from .splits import SplitPlan, plan_splits
from .verified_files import has_damaged_images, record_verified_files

_KEY = re.compile(rf"[0-9a-f]{{{KEY_DIGITS}}}", re.ASCII)


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
    known_key = recall_prepared_key(source, recipe)
    info = None if known_key is None else find_prepared_data(known_key)
    if info is None or (verify and has_damaged_images(info)):
        preparation = Preparation(source, plan_source(source, recipe), recipe)
        info = prepare_images(preparation, progress, verify=verify)
        remember_prepared_key(source, recipe, info.key)
    return with_normalisation(info, recipe)


def with_normalisation(info: DataInfo, recipe: Recipe) -> DataInfo:
    """Prepared data with the recipe's mean and deviation in place of those of the images."""
    if recipe.normalisation is None:
        return info
    mean, std = recipe.normalisation
    return replace(info, preprocessing=replace(info.preprocessing, mean=mean, std=std))


def prepare_images(
    preparation: Preparation, progress: Progress | None = None, *, verify: bool = False
) -> DataInfo:
    """Decode images into the cache, unless the same content is there already.

    Args:
        preparation: which images, and how.
        progress: called with the number of images done and of all images.
        verify: read prepared images to the end, and prepare them again if they are damaged.

    Raises:
        DataError: as `prepare_data`.
    """
    expected, hashes = preparation.key, preparation.source.hashes
    if preparation.key is None and hashes.was_read_before:
        # Few images have changed since then, so that reading them may save decoding all.
        preparation.read_hashes()
    if preparation.key is None and preparation.knows_hashes:
        hashes.save()
        expected = preparation.content_key
    info = None if expected is None else find_prepared_data(expected)
    if info is not None and not (verify and has_damaged_images(info)):
        return info
    with scratch_folder() as scratch:
        info = prepare_arrays(preparation, scratch, progress)
        move_into_place(scratch, info.folder)
    record_verified_files(info)
    hashes.save()
    return info


def plan_source(source: DataSource, recipe: Recipe) -> SplitPlan:
    """The splits of a source that a recipe asks for; raises as `plan_splits`."""
    return plan_splits(source.read_labels(), source.classes, recipe, source.read_groups())


def prepare_unrecorded_data(
    recipe: Recipe, progress: Progress | None = None, *, verify: bool = False
) -> DataInfo:
    """`prepare_data` for a study of attentune 0.1, under the key that its trials have recorded.

    Args:
        recipe: of the study.
        progress: called with the number of images done and of all images.
        verify: read prepared images to the end, and prepare them again if they are damaged.

    Raises:
        DataError: as `prepare_data`.
    """
    source = open_source(recipe.data, SourceOptions.of(recipe))
    key = earlier_key(source, recipe)
    info = find_prepared_data(key)
    if info is None or (verify and has_damaged_images(info)):
        preparation = Preparation(source, plan_source(source, recipe), recipe, key)
        info = prepare_images(preparation, progress, verify=verify)
    return with_normalisation(info, recipe)


def prepared_data_folder() -> Path:
    """The part of the cache in which each folder holds prepared data, by their key."""
    return cache_folder("data")


def find_prepared_data(key: str) -> DataInfo | None:
    """Data that were prepared before, by their `DataInfo.key`; None if they are not in the cache.

    Nothing is decoded, and the source is not needed.
    """
    if not _KEY.fullmatch(key):
        return None
    return _read_info(prepared_data_folder() / key)


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
        if WEIGHTS_FILE in info.checksums:
            train = replace(train, weights=np.load(info.folder / WEIGHTS_FILE))
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


def load_data(recipe: Recipe, progress: Progress | None = None, key: str | None = None) -> Dataset:
    """Prepare the recipe's data if necessary, and open it.

    Args:
        recipe: chooses the source, the image size and the splits.
        progress: called with the number of images done and of all images.
        key: of the prepared data, if they were prepared before. The source is opened only if they
            are no longer in the cache.

    Raises:
        DataError: as `prepare_data`; or the source has changed since it was prepared.
    """
    info = None if key is None else find_prepared_data(key)
    if info is None:
        info = prepare_data(recipe, progress)
        if key not in (None, info.key):
            raise DataError(
                f"the prepared images are no longer in the cache, and the images in {recipe.data} "
                "are not those that the study was searched on; resume the study to see what has "
                "changed"
            )
    return open_data(with_normalisation(info, recipe))


def _read_info(folder: Path) -> DataInfo | None:
    """The prepared data in a folder; None if it is absent or damaged, apart from its images."""
    try:
        content = read_cached_json(folder / "info.json")
        info = replace(DataInfo.from_json(content), folder=folder)  # The cache may have been moved.
        data = open_data(info)
        splits = zip(SPLITS, (data.train, data.val, data.test), strict=True)
        for name, split in splits:
            labels = folder / f"{name}.labels.npy"
            if split is None or split.images.shape != (
                info.counts[name],
                *info.preprocessing.shape,
            ):
                return None
            if split.labels.shape != (info.counts[name],) or split.images.dtype != np.uint8:
                return None
            if compute_checksum(labels) != info.checksums[labels.name]:
                return None
        for file in (folder / IMAGES_FILE, folder / WEIGHTS_FILE):
            checksum = info.checksums.get(file.name)  # Neither is always there.
            if checksum is not None and checksum != compute_checksum(file):
                return None
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None
    return info


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder to build prepared data in. It is deleted unless the block moves it."""
    parent = prepared_data_folder()
    try:
        make_folder(parent)
        _delete_abandoned_folders(parent)
        scratch = Path(tempfile.mkdtemp(prefix="tmp-", dir=parent))
    except OSError as error:
        raise _unwritable(error) from error
    try:
        yield scratch
    except OSError as error:
        raise _unwritable(error) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def move_into_place(scratch: Path, folder: Path) -> None:
    """Give complete prepared data its name, unless another process has done so meanwhile."""
    try:
        replace_folder(scratch, folder)
    except OSError:
        info = _read_info(folder)
        if info is not None and not has_damaged_images(info):
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
