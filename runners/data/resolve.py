"""Find the data source that a `--data` text names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError, did_you_mean
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


def _path(spec: str) -> Path:
    return Path(spec).expanduser()


SOURCE_KINDS: dict[str, SourceKind] = {
    "embedded": SourceKind(lambda spec: spec in EMBEDDED, DigitSource),
    "files": SourceKind(
        lambda spec: _path(spec).exists(), lambda spec: open_file_source(_path(spec))
    ),
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
    if len(_path(spec).parts) > 1 or _path(spec).suffix:
        raise DataError(f"there is no file or folder {spec!r}; check the path given as data")
    raise DataError(
        f"{spec!r} is neither embedded data nor a path that exists{did_you_mean(spec, EMBEDDED)}"
    )
