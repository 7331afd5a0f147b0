"""Draw blocks of steps as an SVG image, top to bottom: `draw_graph`.

Blocks are put into layers by their longest path from an input. A line that passes a layer gets a
place in it, as a block does. Within the layers, blocks are ordered and moved towards the mean of
their neighbours (Sugiyama, Tagawa & Toda 1981).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise

from attentune.benchmarks.computation_graph import DrawnBlock, StepKind

FONT = "system-ui, 'Segoe UI', Helvetica, Arial, sans-serif"
CHARACTER = 7.0
"""Width of a character, pixels."""
ROW, GAP, LAYER_GAP, LINE_GAP, MARGIN = 24, 28, 34, 18, 16
SWEEPS = 24
FILL: dict[StepKind, str] = {
    "map": "#e8e8ee",
    "pooling": "#d6e8fb",
    "layer": "#fde5c8",
    "activation": "#d9f0d8",
    "arithmetic": "#ffffff",
}
LEGEND: dict[StepKind, str] = {
    "pooling": "pooling",
    "layer": "learned",
    "activation": "activation",
    "arithmetic": "arithmetic",
}


@dataclass(eq=False)
class _DrawnBox:
    """A block, or a place that a line takes in a layer that it passes."""

    block: DrawnBlock | None
    layer: int
    width: float
    height: float
    above: list[_DrawnBox] = field(default_factory=list)
    below: list[_DrawnBox] = field(default_factory=list)
    x: float = 0.0
    """Of the middle."""
    y: float = 0.0
    """Of the top."""


def draw_graph(blocks: Sequence[DrawnBlock], title: str) -> str:
    """The text of an SVG image.

    Args:
        blocks: inputs first.
        title: what screen readers say.
    """
    boxes, lines = _make_boxes(blocks)
    layers: list[list[_DrawnBox]] = [[] for _ in range(1 + max(box.layer for box in boxes))]
    for box in boxes:
        layers[box.layer].append(box)
    _order(layers)
    _place(layers)
    left = min(box.x - box.width / 2 for box in boxes) - MARGIN
    width = max(box.x + box.width / 2 for box in boxes) + MARGIN - left
    width = max(width, 330.0)
    height = max(box.y + box.height for box in boxes) + 2 * MARGIN + ROW
    shapes = [
        *(_draw_line(line) for line in lines),
        *(shape for box in boxes if box.block for shape in _draw_box(box)),
        *_draw_legend(left + MARGIN, height - MARGIN - 12),
    ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{left:.0f} 0 {width:.0f} {height:.0f}" role="img" font-family="{FONT}" '
        f'font-size="13">\n<title>{escape(title)}</title>\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>\n'
        f'<rect x="{left:.0f}" width="{width:.0f}" height="{height:.0f}" rx="8" fill="#fafafc"/>\n'
        + "\n".join(shapes)
        + "\n</svg>\n"
    )


def _make_boxes(blocks: Sequence[DrawnBlock]) -> tuple[list[_DrawnBox], list[list[_DrawnBox]]]:
    """Boxes of blocks and of passing lines, and the boxes along each line."""
    boxes: list[_DrawnBox] = []
    lines: list[list[_DrawnBox]] = []
    for block in blocks:
        layer = 1 + max((boxes[number].layer for number in block.inputs), default=-1)
        characters = max(len(step.text) + len(step.shape) for step in block.steps) + 3
        height = ROW * len(block.steps)
        boxes.append(_DrawnBox(block, layer, CHARACTER * characters + 20, height))
    passing: list[_DrawnBox] = []
    for box in boxes[: len(blocks)]:
        for number in box.block.inputs if box.block else ():
            line = [boxes[number]]
            for layer in range(boxes[number].layer + 1, box.layer):
                line.append(_DrawnBox(None, layer, LINE_GAP, 0))
            line.append(box)
            passing += line[1:-1]
            for upper, lower in pairwise(line):
                upper.below.append(lower)
                lower.above.append(upper)
            lines.append(line)
    return boxes + passing, lines


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _order(layers: list[list[_DrawnBox]]) -> None:
    """Order the boxes of each layer by the mean place of their neighbours."""
    for sweep in range(SWEEPS):
        down = sweep % 2 == 0
        for layer in layers if down else reversed(layers):
            for place, box in enumerate(layer):
                box.x = place
            neighbours = {
                box: [float(_rank(layers, other)) for other in (box.above if down else box.below)]
                for box in layer
            }
            layer.sort(key=lambda box: _mean(neighbours[box], box.x))


def _rank(layers: list[list[_DrawnBox]], box: _DrawnBox) -> float:
    """The place of a box in its layer, from 0 at the left to 1 at the right."""
    layer = layers[box.layer]
    return (layer.index(box) + 0.5) / len(layer)


def _place(layers: list[list[_DrawnBox]]) -> None:
    """Set the position of all boxes."""
    top = float(MARGIN)
    for layer in layers:
        height = max(box.height for box in layer)
        for box in layer:
            box.y = top
            box.height = box.height if box.block else height  # A line passes it vertically.
        top += height + LAYER_GAP
        _spread(layer, [0.0] * len(layer))
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            wishes = [
                _mean([other.x for other in (*box.above, *box.below)], box.x) for box in layer
            ]
            _spread(layer, wishes)


def _spread(layer: list[_DrawnBox], wishes: Sequence[float]) -> None:
    """Put boxes where they wish to be, as far as they do not overlap."""
    rightward: list[float] = []
    for box, wish in zip(layer, wishes, strict=True):
        least = -1e9
        if rightward:
            before = layer[len(rightward) - 1]
            least = rightward[-1] + (before.width + box.width) / 2 + GAP
        rightward.append(max(wish, least))
    shift = _mean([wish - x for wish, x in zip(wishes, rightward, strict=True)], 0.0)
    for box, x in zip(layer, rightward, strict=True):
        box.x = x + shift


def _draw_box(box: _DrawnBox) -> Iterator[str]:
    assert box.block is not None
    left = box.x - box.width / 2
    for number, step in enumerate(box.block.steps):
        y = box.y + ROW * number
        yield (
            f'<rect x="{left:.0f}" y="{y:.0f}" width="{box.width:.0f}" height="{ROW}" rx="4" '
            f'fill="{FILL[step.kind]}" stroke="#888"/>'
        )
        yield (
            f'<text x="{left + 10:.0f}" y="{y + 16:.0f}" fill="#1a1a1a">{escape(step.text)}</text>'
        )
        yield (
            f'<text x="{left + box.width - 10:.0f}" y="{y + 16:.0f}" fill="#555" '
            f'text-anchor="end" font-size="11">{escape(step.shape)}</text>'
        )


def _draw_line(line: Sequence[_DrawnBox]) -> str:
    """A curve from the bottom of the first box to the top of the last one."""
    first, last = line[0], line[-1]
    x, y = _exit(first, line[1]), first.y + first.height
    path = f"M{x:.0f} {y:.0f}"
    for box in line[1:]:
        next_x = box.x if box is not last else _entry(last, line[-2])
        path += f" C{x:.0f} {y + 20:.0f} {next_x:.0f} {box.y - 20:.0f} {next_x:.0f} {box.y:.0f}"
        x, y = next_x, box.y
        if box is not last:
            y += box.height
            path += f" V{y:.0f}"
    return f'<path d="{path}" fill="none" stroke="#555" marker-end="url(#tip)"/>'


def _entry(box: _DrawnBox, source: _DrawnBox) -> float:
    """Where the line from a source ends: lines are spread over the top of their box."""
    sources = sorted(box.above, key=lambda other: other.x)
    return box.x + (sources.index(source) - (len(sources) - 1) / 2) * min(
        40.0, box.width / (len(sources) + 1)
    )


def _exit(box: _DrawnBox, target: _DrawnBox) -> float:
    """Where the line to a target begins."""
    targets = sorted(box.below, key=lambda other: other.x)
    return box.x + (targets.index(target) - (len(targets) - 1) / 2) * min(
        24.0, box.width / (len(targets) + 1)
    )


def _draw_legend(x: float, y: float) -> Iterator[str]:
    for kind, words in LEGEND.items():
        yield (
            f'<rect x="{x:.0f}" y="{y:.0f}" width="12" height="12" rx="2" fill="{FILL[kind]}" '
            'stroke="#888"/>'
        )
        yield f'<text x="{x + 17:.0f}" y="{y + 10:.0f}" fill="#555" font-size="11">{words}</text>'
        x += 30 + 6.3 * len(words)
