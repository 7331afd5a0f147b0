"""Figures of attention maps: how strongly each channel and each location is passed on.

channels_figure(maps), locations_figure(maps, baseline_maps)
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

from ...runners.data.dataset import Images, to_rgb
from ...runners.inspection.attention_maps import AttentionMap, AttentionMaps, Floats
from .base import escape_html, show_message, styled_figure
from .themes import LIGHT, Theme

MAX_IMAGES_DRAWN = 6
ROW_HEIGHT_PIXELS = 34
"""Height of one attention's row in the figure of the channels."""
PAGE_WIDTH_PIXELS = 1000
"""Width of the page that the proportions of the grid are made for."""
GAP = 0.08
"""The gap between cells of the grid, in heights of a cell."""
LABEL_WIDTH = 1.3
"""The space for labels left of the grid, in heights of a cell."""
MAX_CLASS_CHARACTERS = 16
MAX_TICKS = 4000
"""Ticks of all channels in a figure; with more the page becomes slow."""


def channels_figure(maps: AttentionMaps, theme: Theme = LIGHT) -> go.Figure:
    """How strongly every attention passes on its channels, one row per attention.

    Each tick is a channel; if there are very many, evenly spaced ones are drawn. The bar covers the
    middle half of the channels, and its dark tick is the median. The line at 1 is a channel that is
    passed on unchanged. An outlier is drawn at the edge; its hover text has the value.
    """
    figure = styled_figure(theme, "Channel passed on, 1 = unchanged", "")
    attentions = [entry for entry in maps.attentions if np.isfinite(entry.channels).any()]
    if not attentions:
        return show_message(figure, theme, "No attention here weighs channels")
    finite = [entry.channels[np.isfinite(entry.channels)] for entry in attentions]
    quartiles = np.array([np.quantile(channels, (0.25, 0.5, 0.75)) for channels in finite])
    left, right = _axis_range(np.concatenate(finite), float(quartiles.max()))
    colours = [theme.attention_colour(entry.attention) for entry in attentions]
    rows = list(range(len(attentions)))
    figure.add_trace(
        go.Bar(
            base=quartiles[:, 0],
            x=quartiles[:, 2] - quartiles[:, 0],
            y=rows,
            orientation="h",
            width=0.6,
            name="middle half",
            marker={"color": colours, "opacity": 0.35},
            text=[_describe_quartiles(*map(float, row)) for row in quartiles],
            textposition="none",
            hovertemplate="%{text}<extra></extra>",
        )
    )
    figure.add_trace(_channel_ticks(attentions, colours, right))
    figure.add_trace(_median_ticks(quartiles[:, 1], theme))
    figure.add_vline(x=1, line={"color": theme.text, "width": 1.5, "dash": "dot"})
    height = 120 + ROW_HEIGHT_PIXELS * len(attentions)
    figure.update_layout(height=height, margin={"l": 16, "t": 8}, bargap=0)
    figure.update_xaxes(range=[left, right + 0.02 * (right - left)])
    figure.update_yaxes(
        tickvals=rows,
        ticktext=[escape_html(f"{entry.site} {entry.attention}") for entry in attentions],
        range=[len(attentions) - 0.5, -0.5],
        showgrid=False,
        fixedrange=True,
    )
    return figure


def locations_figure(
    maps: AttentionMaps, baseline: AttentionMaps | None = None, theme: Theme = LIGHT
) -> go.Figure:
    """The locations that are passed on, one row per image and one or two columns per stage.

    The first column of a stage shows its last attention or, in a stage without one, the energy of
    its output; the second shows the energy in the bare backbone. The scale of an attention is
    centred on its median: locations of one colour are passed on more strongly, those of the other
    less. Every column has its own scale, whose ends are printed above it. So colours compare
    locations and images, but not columns.

    Args:
        maps: of the trial's network.
        baseline: of the bare backbone; only images that both have are compared.
        theme: the colours.
    """
    figure = styled_figure(theme, "", "")
    columns = _columns(maps, baseline)
    if not columns:
        return show_message(figure, theme, "No stage of this network returns a map to draw")
    height, width = maps.images.shape[1:3]
    grid = _Grid(width / height)
    rows = min(MAX_IMAGES_DRAWN, len(maps.images))
    for row in range(rows):
        image = maps.images[row]
        position = grid.raster(row, 0, image.shape[:2])
        figure.add_trace(go.Image(source=_data_url(image), hoverinfo="skip", **position))
        figure.add_annotation(
            **grid.row_label(row), text=_describe_predictions(maps, baseline, row), align="right"
        )
    figure.add_annotation(**grid.column_label(0), text="image")
    for number, column in enumerate(columns, 1):
        figure.add_annotation(**grid.column_label(number), text=column.title(theme))
        for row in range(rows):
            if row in column.maps:
                locations = column.maps[row]
                position = grid.raster(row, number, locations.shape)
                label = f"image {maps.indices[row]}"
                figure.add_trace(
                    go.Heatmap(z=locations, meta=label, **position, **column.style(theme))
                )
    figure.update_annotations(showarrow=False, font={"size": 11})
    return grid.frame(figure, rows, 1 + len(columns))


