"""The axes of the parallel coordinates of a study, and the filters that a box over them sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..analysis.trial_table import COMPLETE, Floats
from ..figures.parallel_coordinates import DrawnAxis
from ..objectives import SCORE
from ..text.metric_format import MetricFormat, objective_value
from .address import Address
from .context import PageContext
from .filters import ChoiceFilter, TrialRange, read_choices, read_ranges

MAX_LINES = 1000
"""Trials that are drawn: those with the best results, and an even choice of the others."""
MAX_STAGES = 8
MAX_LEVELS = 10
"""Levels of an axis of choices; the last one holds all rarer ones."""


@dataclass(frozen=True, eq=False)
class ParallelAxis:
    """One axis: of a number, from `low` to `high`, or of a choice among `levels`.

    Attributes:
        key: of the number, as `FilteredStudy.trial_values` takes it, or the column of the choice.
        drawn: without brushes.
        low, high: the numbers at the bottom and at the top.
        levels: from the bottom to the top, the values of each; empty for a number.
    """

    key: str
    drawn: DrawnAxis
    low: float = 0.0
    high: float = 1.0
    levels: tuple[tuple[str, ...], ...] = ()

    def filter_of(self, bottom: float, top: float) -> TrialRange | ChoiceFilter | None:
        """The filter of a part of the axis; None if no level is in it.

        Args:
            bottom, top: positions on the axis, which reaches from 0 to 1.
        """
        if not self.levels:
            ends = sorted(self.low + each * (self.high - self.low) for each in (bottom, top))
            return TrialRange(self.key, *(float(f"{end:.5g}") for end in ends))
        places = _level_positions(len(self.levels))
        chosen = [
            value
            for place, values in zip(places, self.levels, strict=True)
            if bottom <= place <= top
            for value in values
        ]
        return ChoiceFilter(self.key, tuple(chosen)) if chosen else None

    def with_brushes(self, address: Address) -> DrawnAxis:
        """The axis with the parts that the filters of an address select."""
        brushes: list[tuple[float, float]] = []
        for each in read_ranges(address):
            if each.key == self.key and not self.levels:
                bottom, top = sorted((self.low, self.high))
                ends = [min(max(end, bottom), top) for end in (each.low, each.high)]
                places = sorted((end - self.low) / (self.high - self.low) for end in ends)
                brushes.append((places[0], places[1]))
        for choice in read_choices(address):
            if choice.column == self.key:
                places = _level_positions(len(self.levels))
                pairs = zip(places, self.levels, strict=True)
                brushes += [(p, p) for p, values in pairs if set(values) & set(choice.values)]
        return replace(self.drawn, brushes=brushes)


def drawn_rows(context: PageContext) -> npt.NDArray[Any]:
    """The complete trials that are drawn, at most `MAX_LINES`; those that pass come first."""
    state = context.state
    rows = state.trials.rows()
    rows = rows[(rows["state"] == COMPLETE) & ~np.isnan(rows["score"])]
    passed = state.analysis.matching_trials(context.address, rows)
    rows = np.asarray(rows[np.lexsort((-rows["score"], ~passed))])
    if len(rows) <= MAX_LINES:
        return rows
    half = MAX_LINES // 2
    others = np.linspace(half, len(rows) - 1, MAX_LINES - half).astype(int)
    return np.asarray(rows[np.concatenate([np.arange(half), others])])


def parallel_axes(context: PageContext, rows: npt.NDArray[Any]) -> list[ParallelAxis]:
    """The axes: the attentions of the stages, the study's costs, and its metrics.

    Args:
        context: of the page.
        rows: (n,) of the trials that are drawn.
    """
    state = context.state
    _, choices = state.choices.read(state.analysis.stages)
    all_rows = state.trials.rows()
    all_rows = all_rows[all_rows["state"] == COMPLETE]
    axes: list[ParallelAxis] = []
    for stage in range(1, min(state.analysis.stages, MAX_STAGES) + 1):
        column = f"s{stage}.attention"
        used = Counter(choices[i].get(column, "") for i in all_rows["architecture"])
        if len(used) > 1:
            axes.append(_choice_axis(column, f"s{stage}", used, choices, rows))
    costs = [o for o in state.analysis.objectives if o.is_cost] or state.analysis.costs[:1]
    keys = [o.key for o in (*costs, *state.study.further_metrics)]
    for key in (*keys, SCORE):
        axis = _number_axis(context, key, all_rows, rows)
        if axis is not None:
            axes.append(axis)
    return axes


def _choice_axis(
    column: str,
    title: str,
    used: Mapping[str, int],
    choices: Sequence[Mapping[str, str]],
    rows: npt.NDArray[Any],
) -> ParallelAxis:
    ordered = sorted(used, key=lambda value: (-used[value], value))
    levels: list[tuple[str, ...]] = [(value,) for value in ordered]
    if len(levels) > MAX_LEVELS:
        levels = [*levels[: MAX_LEVELS - 1], tuple(ordered[MAX_LEVELS - 1 :])]
    levels.sort(key=lambda values: (values != ("",), values))
    places = _level_positions(len(levels))
    place_of = {v: place for place, values in zip(places, levels, strict=True) for v in values}
    positions = np.array([place_of[choices[i].get(column, "")] for i in rows["architecture"]])
    names = [values[0] or "none" if len(values) == 1 else "others" for values in levels]
    drawn = DrawnAxis(title, positions, list(zip(places, names, strict=True)))
    return ParallelAxis(column, drawn, levels=tuple(levels))


def _number_axis(
    context: PageContext, key: str, all_rows: npt.NDArray[Any], rows: npt.NDArray[Any]
) -> ParallelAxis | None:
    """An axis of a number, the best value of a metric at the top; None if no trial has it."""
    filtered = context.state.analysis.filtered_study
    values = filtered.trial_values(key, all_rows)
    if np.isnan(values).all():
        return None
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    costs = {cost.key: cost for cost in context.state.analysis.costs}
    cost = costs.get(key)
    form = None
    if cost is None:
        is_score = key == SCORE
        form = MetricFormat(context.state.study.metric) if is_score else filtered.metric_of(key)
        if form.is_reversed:
            low, high = high, low
    ends = (low, (low + high) / 2, high)
    texts = [_number_text(cost, form, value) for value in ends]
    shown: Floats = (filtered.trial_values(key, rows) - low) / (high - low)
    title = cost.heading if cost is not None else form.metric.heading if form else key
    drawn = DrawnAxis(title, shown, list(zip((0.0, 0.5, 1.0), texts, strict=True)))
    return ParallelAxis(key, drawn, low, high)


def _number_text(cost: Any, form: MetricFormat | None, value: float) -> str:
    if form is None:
        return objective_value({cost.key: value}, cost)
    scaled = value / 100 if form.in_percent else value
    return form.value(form.metric.score_of(scaled))


def _level_positions(count: int) -> list[float]:
    return [0.5] if count == 1 else [index / (count - 1) for index in range(count)]


def filters_of_box(
    axes: Sequence[ParallelAxis], box: Mapping[str, Sequence[float]], address: Address
) -> dict[str, Any]:
    """The changes of the address that a box over some axes makes; empty if it is over none.

    Args:
        axes: that are drawn.
        box: the ends of the box, `x` and `y`, in the units of the figure.
        address: before; its filters of other axes stay.
    """
    (left, right), (bottom, top) = sorted(box["x"]), sorted(box["y"])
    filters = [
        each
        for place, axis in enumerate(axes)
        if left <= place <= right
        for each in [axis.filter_of(max(bottom, 0.0), min(top, 1.0))]
        if each is not None
    ]
    if not filters or bottom > 1 or top < 0:
        return {}
    ranges = {each.key: each for each in read_ranges(address)}
    choices = {each.column: each for each in read_choices(address)}
    for each in filters:
        if isinstance(each, TrialRange):
            ranges[each.key] = each
        else:
            choices[each.column] = each
    return {
        "ranges": tuple(each.text for each in ranges.values()),
        "choices": tuple(each.text for each in choices.values()),
    }
