"""Effects: gains by attention, stage and position; main effects; importances; reduction ratios."""

from __future__ import annotations

import plotly.graph_objects as go

from ...figures.heatmap import heatmap_figure
from ...figures.importances import importances_figure
from ...figures.main_effects import main_effects_figure
from ...figures.reduction_ratios import ratios_figure
from ...text import captions, formatting
from ..background_analysis import MAX_SAMPLE
from ..components import Component, figure_slot, section, waiting_figure
from ..context import PageContext


def page(context: PageContext) -> Component:
    """The page without its figures."""
    sample = ""
    if context.state.background.uses_sample:
        count = formatting.plural(MAX_SAMPLE, "architecture")
        sample = f" Estimated from a random sample of {count}."
    height = 90 + 62 * (len(context.state.analysis.insertions.attentions) + 1)
    return [
        section(
            "Gain by attention and stage",
            captions.GAIN_BY_STAGE,
            figure_slot("stages", height),
        ),
        section(
            "Gain by attention and position",
            "The same by the position in the block, in any stage.",
            figure_slot("positions", height),
        ),
        section(
            "Main effects",
            captions.MAIN_EFFECTS + sample,
            figure_slot("main-effects", 560),
        ),
        section(
            "Importance of each stage",
            captions.IMPORTANCES + sample,
            figure_slot("importances", 260),
        ),
        section(
            "Reduction ratios",
            "Mean gain of the architectures with this attention and reduction ratio, ± its "
            "standard error.",
            figure_slot("ratios", 380),
        ),
    ]


def stages(context: PageContext) -> go.Figure:
    """Gain by attention and stage."""
    return heatmap_figure(context.state.analysis.stage_table, context.theme)


def positions(context: PageContext) -> go.Figure:
    """Gain by attention and position."""
    return heatmap_figure(context.state.analysis.position_table, context.theme)


def main_effects(context: PageContext) -> go.Figure:
    """Main effects with intervals."""
    effects = context.state.background.main_effects
    if effects is None:
        return waiting_figure(context.theme)
    return main_effects_figure(effects, context.theme)


def importances(context: PageContext) -> go.Figure:
    """Importances of the stages."""
    shares = context.state.background.importances
    if shares is None:
        return waiting_figure(context.theme)
    return importances_figure(shares, context.theme)


def ratios(context: PageContext) -> go.Figure:
    """Gain by reduction ratio."""
    return ratios_figure(context.state.analysis.ratio_curves, context.theme)
