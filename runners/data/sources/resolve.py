"""Find the data source that a `--data` text names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ....errors import DataError, UsageError, did_you_mean
from ....files import find_path
from .embedded import EMBEDDED, DigitSource
from .folder_source import open_file_source
from .label_table import TABLE_SUFFIXES
from .source import DEFAULT_OPTIONS, DataSource, SourceOptions
from .split_folders import LAYOUT_BY_NAMES
from .table_source import TableSource
from .timm_source import TIMM_PREFIXES, TimmSource


@dataclass(frozen=True)
class SourceKind:
    """One kind of data source: which texts name it, and how it is opened.

    Attributes:
        matches: whether a text names a source of this kind.
        open: the source that the text names; DataError if it cannot be used.
    """

    matches: Callable[[str], bool]
    open: Callable[[str, SourceOptions], DataSource]


def _open_path(spec: str, options: SourceOptions) -> DataSource:
    return open_file_source(_existing_path(spec), options)


def _open_table(spec: str, options: SourceOptions) -> DataSource:
    return TableSource(_existing_path(spec), options)


def _existing_path(spec: str) -> Path:
    path = find_path(spec)
    if path is None:
        raise DataError(f"{spec!r} has been removed")
    return path


def _is_table(spec: str) -> bool:
    path = find_path(spec)
    return path is not None and path.is_file() and path.suffix.lower() in TABLE_SUFFIXES


SOURCE_KINDS: dict[str, SourceKind] = {
    "embedded": SourceKind(lambda spec: spec in EMBEDDED, lambda spec, _: DigitSource(spec)),
    "table": SourceKind(_is_table, _open_table),
    "files": SourceKind(lambda spec: find_path(spec) is not None, _open_path),
    "timm": SourceKind(lambda spec: spec.lower().startswith(TIMM_PREFIXES), TimmSource),
}
"""All kinds; the first that matches is used.

An embedded name takes precedence over a folder of that name (`./digits` is the folder), and an
existing path takes precedence over a timm data set.
"""


def describe_choice(spec: str) -> str | None:
    """What a text could mean besides the source that is opened; None if nothing."""
    path = find_path(spec)
    if path is None or path.is_absolute():
        return None
    if SOURCE_KINDS["embedded"].matches(spec):
        return (
            f"{spec} is the embedded data set; the path of that name is used with --data ./{spec}"
        )
    if SOURCE_KINDS["timm"].matches(spec):
        return (
            f"{spec} is the path here; for timm's data set of that name, start in another folder "
            "or move the path"
        )
    return None


def open_source(spec: str, options: SourceOptions = DEFAULT_OPTIONS) -> DataSource:
    """The source that `--data spec` names.

    Args:
        spec: the text.
        options: how the source is read.

    Raises:
        DataError: there is none; the message names the closest embedded data.
        UsageError: the options are for another kind of source.
    """
    kind = source_kind(spec)
    if options.are_for_tables and kind != "table":
        raise UsageError(
            f"--data-root and --column are for tables ({', '.join(TABLE_SUFFIXES)}), and "
            f"{spec!r} is none"
        )
    if options.layout != LAYOUT_BY_NAMES and kind != "files":
        raise UsageError(
            f"--split-folders and --leave-out are for folders and archives, and {spec!r} is none"
        )
    return SOURCE_KINDS[kind].open(spec, options)


def source_kind(spec: str) -> str:
    """The kind of the source that `--data spec` names, a key of `SOURCE_KINDS`.

    Raises:
        DataError: there is none; the message names the closest embedded data.
    """
    for name, kind in SOURCE_KINDS.items():
        if kind.matches(spec):
            return name
    if len(Path(spec).parts) > 1 or Path(spec).suffix:
        raise DataError(f"there is no file or folder {spec!r}; check the path given as data")
    raise DataError(
        f"{spec!r} is neither embedded data nor a path that exists{did_you_mean(spec, EMBEDDED)}"
    )
