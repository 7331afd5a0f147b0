"""The rows of a table of labels, checked: `read_rows`.

Whatever keeps a row from being used is said in one sentence with its line: an empty cell, an
unknown split, a group in two splits, a weight that is no number.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from ....errors import DataError
from ....sanitize import quote_value
from ..dataset import SPLIT_NAMES, SPLITS, SplitName
from .label_table import LabelTable
from .table_columns import Role

_WHOLE_NUMBER = re.compile(r"(-?\d+)\.0*")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


@dataclass(frozen=True)
class LabelledRow:
    """One image: what its row says; None without such a column."""

    path: str
    label: str
    split: SplitName | None
    group: str | None
    weight: float | None
    line: int


def read_rows(table: LabelTable, columns: Mapping[Role, int]) -> list[LabelledRow]:
    """The rows, after it has been checked that each says what it has to.

    Raises:
        DataError: cells are empty, a group is in two splits, a weight is no number, and so on.
    """
    _check_cells(table, columns)
    splits = _read_splits(table, columns.get("split"))
    weights = _read_weights(table, columns.get("weight"))
    group = columns.get("group")
    rows = [
        LabelledRow(
            cells[columns["path"]],
            _class_name(cells[columns["label"]]),
            split,
            None if group is None else _class_name(cells[group]),
            weight,
            line,
        )
        for cells, line, split, weight in zip(table.rows, table.lines, splits, weights, strict=True)
    ]
    _check_groups(table, rows)
    return rows


def _check_cells(table: LabelTable, columns: Mapping[Role, int]) -> None:
    optional: tuple[Role, ...] = ("group", "weight")
    for role in ("path", "label", *optional):
        number = columns.get(role)
        empty = [] if number is None else _lines_where(table, number, lambda cell: not cell)
        if empty:
            ignored = f", or ignore the column with --column {role}=" if role in optional else ""
            raise DataError(
                f"{table.path} has {_count_rows(empty)} without a {role}; fill them in or remove "
                f"them{ignored}"
            )
    path = columns["path"]
    if urls := _lines_where(table, path, lambda cell: bool(_URL.match(cell))):
        raise DataError(
            f"{table.path} names URLs in {_count_rows(urls)}; download the images first, and name "
            "the files"
        )
    if _lines_where(table, path, lambda cell: cell.startswith(("{'bytes'", "b'", 'b"'))):
        raise DataError(
            f"{table.path} holds the images themselves in the column {table.header[path]!r}; save "
            "them as files and name those, or load the set with --data hfds/OWNER/NAME"
        )


def _read_weights(table: LabelTable, column: int | None) -> list[float | None]:
    """The weight of each row; all are None without such a column, or if all are equal."""
    if column is None:
        return [None] * len(table.rows)
    weights: list[float | None] = []
    for cells, line in zip(table.rows, table.lines, strict=True):
        try:
            weight = float(cells[column])
        except ValueError:
            weight = math.nan
        if not (math.isfinite(weight) and weight >= 0):
            raise DataError(
                f"{table.path} has the weight {quote_value(cells[column])} in line {line}; weights "
                "are numbers from 0 on. Correct it, or ignore the column with --column weight="
            )
        weights.append(weight)
    if not any(weights):
        raise DataError(
            f"{table.path} has no weight above 0 in the column {table.header[column]!r}; correct "
            "it, or ignore the column with --column weight="
        )
    # The results are then the same, to the last bit, as without the column.
    return [None] * len(weights) if len(set(weights)) == 1 else weights


def _read_splits(table: LabelTable, column: int | None) -> list[SplitName | None]:
    """The split of each row; all are None without such a column, or if it is empty."""
    cells = [""] * len(table.rows) if column is None else [row[column] for row in table.rows]
    if not any(cells):
        return [None] * len(cells)
    unknown = sorted({cell for cell in cells if cell and cell.lower() not in SPLIT_NAMES})
    if unknown:
        raise DataError(
            f"{table.path} has the split {quote_value(unknown[0])}; splits are called "
            f"{', '.join(SPLITS)}. Rename it, or ignore the column with --column split="
        )
    empty = [line for line, cell in zip(table.lines, cells, strict=True) if not cell]
    if empty:
        raise DataError(
            f"{table.path} has {_count_rows(empty)} without a split, while others have one; fill "
            "them in, or ignore the column with --column split="
        )
    return [SPLIT_NAMES[cell.lower()] for cell in cells]


def _check_groups(table: LabelTable, rows: Iterable[LabelledRow]) -> None:
    splits: dict[str, SplitName | None] = {}
    for row in rows:
        if row.group is None:
            return
        if splits.setdefault(row.group, row.split) != row.split:
            raise DataError(
                f"{table.path}: the group {quote_value(row.group)} is in the splits "
                f"{splits[row.group]} and {row.split} (line {row.line}), so results would not hold "
                "for new groups. Give every group one split, or ignore groups with --column group="
            )


def _class_name(cell: str) -> str:
    """A label in one Unicode form; a whole number without its decimals."""
    match = _WHOLE_NUMBER.fullmatch(cell)
    return match[1] if match else unicodedata.normalize("NFC", cell)


def _lines_where(table: LabelTable, column: int, holds: Callable[[str], bool]) -> list[int]:
    rows = zip(table.rows, table.lines, strict=True)
    return [line for cells, line in rows if holds(cells[column])]


def _count_rows(lines: Sequence[int]) -> str:
    return f"{len(lines):,} rows (line {lines[0]}, …)" if len(lines) > 1 else f"line {lines[0]}"
