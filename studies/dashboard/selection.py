"""What a click on a figure selects: a trial, or the filters of what a cell or a bar stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..figures.base import read_selection
from .address import Address

CELL_FACTORS = {"stages": ("stage", "attention"), "positions": ("position", "attention")}
"""By the name of a heat map: the factors of its columns and rows."""
FACTORS = ("attention", "position", "stage", "ratio")


def selection_of_click(figure: str, click: Mapping[str, Any], address: Address) -> dict[str, Any]:
    """The changes of the address that a click makes; empty if it selects nothing.

    A second click on the same cell or bar removes its filters.

    Args:
        figure: its name.
        click: what Plotly reports.
        address: before the click.
    """
    points = click.get("points") or [{}]
    numbers = [p["customdata"] for p in points if isinstance(p.get("customdata"), int)]
    if numbers:
        return {"trial": numbers[0]}
    levels = _levels(figure, points[0])
    chosen = {factor: (level,) for factor, level in levels.items()}
    if chosen and all(getattr(address, factor) == level for factor, level in chosen.items()):
        return dict.fromkeys(chosen, ())
    return chosen


def _levels(figure: str, point: Mapping[str, Any]) -> dict[str, str]:
    """The levels of factors that a point stands for."""
    if figure in CELL_FACTORS:
        pairs = zip(CELL_FACTORS[figure], (point.get("x"), point.get("y")), strict=True)
        return {factor: level for factor, level in pairs if isinstance(level, str)}
    text = point.get("customdata")
    selection = read_selection(text) if isinstance(text, str) else {}
    return {factor: level for factor, level in selection.items() if factor in FACTORS}
