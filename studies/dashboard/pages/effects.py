"""Effects: by attention, stage and position; main effects; importances; reduction ratios."""

from __future__ import annotations

from collections.abc import Callable

import plotly.graph_objects as go

from ...analysis.attention_effects import AttentionEffects
from ...figures.heatmap import heatmap_figure
from ...figures.importances import importances_figure
from ...figures.main_effects import main_effects_figure
from ...figures.reduction_ratios import ratios_figure
from ...figures.themes import Theme
from ...objectives import Objective
from ...text import captions
from ..components import Component, figure_slot, section, waiting_figure
from ..context import PageContext


def page(context: PageContext) -> Component:
    """The page without its figures."""
    height = 90 + 62 * (len(context.state.analysis.insertions.attentions) + 1)
    return [
        section(
            "Effect by attention and stage",
            captions.EFFECTS_BY_STAGE,
            figure_slot("stages", height),
        ),
        section(
            "Effect by attention and position",
            "The same by the position in the block, in an average stage.",
            figure_slot("positions", height),
        ),
        section(
            "Main effects",
            captions.MAIN_EFFECTS,
            figure_slot("main-effects", 560),
        ),
        section(
            "Importance of each stage",
            captions.IMPORTANCES,
            figure_slot("importances", 260),
        ),
        section(
            "Reduction ratios",
            captions.RATIOS,
            figure_slot("ratios", 380),
        ),
    ]


def _figure(
    context: PageContext, draw: Callable[[AttentionEffects, Objective, Theme], go.Figure]
) -> go.Figure:
    """A figure of the effects, or a message while they are computed."""
    effects = context.state.background.effects
    if effects is None:
        return waiting_figure(context.theme)
    return draw(effects, context.state.study.metric, context.theme)


def stages(context: PageContext) -> go.Figure:
    """Effects by attention and stage."""
    return _figure(context, lambda effects, *style: heatmap_figure(effects.by_stage, *style))


def positions(context: PageContext) -> go.Figure:
    """Effects by attention and position."""
    return _figure(context, lambda effects, *style: heatmap_figure(effects.by_position, *style))


def main_effects(context: PageContext) -> go.Figure:
    """Main effects with intervals."""
    return _figure(context, lambda effects, *style: main_effects_figure(effects.main, *style))


def importances(context: PageContext) -> go.Figure:
    """Importances of the stages."""
    return _figure(context, lambda effects, _, theme: importances_figure(effects.shares, theme))


def ratios(context: PageContext) -> go.Figure:
    """Effects by reduction ratio."""
    return _figure(context, lambda effects, *style: ratios_figure(effects.by_ratio, *style))
