"""Read a table of text cells: CSV, TSV or Parquet.

A CSV file may have a byte order mark, any of the usual separators, quoted cells, and a first line
`sep=;` as Excel writes it. Values of Parquet files become the text that a CSV file would have.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from ....errors import DataError
from ....sanitize import clean_error, quote_value
from ..files.file_content import raising_data_errors

DELIMITED_SUFFIXES = (".csv", ".tsv")
PARQUET_SUFFIXES = (".parquet", ".pq")
TABLE_SUFFIXES = (*DELIMITED_SUFFIXES, *PARQUET_SUFFIXES)
MAX_TABLE_BYTES = 2**30
_DELIMITERS = (",", ";", "\t", "|")
_SAMPLED_ROWS = 20
"""Rows that are read to find the delimiter."""
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class LabelTable:
    """A table as text.

    Attributes:
        path: the file.
        header: names of the columns.
        rows: cells, one for each column, without the white space around them.
        lines: where each row is: its last line in a CSV file, or its number in a Parquet file.
    """

    path: Path
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]


def read_label_table(path: Path) -> LabelTable:
    """Read a table, chosen by the suffix of its file.

    Raises:
        DataError: it cannot be read, is damaged, or has no rows.
    """
    with raising_data_errors(path):
        size = path.stat().st_size
    if size > MAX_TABLE_BYTES:
        raise DataError(f"{path} has {size:,} bytes; a table may have {MAX_TABLE_BYTES:,}")
    is_parquet = path.suffix.lower() in PARQUET_SUFFIXES
    table = _read_parquet(path) if is_parquet else _read_delimited(path)
    if not table.rows:
        raise DataError(f"{path} has no rows below its header")
    return table


def _read_delimited(path: Path) -> LabelTable:
    text = _decode(path)
    first, _, rest = text.partition("\n")
    if first.lower().startswith("sep=") and len(first.strip()) == 5:
        lines = list(_parse(path, rest, first[4], skipped=1))
    else:
        lines = list(_parse(path, text, _find_delimiter(path, text)))
    if not lines:
        raise DataError(f"{path} is empty; it needs a header and a row for each image")
    (_, header), *rows = lines
    for line, cells in rows:
        if len(cells) != len(header):
            raise DataError(
                f"{path}: line {line} has {len(cells)} cells, but the header has {len(header)}; "
                'write a cell that holds the separator in quotes, as in "a, b.jpg"'
            )
    return LabelTable(path, header, tuple(cells for _, cells in rows), tuple(n for n, _ in rows))


def _decode(path: Path) -> str:
    with raising_data_errors(path):
        content = path.read_bytes()
    encoding = "utf-16" if content.startswith(_UTF16_MARKS) else "utf-8-sig"
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path} is not text in UTF-8 (byte {error.start:,}); save it as “CSV UTF-8”"
        ) from None
    if "\0" in text:
        raise DataError(f"{path} is not text; a table is a .csv, .tsv or .parquet file")
    return text


def _find_delimiter(path: Path, text: str) -> str:
    """The separator with which the first rows have the same number of cells, and most of them.

    Without such a one, it is that with the most cells in the header.
    """

    def rate(delimiter: str) -> tuple[bool, int]:
        widths = []
        try:
            for _, cells in islice(_parse(path, text, delimiter), _SAMPLED_ROWS):
                widths.append(len(cells))
        except DataError:
            widths.append(0)
        return len(set(widths)) == 1 and widths[0] > 1, widths[0] if widths else 0

    return max(_DELIMITERS, key=rate)


def _parse(
    path: Path, text: str, delimiter: str, skipped: int = 0
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """The rows that are not blank, with the number of their last line."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in reader:
            cells = tuple(cell.strip() for cell in row)
            if any(cells):
                yield reader.line_num + skipped, cells
    except csv.Error as error:
        line = reader.line_num + skipped
        raise DataError(f"{path}: line {line} cannot be read ({clean_error(error)})") from None


def _read_parquet(path: Path) -> LabelTable:
    try:
        import pyarrow.parquet
    except ImportError:
        raise DataError(
            f"{path} needs a package that is not installed; pip install 'attentune[parquet]', or "
            "save the table as CSV"
        ) from None
    try:
        table = pyarrow.parquet.read_table(path)
        header = tuple(map(str, table.column_names))
        columns = [table.column(number).to_pylist() for number in range(len(header))]
    except Exception as error:  # Arrow has exceptions of its own for damaged files.
        reason = clean_error(error).splitlines()[0]
        raise DataError(f"{path} cannot be read as Parquet ({reason})") from error
    rows = tuple(tuple(map(_cell_text, row)) for row in zip(*columns, strict=True))
    return LabelTable(path, header, rows, tuple(range(1, len(rows) + 1)))


def _cell_text(value: Any) -> str:
    """A value as a CSV file has it; what is no single value is shown as Python does."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bytes | list | dict):
        return quote_value(value)
    return str(value).strip()
