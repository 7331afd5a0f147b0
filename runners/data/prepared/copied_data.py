"""Copy prepared data from the cache of one machine to that of another one.

All machines then train on the same arrays, bit for bit, whatever versions of image libraries they
have, and none needs the files of the source. The data are copied once for each machine: its
processes take turns, and the later ones see that the data are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from filelock import FileLock

from ....errors import DataError
from ....files import make_folder
from .cache import (
    find_prepared_data,
    move_into_place,
    prepared_data_folder,
    scratch_folder,
)
from .verified_files import VERIFIED_FILE, has_damaged_images, record_verified_files

MAX_BYTES_PART = 8 * 2**20
"""Size of one part of a file. A part is in memory as a whole, on both machines."""

ReadPart = Callable[[str, int], bytes]
"""Reads the part of a file, by its name, that begins at an offset."""


def list_prepared_files(key: str) -> dict[str, int]:
    """The files of prepared data in the cache of this machine, and their sizes in bytes.

    Raises:
        DataError: they are not there.
    """
    info = find_prepared_data(key)
    if info is None:
        raise DataError(f"the prepared data {key} are no longer in {prepared_data_folder()}")
    files = [file for file in sorted(info.folder.iterdir()) if file.name != VERIFIED_FILE]
    return {file.name: file.stat().st_size for file in files}


def read_part(key: str, name: str, offset: int) -> bytes:
    """The next `MAX_BYTES_PART` bytes of a file of prepared data in the cache of this machine.

    Args:
        key: of the data.
        name: of the file.
        offset: in bytes.
    """
    with (prepared_data_folder() / key / Path(name).name).open("rb") as file:
        file.seek(offset)
        return file.read(MAX_BYTES_PART)


def copy_prepared_data(key: str, sizes: Mapping[str, int], read: ReadPart) -> bool:
    """Copy prepared data into the cache of this machine, unless they are there.

    Args:
        key: of the data.
        sizes: their files on the other machine, from `list_prepared_files`.
        read: reads a part of a file on the other machine.

    Returns:
        Whether they were copied, and not there already.

    Raises:
        DataError: what has arrived is not what was sent, or it cannot be written.
    """
    make_folder(prepared_data_folder())
    with FileLock(prepared_data_folder() / f"copy-{key}.lock"):
        if find_prepared_data(key) is not None:
            return False
        with scratch_folder() as scratch:
            for name, size in sizes.items():
                _copy_file(scratch / Path(name).name, size, partial(read, name))
            folder = prepared_data_folder() / key
            move_into_place(scratch, folder)
        info = find_prepared_data(key)
        if info is None or has_damaged_images(info):
            raise DataError(f"the prepared data {key} were damaged while they were copied")
        record_verified_files(info)
    return True


def _copy_file(file: Path, size: int, read: Callable[[int], bytes]) -> None:
    with file.open("wb") as target:
        offset = 0
        while offset < size:
            part = read(offset)
            if not part:
                raise DataError(f"{file.name} has changed while it was copied")
            target.write(part)
            offset += len(part)
