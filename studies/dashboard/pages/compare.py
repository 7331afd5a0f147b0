"""Compare: several studies side by side."""

from __future__ import annotations

import plotly.graph_objects as go
from dash import dcc, html

from ...figures.pareto import pareto_figure
from ...text import formatting
from ...text.metric_format import MetricFormat
from ..address import Address
from ..components import Component, figure_slot, section, table, text_slot
from ..context import PageContext, study_names
from ..study_state import StudyState
from .trials import CSV_PATH

FIGURE_HEIGHT = 420
FIGURE_PREFIX = "study-"
"""A figure's name is this and the index of its study."""


def page(context: PageContext) -> Component:
    """The page without its figures: one section for each study."""
    states = (context.state, *context.compared)
    return [
        section(
            "Studies side by side",
            "The best architecture of each study, on its own backbone and data.",
            text_slot("studies"),
        ),
        html.Div(
            [
                section(
                    state.study.name,
                    state.study.backbone,
                    figure_slot(
                        f"{FIGURE_PREFIX}{index}",
                        FIGURE_HEIGHT,
                        label=state.study.name,
                        trials_csv=context.base.address_of(
                            CSV_PATH + Address(study=state.study.name).query
                        ),
                    ),
                )
                for index, state in enumerate(states)
            ],
            className="side-by-side",
        ),
    ]


def controls(context: PageContext) -> Component:
    """The choice of studies."""
    names = [name for name in study_names(context.state.store) if name != context.state.study.name]
    selected = [name for name in context.address.compared if name in names]
    dropdown = dcc.Dropdown(
        names, selected, id={"control": "compared"}, multi=True, placeholder="choose studies"
    )
    return html.Div([html.Label(["Compare with", dropdown])], className="controls")


def study_figure(context: PageContext, index: int) -> go.Figure:
    """The metric against cost in one of the studies, by its index on the page."""
    states = (context.state, *context.compared)
    state = states[min(index, len(states) - 1)]
    costs = state.analysis.costs
    cost = next((c for c in costs if c.key == context.address.cost), costs[0])
    findings, log = state.analysis.findings(None, cost), context.address.log
    figure = pareto_figure(findings, cost, context.theme, log=log)
    return figure.update_layout(height=FIGURE_HEIGHT, uirevision=f"{state.study.id} {cost.key}")


def studies(context: PageContext) -> Component:
    """A table with one row for each study."""
    head = [
        "Study",
        "Backbone",
        "Data",
        "Best architecture",
        "Metric",
        ">Best",
        ">Gain",
        ">Bare backbone",
        ">Noise",
        ">Trials",
    ]
    return table(head, [_row(state) for state in (context.state, *context.compared)])


def _row(state: StudyState) -> list[Component]:
    findings = state.analysis.findings()
    best, bare, noise = findings.best, findings.bare, findings.noise
    recipe, form = state.records.recipe, MetricFormat(findings.metric)
    missing = formatting.MISSING
    return [
        state.study.name,
        state.study.backbone,
        state.study.config.evaluation or (recipe.data.rsplit("/", 1)[-1] if recipe else missing),
        html.Code(formatting.short_architecture(best.architecture)) if best else missing,
        form.metric.heading,
        form.value(best.score, best.standard_error) if best else missing,
        form.gain_with_unit(best.gain, best.gain_error)
        if best and best.gain is not None
        else missing,
        form.value(bare.score, bare.standard_error) if bare else missing,
        form.deviation(noise.deviation) if noise else missing,
        formatting.integer(findings.counts["complete"]),
    ]
