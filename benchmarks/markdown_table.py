"""Format tables in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Result = Mapping[str, Any]
"""The content of a result file."""


def format_markdown_table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    """The lines of a table, followed by an empty line."""
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def format_mean(mean: float, deviation: float | None) -> str:
    """A mean in tenths, with the deviation of several runs."""
    return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


def format_gain(gain: Mapping[str, float]) -> str:
    """The `mean` of a gain with its interval, `low` to `high`, in points; all are fractions."""
    mean, low, high = (100 * gain[key] for key in ("mean", "low", "high"))
    return f"{mean:+.1f} ({low:+.1f} to {high:+.1f})"
