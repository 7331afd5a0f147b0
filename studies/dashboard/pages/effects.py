"""What matters: attention by stage and position, main effects, importances, ratios."""

from __future__ import annotations

import plotly.graph_objects as go

from ...figures.heatmap import heatmap_figure, ratio_figure
from ...figures.history import importance_figure
from ...figures.intervals import effects_figure
from ..components import Component, plot, section, waiting
from ..context import Scene
from ..study_state import SAMPLE


def page(scene: Scene) -> Component:
    """The skeleton."""
    many = len(scene.board.architectures) > SAMPLE
    sample = f" Estimated from {SAMPLE:,} architectures drawn at random." if many else ""
    rows = len(scene.board.traits.attentions) + 1
    return [
        section(
            "Which attention, in which stage",
            "Mean accuracy gained over the paired bare backbone in percentage points, ± its "
            "standard error, and how many architectures. A cell is an average over company, no "
            "effect by itself; hatched: never tried.",
            plot("stages", 90 + 62 * rows),
        ),
        section(
            "Which attention, at which position",
            "The same by the place in the block, anywhere in the network.",
            plot("positions", 90 + 62 * rows),
        ),
        section(
            "What each choice is worth",
            "Accuracy gained per stage over leaving it alone, everything else equal, by a linear "
            f"model, with 95 % intervals. Open: may be nothing.{sample}",
            plot("effects", 560),
        ),
        section(
            "Which stage matters",
            "How much of the accuracy's variation the attention of each stage explains (fANOVA)."
            + sample,
            plot("importances", 260),
        ),
        section(
            "Reduction ratios",
            "Mean gain of the architectures that have an attention with a ratio, ± standard error.",
            plot("ratios", 380),
        ),
    ]


def stages(scene: Scene) -> go.Figure:
    """Attention × stage."""
    return heatmap_figure(scene.board.stage_table, scene.theme)


def positions(scene: Scene) -> go.Figure:
    """Attention × position."""
    return heatmap_figure(scene.board.position_table, scene.theme)


def effects(scene: Scene) -> go.Figure:
    """Main effects with intervals."""
    found = scene.board.effects
    return waiting(scene.theme) if found is None else effects_figure(found, scene.theme)


def importances(scene: Scene) -> go.Figure:
    """fANOVA."""
    found = scene.board.importances
    return waiting(scene.theme) if found is None else importance_figure(found, scene.theme)


def ratios(scene: Scene) -> go.Figure:
    """Gain by ratio."""
    return ratio_figure(scene.board.ratio_curves, scene.theme)
