"""Find the data source that a `--data` text names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError, did_you_mean
from ...files import find_path
from .embedded import EMBEDDED, DigitSource
from .folder_source import open_file_source
from .source import DataSource
from .timm_source import TIMM_PREFIXES, TimmSource


@dataclass(frozen=True)
class SourceKind:
    """One kind of data source: which texts name it, and how it is opened.

    Attributes:
        matches: whether a text names a source of this kind.
        open: the source that the text names; DataError if it cannot be used.
    """

    matches: Callable[[str], bool]
    open: Callable[[str], DataSource]


def _open_path(spec: str) -> DataSource:
    path = find_path(spec)
    if path is None:
        raise DataError(f"{spec!r} has been removed")
    return open_file_source(path)


SOURCE_KINDS: dict[str, SourceKind] = {
    "embedded": SourceKind(lambda spec: spec in EMBEDDED, DigitSource),
    "files": SourceKind(lambda spec: find_path(spec) is not None, _open_path),
    "timm": SourceKind(lambda spec: spec.lower().startswith(TIMM_PREFIXES), TimmSource),
}
"""All kinds; the first that matches is used.

An embedded name takes precedence over a folder of that name (`./digits` is the folder), and an
existing path takes precedence over a timm data set.
"""


def open_source(spec: str) -> DataSource:
    """The source that `--data spec` names.

    Raises:
        DataError: there is none; the message names the closest embedded data.
    """
    for kind in SOURCE_KINDS.values():
        if kind.matches(spec):
            return kind.open(spec)
    if len(Path(spec).parts) > 1 or Path(spec).suffix:
        raise DataError(f"there is no file or folder {spec!r}; check the path given as data")
    raise DataError(
        f"{spec!r} is neither embedded data nor a path that exists{did_you_mean(spec, EMBEDDED)}"
    )
