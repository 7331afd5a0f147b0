"""Whether the images of prepared data still are those that were written.

Checksums show what a disk or another program has changed. A run of a study verifies its images
once. For files above `MAX_BYTES_READ_AGAIN` that would take minutes, so these are read to the end
once, and again only if the system says that they have changed since:

    <cache>/data/<key>/verified.json    size, times and inode of the large files that were verified
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from ....cache_folders import read_cached_json, write_cached_json
from ..content_hashes import file_facts
from ..dataset import SPLITS, DataInfo
from .prepare import compute_checksum

MAX_BYTES_READ_AGAIN = 2**30
"""Files up to this size are read in each run, which takes about a second."""
VERIFIED_FILE = "verified.json"


def has_damaged_images(info: DataInfo) -> bool:
    """Whether the files of images are not those that were written."""
    verified = read_cached_json(info.folder / VERIFIED_FILE)
    try:
        large_files = _facts_of_large_files(info)
        for file in _image_files(info):
            facts = large_files.get(file.name)
            is_verified = isinstance(verified, dict) and verified.get(file.name) == facts
            if facts is not None and is_verified:
                continue
            if _checksum_of(file, file.stat().st_mtime_ns) != info.checksums[file.name]:
                return True
    except (OSError, KeyError):
        return True
    if large_files and large_files != verified:
        _write_record(info, large_files)
    return False


def record_verified_files(info: DataInfo) -> None:
    """Remember that the large files of images, as they are now, are those that were written."""
    with suppress(OSError):
        if large_files := _facts_of_large_files(info):
            _write_record(info, large_files)


def _write_record(info: DataInfo, large_files: dict[str, list[int]]) -> None:
    with suppress(OSError):  # Without the record they are read again.
        write_cached_json(info.folder / VERIFIED_FILE, large_files)


def _facts_of_large_files(info: DataInfo) -> dict[str, list[int]]:
    """Size, times and inode of each large file of images, by name.

    The number of the device is left out: it may change when the system starts again.
    """
    statuses = {file.name: file.stat() for file in _image_files(info)}
    return {
        name: list(file_facts(status)[:-1])
        for name, status in statuses.items()
        if status.st_size > MAX_BYTES_READ_AGAIN
    }


def _image_files(info: DataInfo) -> list[Path]:
    return [info.folder / f"{split}.images.npy" for split in SPLITS]


@lru_cache(maxsize=16)
def _checksum_of(file: Path, modified: int) -> int:
    del modified  # It only tells a file from one that replaces it.
    return compute_checksum(file)
