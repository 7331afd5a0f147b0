"""Effects: by attention, stage and position; main effects; importances; reduction ratios."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import plotly.graph_objects as go

from ...analysis.attention_effects import AttentionEffects
from ...analysis.slices import find_slices
from ...analysis.trial_table import COMPLETE
from ...figures.base import fade_unselected
from ...figures.heatmap import fade_cells, heatmap_figure
from ...figures.importances import importances_figure
from ...figures.main_effects import main_effects_figure
from ...figures.reduction_ratios import ratios_figure
from ...figures.slices import slices_figure
from ...figures.themes import Theme
from ...objectives import Objective
from ...text import captions
from ..address import Address
from ..components import Component, figure_slot, remark, section, text_slot, waiting_figure
from ..context import PageContext
from .trials import CSV_PATH

SELECTING = (
    "The effects are estimated from all trials. A click on a cell, a marker or a bar sets the "
    "filters of what it stands for, on every page; what does not pass the filters is faded here."
)


def page(context: PageContext) -> Component:
    """The page without its figures."""
    height = 90 + 62 * (len(context.state.analysis.insertions.attentions) + 1)
    return [
        text_slot("passing"),
        section(
            "Effect by attention and stage",
            captions.EFFECTS_BY_STAGE,
            remark(SELECTING),
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
            "Importance of each choice",
            captions.IMPORTANCES,
            figure_slot("importances", 260),
        ),
        section(
            "Reduction ratios",
            captions.RATIOS,
            figure_slot("ratios", 380),
        ),
        section(
            "The trials behind the means",
            "The results of complete trials that pass the filters, as measured, by what they have "
            "in each stage; other stages may have any attention. The bar is the mean, the dashed "
            "line the bare backbone. A click on a marker opens the card of its trial.",
            figure_slot("slices", 440, wide=True, trials_csv=context.base.address_of(CSV_PATH)),
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


def is_selected(address: Address, levels: Mapping[str, str]) -> bool:
    """Whether something with these levels of factors passes the filters of insertions.

    Args:
        address: has the filters.
        levels: by factor: attention, position, stage or ratio.
    """
    return all(
        not getattr(address, factor) or level in getattr(address, factor)
        for factor, level in levels.items()
    )


def _heatmap(context: PageContext, table: str, column_factor: str) -> go.Figure:
    address = context.address

    def passes(attention: str, column: str) -> bool:
        return is_selected(address, {"attention": attention, column_factor: column})

    def draw(effects: AttentionEffects, metric: Objective, theme: Theme) -> go.Figure:
        figure = heatmap_figure(getattr(effects, table), metric, theme)
        return fade_cells(figure, passes, theme) if address.filtered else figure

    return _figure(context, draw)


def _faded(context: PageContext, figure: go.Figure) -> go.Figure:
    """The figure, with what does not pass the filters faded."""
    if not context.address.filtered:
        return figure
    return fade_unselected(figure, lambda levels: is_selected(context.address, levels))


def stages(context: PageContext) -> go.Figure:
    """Effects by attention and stage."""
    return _heatmap(context, "by_stage", "stage")


def positions(context: PageContext) -> go.Figure:
    """Effects by attention and position."""
    return _heatmap(context, "by_position", "position")


def main_effects(context: PageContext) -> go.Figure:
    """Main effects with intervals."""
    figure = _figure(context, lambda effects, *style: main_effects_figure(effects.main, *style))
    return _faded(context, figure)


def importances(context: PageContext) -> go.Figure:
    """Importances of the choices."""
    figure = _figure(
        context, lambda effects, _, theme: importances_figure(effects.importances, theme)
    )
    return _faded(context, figure)


def ratios(context: PageContext) -> go.Figure:
    """Effects by reduction ratio."""
    figure = _figure(context, lambda effects, *style: ratios_figure(effects.by_ratio, *style))
    return _faded(context, figure)


def slices(context: PageContext) -> go.Figure:
    """The trials by stage, attention and ratio."""
    state = context.state
    rows = state.trials.rows()
    rows = rows[(rows["state"] == COMPLETE) & ~np.isnan(rows["score"])]
    rows = rows[state.analysis.matching_trials(context.address, rows)]
    _, choices = state.choices.read(state.analysis.stages)
    texts = state.analysis.filtered_study.texts
    bare = state.analysis.findings().bare
    return slices_figure(
        find_slices(rows, choices, state.analysis.stages),
        {int(row["number"]): texts[row["architecture"]] for row in rows},
        state.study.metric,
        context.theme,
        bare=None if bare is None else bare.score,
    ).update_layout(uirevision=str(state.study.id))
