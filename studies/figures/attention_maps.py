"""Drawings of what a network looks at: which channels it passes on, and which places.

channels_figure(ours), places_figure(ours, bare)
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from PIL import Image

from ...runners.data.dataset import Images
from ...runners.inspection.attention_maps import AttentionMap, AttentionMaps, Floats
from .base import canvas, nothing, safe
from .themes import LIGHT, Theme

ROWS = 6
"""Pictures in a figure."""
ROW, PAGE = 34, 1000
"""Pixels: height of an attention's row; width of the page that the proportions are made for."""
GAP, ASIDE = 0.08, 1.3
"""In heights of a picture: between cells, and beside the first for texts."""
LONGEST = 16
"""Characters of a class's name."""


def channels_figure(looks: AttentionMaps, theme: Theme = LIGHT) -> go.Figure:
    """*Look what*: how strongly every attention passes its channels on, a row an attention.

    Ticks are channels (of very many, evenly chosen ones), sorted by their place on the axis; the
    bar holds the middle half of them, its dark tick is the median. The line at 1 is a channel
    passed on unchanged. What lies far out is drawn at the edge; its text has the number.
    """
    figure = canvas(theme, "Channel passed on, 1 = unchanged", "")
    gates = [gate for gate in looks.gates if np.isfinite(gate.channels).any()]
    if not gates:
        return nothing(figure, theme, "No attention here that weighs channels")
    held = [gate.channels[np.isfinite(gate.channels)] for gate in gates]
    quartiles = np.array([np.quantile(one, (0.25, 0.5, 0.75)) for one in held])
    left, right = _span(np.concatenate(held), float(quartiles.max()))
    colours = [theme.attention(gate.attention) for gate in gates]
    rows = list(range(len(gates)))
    figure.add_trace(
        go.Bar(
            base=quartiles[:, 0],
            x=quartiles[:, 2] - quartiles[:, 0],
            y=rows,
            orientation="h",
            width=0.6,
            name="middle half",
            marker={"color": colours, "opacity": 0.35},
            text=[_quartiles(*map(float, row)) for row in quartiles],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        )
    )
    figure.add_trace(_channels(gates, colours, right))
    figure.add_trace(_medians(quartiles[:, 1], theme))
    figure.add_vline(x=1, line={"color": theme.text, "width": 1.5, "dash": "dot"})
    figure.update_layout(height=120 + ROW * len(gates), margin={"l": 16, "t": 8}, bargap=0)
    figure.update_xaxes(range=[left, right + 0.02 * (right - left)])
    figure.update_yaxes(
        tickvals=rows,
        ticktext=[safe(f"{gate.site} {gate.attention}") for gate in gates],
        range=[len(gates) - 0.5, -0.5],
        showgrid=False,
        fixedrange=True,
    )
    return figure


def places_figure(
    looks: AttentionMaps, baseline_looks: AttentionMaps | None = None, theme: Theme = LIGHT
) -> go.Figure:
    """*Look where*: a row a picture, then for every stage our map and the baseline's beside it.

    Ours is that of the stage's last attention or, in a stage without, the energy of its output, as
    the baseline's always is. An attention's scale has its usual place in the middle: one colour is
    passed on more than that, the other less. A column has one scale, whose ends stand above it:
    colours compare places and pictures, never networks.
    """
    figure = canvas(theme, "", "")
    columns = _columns(looks, baseline_looks)
    if not columns:
        return nothing(figure, theme, "No stage of this network gives a map to look at")
    height, width = looks.pictures.shape[1:3]
    cell = _Cell(width / height)
    rows = min(ROWS, len(looks.pictures))
    for row in range(rows):
        box = cell.box(row, 0, looks.pictures[row].shape[:2])
        figure.add_trace(go.Image(source=_data_url(looks.pictures[row]), hoverinfo="skip", **box))
        figure.add_annotation(
            **cell.left(row), text=_said(looks, baseline_looks, row), align="right"
        )
    figure.add_annotation(**cell.top(0), text="picture")
    for number, column in enumerate(columns, 1):
        figure.add_annotation(**cell.top(number), text=column.title(theme))
        for row in range(rows):
            if row in column.maps:
                places = column.maps[row]
                box = cell.box(row, number, places.shape)
                figure.add_trace(go.Heatmap(z=places, **box, **column.look(theme)))
    figure.update_annotations(showarrow=False, font={"size": 11})
    return cell.framed(figure, rows, 1 + len(columns))


