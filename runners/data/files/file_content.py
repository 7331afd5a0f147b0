"""What reading a file gives: its content, where it is, or why it cannot be read."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ....errors import DataError
from ....sanitize import clean_error

_DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(struct.error, ValueError, TypeError, LookupError, RecursionError),
)
"""What Python's readers of archives raise on damaged input."""


@dataclass(frozen=True)
class UnreadableFile:
    """A file that cannot be read from its archive, and why."""

    reason: str


FileContent = bytes | Path | UnreadableFile
"""A file's bytes, or where it is on the disk."""


@contextmanager
def raising_data_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading `path` inside the context into DataError."""
    try:
        yield
    except DataError:
        raise
    except _DAMAGED as error:
        reason = clean_error(error)
        raise DataError(f"{path} is damaged or incomplete ({reason}); fetch it again") from error
    except NotImplementedError as error:
        raise DataError(f"{path}: {error}; unpack it and give the folder") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(f"cannot read {error.filename or path}: {reason}") from error
