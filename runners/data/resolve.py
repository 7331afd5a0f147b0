"""Which source a `--data` text means."""

from __future__ import annotations

from pathlib import Path

from ...errors import DataError, did_you_mean
from .embedded import EMBEDDED, DigitSource
from .folder_source import open_files
from .source import DataSource
from .timm_source import TimmSource

TIMM_PREFIXES = ("torch/", "hfds/", "hfids/", "tfds/")


def open_source(spec: str) -> DataSource:
    """The source that `--data spec` means; DataError names the closest embedded data.

    An embedded name wins over a folder of that name (`./digits` is the folder), and a path that
    exists over a timm data set.
    """
    if spec in EMBEDDED:
        return DigitSource(spec)
    path = Path(spec).expanduser()
    if path.exists():
        return open_files(path)
    if spec.lower().startswith(TIMM_PREFIXES):
        return TimmSource(spec)
    if len(path.parts) > 1 or path.suffix:
        raise DataError(f"there is no file or folder {spec!r}; check the path given as data")
    raise DataError(
        f"{spec!r} is neither embedded data nor a path that exists{did_you_mean(spec, EMBEDDED)}"
    )