@dataclass(frozen=True)
class _Column:
    """Maps of one stage: by the rows of the pictures, all on one scale."""

    head: str
    what: str
    is_gate: bool
    maps: Mapping[int, Floats]

    @property
    def ends(self) -> tuple[float, float]:
        """The scale's; around the median for a gate, and never so near that rounding shows."""
        values = np.concatenate([one.ravel() for one in self.maps.values()])
        values = values[np.isfinite(values)]
        if not len(values):
            return 0.0, 1.0
        low, high = float(values.min()), float(values.max())
        if self.is_gate:
            low, middle, high = map(float, np.quantile(values, (0.01, 0.5, 0.99)))
            reach = max(0.005, high - middle, middle - low)
            return middle - reach, middle + reach
        return low, max(high, low + 1e-6)

    def title(self, theme: Theme) -> str:
        low, high = self.ends
        scale = f"{low:.3g} to {high:.3g}".replace("-", "−")
        head, what = safe(self.head), safe(self.what)
        return f"<b>{head}</b><br>{what}<br><span style='color:{theme.faint}'>{scale}</span>"

    def look(self, theme: Theme) -> dict[str, Any]:
        """How a heat map of this column is drawn."""
        low, high = self.ends
        ground = [[0, theme.empty], [0.6, theme.palette[0]], [1, theme.text]]
        around = [[0, theme.palette[2]], [0.5, theme.middle], [1, theme.palette[0]]]
        named = safe(f"{self.head} {self.what}")
        return {
            "name": named,
            "zmin": low,
            "zmax": high,
            "colorscale": around if self.is_gate else ground,
            "showscale": False,
            "hovertemplate": f"%{{z:.3g}}<extra>{named}</extra>",
        }


@dataclass(frozen=True)
class _Cell:
    """Where things lie: cells of height 1 and some width on one pair of axes, with gaps."""

    width: float

    def box(self, row: int, column: int, shape: tuple[int, ...]) -> dict[str, float]:
        """A raster of shape (H, W) in one cell; a trace places the centre of its first element."""
        dx, dy = self.width / shape[1], 1 / shape[0]
        left, top = column * (self.width + GAP), row * (1 + GAP)
        return {"x0": left + dx / 2, "dx": dx, "y0": top + dy / 2, "dy": dy}

    def left(self, row: int) -> dict[str, Any]:
        return {"x": -GAP, "y": row * (1 + GAP) + 0.5, "xanchor": "right", "yanchor": "middle"}

    def top(self, column: int) -> dict[str, Any]:
        middle = column * (self.width + GAP) + self.width / 2
        return {"x": middle, "y": -GAP / 2, "xanchor": "center", "yanchor": "bottom"}

    def framed(self, figure: go.Figure, rows: int, columns: int) -> go.Figure:
        """Axes without marks around so many cells and their texts, everything in proportion."""
        right, bottom = columns * (self.width + GAP), rows * (1 + GAP)
        unit = min(120.0, PAGE / (right + ASIDE))
        top = 56 / unit  # three lines of text
        plain = {"visible": False, "fixedrange": True, "constrain": "domain"}
        figure.update_xaxes(range=[-ASIDE, right], **plain)
        figure.update_yaxes(range=[bottom, -top], scaleanchor="x", scaleratio=1, **plain)
        margin = {"l": 0, "r": 0, "t": 0, "b": 0}
        figure.update_layout(height=round(unit * (bottom + top)), margin=margin)
        return figure