@dataclass(frozen=True)
class _MapColumn:
    """Maps of one stage on one scale, by the rows of their images."""

    heading: str
    content: str
    is_attention: bool
    maps: Mapping[int, Floats]

    @property
    def scale(self) -> tuple[float, float]:
        """Ends of the colour scale.

        The scale of an attention is symmetric about its median, and wide enough to hide rounding.
        """
        values = np.concatenate([locations.ravel() for locations in self.maps.values()])
        values = values[np.isfinite(values)]
        if not len(values):
            return 0.0, 1.0
        low, high = float(values.min()), float(values.max())
        if self.is_attention:
            low, middle, high = map(float, np.quantile(values, (0.01, 0.5, 0.99)))
            reach = max(0.005, high - middle, middle - low)
            return middle - reach, middle + reach
        return low, max(high, low + 1e-6)

    def title(self, theme: Theme) -> str:
        low, high = self.scale
        scale = f"{low:.3g} to {high:.3g}".replace("-", "−")
        heading, content = escape_html(self.heading), escape_html(self.content)
        return f"<b>{heading}</b><br>{content}<br><span style='color:{theme.muted}'>{scale}</span>"

    def style(self, theme: Theme) -> dict[str, Any]:
        """The arguments of `go.Heatmap` that all maps of this column share."""
        low, high = self.scale
        sequential = [[0, theme.empty], [0.6, theme.palette[0]], [1, theme.text]]
        diverging = [[0, theme.palette[2]], [0.5, theme.middle], [1, theme.palette[0]]]
        name = escape_html(f"{self.heading} {self.content}")
        return {
            "name": name,
            "zmin": low,
            "zmax": high,
            "colorscale": diverging if self.is_attention else sequential,
            "showscale": False,
            "hovertemplate": f"%{{z:.3g}}<extra>{name}</extra>",
        }


@dataclass(frozen=True)
class _Grid:
    """Positions on one pair of axes: cells of height 1 and width `aspect`, with gaps."""

    aspect: float

    def raster(self, row: int, column: int, shape: tuple[int, ...]) -> dict[str, float]:
        """Where a raster of shape (H, W) fills a cell.

        A trace is positioned by the centre of its first element.
        """
        dx, dy = self.aspect / shape[1], 1 / shape[0]
        left, top = column * (self.aspect + GAP), row * (1 + GAP)
        return {"x0": left + dx / 2, "dx": dx, "y0": top + dy / 2, "dy": dy}

    def row_label(self, row: int) -> dict[str, Any]:
        return {"x": -GAP, "y": row * (1 + GAP) + 0.5, "xanchor": "right", "yanchor": "middle"}

    def column_label(self, column: int) -> dict[str, Any]:
        middle = column * (self.aspect + GAP) + self.aspect / 2
        return {"x": middle, "y": -GAP / 2, "xanchor": "center", "yanchor": "bottom"}

    def frame(self, figure: go.Figure, rows: int, columns: int) -> go.Figure:
        """Hide the axes, and size the figure so that all cells and labels keep their aspect."""
        right, bottom = columns * (self.aspect + GAP), rows * (1 + GAP)
        cell_pixels = min(120.0, PAGE_WIDTH_PIXELS / (right + LABEL_WIDTH))
        top = 56 / cell_pixels  # room for three lines of text
        hidden = {"visible": False, "fixedrange": True, "constrain": "domain"}
        figure.update_xaxes(range=[-LABEL_WIDTH, right], **hidden)
        figure.update_yaxes(range=[bottom, -top], scaleanchor="x", scaleratio=1, **hidden)
        margin = {"l": 0, "r": 0, "t": 0, "b": 0}
        figure.update_layout(height=round(cell_pixels * (bottom + top)), margin=margin)
        return figure


