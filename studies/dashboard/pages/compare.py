"""Studies side by side; and what was confirmed."""

from __future__ import annotations

import plotly.graph_objects as go
from dash import dcc, html

from ...figures.confirmation import confirmation_figure
from ...figures.pareto import pareto_figure
from ...text import formatting
from ...text.confirmation import conclusion, rank_warning
from ..components import Component, plot, section, soft, table, waiting, words
from ..context import PageContext
from ..study_state import StudyState

MOST = 4
"""Studies beside the first."""


def page(context: PageContext) -> Component:
    """The skeleton: a trade-off for each study."""
    return [
        section(
            "Studies side by side",
            "What each found, on its own backbone and data.",
            words("studies"),
        ),
        html.Div(
            [
                section(state.study.name, state.study.backbone, plot(f"beside-{place}", 420))
                for place, state in enumerate((context.state, *context.others))
            ],
            className="beside",
        ),
    ]


def controls(context: PageContext, names: list[str]) -> Component:
    """Which studies."""
    others = [name for name in names if name != context.state.study.name]
    chosen = [name for name in context.address.with_ if name in others]
    picker = dcc.Dropdown(
        others, chosen, id={"control": "with_"}, multi=True, placeholder="choose studies"
    )
    return html.Div([html.Label(["Compare with", picker])], className="controls")


def beside(context: PageContext, place: int) -> go.Figure:
    """The trade-off of one of them."""
    states = (context.state, *context.others)
    state = states[min(place, len(states) - 1)]
    cost = next((c for c in state.costs if c.key == context.address.cost), state.costs[0])
    figure = pareto_figure(state.findings(None, cost), cost, context.theme, log=context.address.log)
    return figure.update_layout(height=420, uirevision=f"{state.study.id} {cost.key}")


def studies(context: PageContext) -> Component:
    """A row for each."""
    head = ["Study", "Backbone", "Data", "Best architecture", ">Accuracy", ">Gain, points", ">Bare",
            ">Noise, points", ">Trials"]  # fmt: skip
    return table(head, [_row(state) for state in (context.state, *context.others)])


def _row(state: StudyState) -> list[Component]:
    found = state.findings()
    best, bare, noise = found.best, found.bare, found.noise
    recipe = (state.config.get("study") or {}).get("recipe") or {}
    gain = best.gain if best else None
    return [
        state.study.name,
        state.study.backbone,
        str(recipe.get("data", formatting.MISSING)).rsplit("/", 1)[-1],
        html.Code(formatting.short_architecture(best.architecture)) if best else formatting.MISSING,
        formatting.percent(best.accuracy, best.standard_error) if best else formatting.MISSING,
        formatting.points(gain.mean, gain.standard_error) if gain else formatting.MISSING,
        formatting.percent(bare.accuracy, bare.standard_error) if bare else formatting.MISSING,
        formatting.points(noise.deviation, signed=False) if noise else formatting.MISSING,
        formatting.integer(found.counts["complete"]),
    ]


def confirmed_page(_: PageContext) -> Component:
    """The skeleton of the page of what was confirmed."""
    return [
        section(
            "Confirmed",
            "Finalists and baselines, retrained with fresh seeds and judged once on the test "
            "split. Filled: a difference that can be claimed after the correction.",
            words("conclusion"),
            plot("forest", 60),
        )
    ]


def forest(context: PageContext) -> go.Figure:
    """Gains with intervals."""
    found = context.state.confirmation
    if found is None:
        return waiting(context.theme, "").update_layout(height=60)
    return confirmation_figure(found, context.theme)


def conclusion_text(context: PageContext) -> Component:
    """What can be claimed and what cannot."""
    found = context.state.confirmation
    if found is None:
        return [
            html.P("Nothing has been confirmed yet: what the search liked is a hypothesis."),
            soft(f"Test it with: attentune confirm {context.state.study.name}"),
        ]
    warning = rank_warning(found)
    return [html.P(conclusion(found), className="summary"), soft(warning) if warning else None]
