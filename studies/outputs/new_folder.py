"""Write a folder that appears only when it is complete."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...errors import StoreError
from ...files import draft_path, make_folder, replace_folder


def check_is_new(folder: Path) -> None:
    """Raise StoreError unless a folder does not exist yet, or is empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StoreError(f"{folder} exists and is not empty; choose another folder.")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A draft that becomes the folder at the end of the context, unless that raises.

    Args:
        folder: must not exist, or be empty.

    Raises:
        StoreError: it cannot be written.
    """
    draft = draft_path(folder.absolute())
    try:
        make_folder(draft)
        yield draft
        replace_folder(draft, folder)
    except OSError as error:
        raise StoreError(
            f"cannot write {folder}: {error.strerror or error}; choose another folder."
        ) from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
