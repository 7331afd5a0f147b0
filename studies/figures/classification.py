"""How a trial classifies: the confusion of classes, and the reliability of its probabilities."""

from __future__ import annotations

import plotly.graph_objects as go

from ..analysis.classification import Calibration, Classification
from ..text import formatting
from .base import escape_html, show_message, styled_figure
from .themes import LIGHT, Theme

MAX_CLASSES_WITH_NUMBERS = 20
"""Up to this many classes, each cell of the confusion matrix has its number of images."""
MAX_CLASSES_DRAWN = 200
CELL_PIXELS = 34
MAX_LABEL_LENGTH = 18
"""Characters of a class's name beside the matrix."""


def confusion_figure(classification: Classification, theme: Theme = LIGHT) -> go.Figure:
    """The confusion matrix: true classes are rows, predicted classes columns.

    The colour of a cell is its share of the images of its row, and its number counts images.
    """
    figure = styled_figure(theme, "Predicted class", "True class")
    size = len(classification.classes)
    if size > MAX_CLASSES_DRAWN:
        return show_message(figure, theme, f"{formatting.integer(size)} classes are too many")
    counts = classification.confusion
    shares = [[cell / max(1, sum(row)) for cell in row] for row in counts]
    names = [escape_html(result.name) for result in classification.classes]
    hover = [
        [
            f"{names[row]} taken for {names[column]}: {formatting.plural(cell, 'image')} "
            f"({formatting.share(shares[row][column])})"
            for column, cell in enumerate(line)
        ]
        for row, line in enumerate(counts)
    ]
    numbered = size <= MAX_CLASSES_WITH_NUMBERS
    figure.add_trace(
        go.Heatmap(
            z=shares,
            text=[[str(cell) if cell else "" for cell in row] for row in counts],
            texttemplate="%{text}" if numbered else "",
            textfont={"color": theme.text, "size": 12},
            customdata=counts,
            hovertext=hover,
            hovertemplate="%{hovertext}<extra></extra>",
            zmin=0,
            zmax=1,
            colorscale=[[0, theme.middle], [1, theme.above]],
            showscale=False,
            xgap=2 if numbered else 0,
            ygap=2 if numbered else 0,
        )
    )
    labels = [name if len(name) <= MAX_LABEL_LENGTH else f"{name[:MAX_LABEL_LENGTH]}…"
              for name in names]  # fmt: skip
    ticks = {"tickvals": list(range(size)), "ticktext": labels, "showgrid": False, "ticks": ""}
    figure.update_xaxes(**ticks, fixedrange=True)
    figure.update_yaxes(**ticks, autorange="reversed", fixedrange=True)
    figure.update_layout(height=min(900, 120 + CELL_PIXELS * max(4, size)))
    return figure


def calibration_figure(calibration: Calibration | None, theme: Theme = LIGHT) -> go.Figure:
    """The reliability diagram: accuracy against confidence, with the diagonal of a calibrated one.

    The area of a marker is proportional to the images of its bin.
    """
    figure = styled_figure(theme, "Confidence (%)", "Accuracy (%)", height=360)
    if calibration is None:
        return show_message(figure, theme, "The probabilities were not kept")
    line = {"color": theme.muted, "width": 1, "dash": "dash"}
    figure.add_shape(type="line", x0=0, y0=0, x1=100, y1=100, line=line)
    largest = max(group.images for group in calibration.bins)
    figure.add_trace(
        go.Scatter(
            x=[100 * group.confidence for group in calibration.bins],
            y=[100 * group.accuracy for group in calibration.bins],
            mode="lines+markers",
            line={"color": theme.palette[0], "width": 2},
            marker={
                "size": [group.images for group in calibration.bins],
                "sizemode": "area",
                "sizeref": 2 * largest / 26**2,
                "sizemin": 4,
            },
            text=[formatting.plural(group.images, "image") for group in calibration.bins],
            hovertemplate="confidence %{x:.1f} %, accuracy %{y:.1f} %<br>%{text}<extra></extra>",
        )
    )
    figure.update_xaxes(range=[0, 103])
    figure.update_yaxes(range=[0, 103])
    return figure
