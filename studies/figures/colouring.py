"""What the markers of a figure are coloured by, and the colour of each group."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from ..analysis.analyse import NONE, attentions_by_stage, main_attention
from ..analysis.findings import ArchitectureSummary
from .themes import MIXED, Theme

Colouring = Literal["attention", "position", "ratio", "stage"]
COLOURINGS: tuple[Colouring, ...] = ("attention", "position", "ratio", "stage")
MAX_GROUPS = 7
"""Groups with a colour of their own; rarer ones are shown as `OTHERS`. This does not apply to
attentions, which all have their own colour."""
OTHERS = "others"


def group_architectures(
    points: Sequence[ArchitectureSummary], colouring: Colouring, stage_count: int
) -> dict[int, str]:
    """The group of every architecture, by the number of its trial.

    Args:
        points: the architectures.
        colouring: the property by which they are grouped.
        stage_count: stages of the backbone.
    """
    group: Callable[[ArchitectureSummary], str] = {
        "attention": lambda point: main_attention(point.architecture, stage_count),
        "position": lambda point: _single({i.position for i in point.architecture.insertions}),
        "ratio": lambda point: _single(_ratios(point)),
        "stage": lambda point: _stages(point, stage_count),
    }[colouring]
    groups = {point.number: group(point) for point in points}
    if colouring == "attention":
        return groups
    counts = Counter(name for name in groups.values() if name not in (MIXED, NONE))
    shown = {name for name, _ in counts.most_common(MAX_GROUPS)} | {MIXED, NONE}
    return {number: name if name in shown else OTHERS for number, name in groups.items()}


def group_colours(groups: Mapping[int, str], colouring: Colouring, theme: Theme) -> dict[str, str]:
    """The colour of each group, in the order of the legend.

    Args:
        groups: as `group_architectures` returns them.
        colouring: the property by which they are grouped.
        theme: the colours.
    """
    last = {OTHERS: 1, MIXED: 2, NONE: 3}
    names = sorted(set(groups.values()), key=lambda name: (last.get(name, 0), len(name), name))
    if colouring == "attention":
        return {name: theme.attention_colour(name) for name in names}
    neutral = {OTHERS: theme.muted, MIXED: theme.muted, NONE: theme.text}
    palette = iter([*theme.palette, theme.text])
    return {name: neutral[name] if name in neutral else next(palette) for name in names}


def _single(names: set[str]) -> str:
    return NONE if not names else names.pop() if len(names) == 1 else MIXED


def _ratios(point: ArchitectureSummary) -> set[str]:
    ratios = (dict(i.options).get("r") for i in point.architecture.insertions)
    return {f"r = {ratio}" if ratio is not None else "no ratio" for ratio in ratios}


def _stages(point: ArchitectureSummary, stage_count: int) -> str:
    by_stage = enumerate(attentions_by_stage(point.architecture, stage_count), 1)
    changed = [f"s{stage}" for stage, names in by_stage if names]
    if not changed:
        return NONE
    return "all stages" if len(changed) == stage_count else "+".join(changed)