def _columns(maps: AttentionMaps, baseline: AttentionMaps | None) -> list[_MapColumn]:
    """For every stage the trial's map and the baseline's, matched by image."""
    rows = {int(index): row for row, index in enumerate(maps.indices[:MAX_IMAGES_DRAWN])}
    stages = sorted({e.stage for e in maps.stages} | {e.stage for e in maps.attentions})
    last_attention = {entry.stage: entry for entry in maps.attentions}
    columns = []
    for stage in stages:
        if entry := last_attention.get(stage):
            block = entry.site.partition(".")[0]
            by_row = _by_row(entry.locations, maps, rows)
            columns.append(_MapColumn(block, entry.attention, True, by_row))
        else:
            columns += _energy_columns(maps, stage, "energy", rows)
        if baseline is not None:
            columns += _energy_columns(baseline, stage, "baseline", rows)
    return columns


def _energy_columns(
    maps: AttentionMaps, stage: int, content: str, rows: Mapping[int, int]
) -> list[_MapColumn]:
    energies = [
        _by_row(entry.locations, maps, rows) for entry in maps.stages if entry.stage == stage
    ]
    return [_MapColumn(f"s{stage}", content, False, by_row) for by_row in energies if by_row]


def _by_row(locations: Floats, maps: AttentionMaps, rows: Mapping[int, int]) -> dict[int, Floats]:
    """The maps (H, W) of the images that are drawn, by their row."""
    by_index = zip(map(int, maps.indices), locations, strict=True)
    return {rows[index]: location for index, location in by_index if index in rows}


def _axis_range(weights: Floats, least_right: float) -> tuple[float, float]:
    """Ends of the axis of channels, between which are 1 and all weights but a few outliers."""
    low, usual, high = map(float, np.quantile(weights, (0, 0.99, 1)))
    right = max(high if high < 3 * usual else 1.2 * usual, least_right, 1.05)
    left = min(low, 0.95)
    return max(0.0, left - 0.05 * (right - left)), right


def _channel_ticks(
    attentions: Sequence[AttentionMap], colours: Sequence[str], edge: float
) -> go.Scatter:
    """A tick for every channel; if there are more than `MAX_TICKS`, for evenly spaced ones."""
    ticks_per_row = min(200, max(20, MAX_TICKS // len(attentions)))
    x, y, text, colour = [], [], [], []
    for row, entry in enumerate(attentions):
        order = np.argsort(entry.channels)[: np.isfinite(entry.channels).sum()]
        spaced = np.unique(np.linspace(0, len(order) - 1, ticks_per_row).round().astype(int))
        for channel in order[spaced].tolist():
            weight = float(entry.channels[channel])
            x.append(min(weight, edge))
            y.append(row)
            text.append(f"{escape_html(entry.site)}, channel {channel}: {weight:.3g}")
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


def _median_ticks(medians: npt.NDArray[np.floating[Any]], theme: Theme) -> go.Scatter:
    return go.Scatter(
        x=medians,
        y=list(range(len(medians))),
        mode="markers",
        name="median",
        marker={"symbol": "line-ns", "size": 20, "line": {"color": theme.text, "width": 3}},
        hoverinfo="skip",
    )


def _describe_quartiles(low: float, middle: float, high: float) -> str:
    return f"median {middle:.3g}, half of the channels from {low:.3g} to {high:.3g}"


def _describe_predictions(maps: AttentionMaps, baseline: AttentionMaps | None, row: int) -> str:
    """An image's class, and the classes that the networks predict."""
    lines = [
        f"<b>{_class_name(maps, int(maps.labels[row]))}</b>",
        f"trial: {_prediction(maps, row)}",
    ]
    if baseline is not None:
        matching = np.flatnonzero(baseline.indices == maps.indices[row])
        if len(matching):
            lines.append(f"baseline: {_prediction(baseline, int(matching[0]))}")
    return "<br>".join(lines)


def _prediction(maps: AttentionMaps, row: int) -> str:
    name = _class_name(maps, int(maps.predicted[row]))
    return f"{name}, {100 * maps.probabilities[row]:.0f} %"


def _class_name(maps: AttentionMaps, number: int) -> str:
    name = maps.classes[number]
    if len(name) > MAX_CLASS_CHARACTERS:
        name = f"{name[: MAX_CLASS_CHARACTERS - 1]}…"
    return escape_html(name)


def _data_url(image: Images) -> str:
    file = io.BytesIO()
    Image.fromarray(to_rgb(image)).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
