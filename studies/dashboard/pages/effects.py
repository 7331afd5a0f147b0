"""What matters: attention by stage and position, main effects, importances, ratios."""

from __future__ import annotations

import plotly.graph_objects as go

from ...figures.heatmap import heatmap_figure
from ...figures.importances import importances_figure
from ...figures.main_effects import main_effects_figure
from ...figures.ratios import ratios_figure
from ..components import Component, plot, section, waiting
from ..context import PageContext
from ..study_state import SAMPLE


def page(context: PageContext) -> Component:
    """The skeleton."""
    many = len(context.state.architectures) > SAMPLE
    sample = f" Estimated from {SAMPLE:,} architectures drawn at random." if many else ""
    rows = len(context.state.traits.attentions) + 1
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


def stages(context: PageContext) -> go.Figure:
    """Attention × stage."""
    return heatmap_figure(context.state.stage_table, context.theme)


def positions(context: PageContext) -> go.Figure:
    """Attention × position."""
    return heatmap_figure(context.state.position_table, context.theme)


def effects(context: PageContext) -> go.Figure:
    """Main effects with intervals."""
    found = context.state.effects
    return waiting(context.theme) if found is None else main_effects_figure(found, context.theme)


def importances(context: PageContext) -> go.Figure:
    """fANOVA."""
    found = context.state.importances
    return waiting(context.theme) if found is None else importances_figure(found, context.theme)


def ratios(context: PageContext) -> go.Figure:
    """Gain by ratio."""
    return ratios_figure(context.state.ratio_curves, context.theme)