def _columns(looks: AttentionMaps, bare: AttentionMaps | None) -> list[_Column]:
    """For every stage ours and the baseline's, matched by picture."""
    here = {int(index): row for row, index in enumerate(looks.indices[:ROWS])}
    stages = sorted({one.stage for one in looks.stages} | {one.stage for one in looks.gates})
    last = {gate.stage: gate for gate in looks.gates}
    columns = []
    for stage in stages:
        if gate := last.get(stage):
            site = gate.site.partition(".")[0]
            columns.append(_Column(site, gate.attention, True, _by_row(gate.places, looks, here)))
        else:
            columns += _energies(looks, stage, "energy", here)
        if bare is not None:
            columns += _energies(bare, stage, "baseline", here)
    return columns


def _energies(
    looks: AttentionMaps, stage: int, what: str, here: Mapping[int, int]
) -> list[_Column]:
    found = [_by_row(one.places, looks, here) for one in looks.stages if one.stage == stage]
    return [_Column(f"s{stage}", what, False, maps) for maps in found if maps]


def _by_row(places: Floats, looks: AttentionMaps, here: Mapping[int, int]) -> dict[int, Floats]:
    """The maps of the pictures that are drawn, by their row."""
    pairs = zip(map(int, looks.indices), places, strict=True)
    return {here[index]: one for index, one in pairs if index in here}


def _span(weights: Floats, least: float) -> tuple[float, float]:
    """The ends of the axis: 1 and nearly all weights lie between them, all but a few far ones."""
    low, usual, high = map(float, np.quantile(weights, (0, 0.99, 1)))
    right = max(high if high < 3 * usual else 1.2 * usual, least, 1.05)
    left = min(low, 0.95)
    return max(0.0, left - 0.05 * (right - left)), right


def _channels(gates: Sequence[AttentionMap], colours: Sequence[str], edge: float) -> go.Scatter:
    """A tick for every channel, or for so many that the page stays quick."""
    most = min(200, max(20, 4000 // len(gates)))
    x, y, text, colour = [], [], [], []
    for row, gate in enumerate(gates):
        order = np.argsort(gate.channels)[: np.isfinite(gate.channels).sum()]
        few = order[np.unique(np.linspace(0, len(order) - 1, most).round().astype(int))]
        for channel in few.tolist():
            weight = float(gate.channels[channel])
            x.append(min(weight, edge))
            y.append(row)
            text.append(f"{safe(gate.site)}, channel {channel}: {weight:.3g}")
            colour.append(colours[row])
    return go.Scatter(
        x=x,
        y=y,
        mode="markers",
        name="channels",
        marker={"symbol": "line-ns", "size": 12, "line": {"color": colour, "width": 1}},
        text=text,
        hovertemplate="%{text}<extra></extra>",
    )


def _medians(medians: npt.NDArray[np.floating[Any]], theme: Theme) -> go.Scatter:
    return go.Scatter(
        x=medians,
        y=list(range(len(medians))),
        mode="markers",
        name="median",
        marker={"symbol": "line-ns", "size": 20, "line": {"color": theme.text, "width": 3}},
        hoverinfo="skip",
    )


def _quartiles(low: float, middle: float, high: float) -> str:
    return f"median {middle:.3g}, half of the channels from {low:.3g} to {high:.3g}"


def _said(looks: AttentionMaps, bare: AttentionMaps | None, row: int) -> str:
    """What a picture shows, and what the networks take it for."""
    lines = [f"<b>{_class(looks, int(looks.labels[row]))}</b>", f"ours: {_guess(looks, row)}"]
    if bare is not None:
        same = np.flatnonzero(bare.indices == looks.indices[row])
        lines += [f"baseline: {_guess(bare, int(same[0]))}"] if len(same) else []
    return "<br>".join(lines)


def _guess(looks: AttentionMaps, row: int) -> str:
    return f"{_class(looks, int(looks.predicted[row]))}, {100 * looks.probabilities[row]:.0f} %"


def _class(looks: AttentionMaps, number: int) -> str:
    name = looks.classes[number]
    return safe(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…")


def _data_url(picture: Images) -> str:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
