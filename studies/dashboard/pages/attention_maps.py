"""Inside the network: the channels and locations that each attention passes on."""

from __future__ import annotations

import plotly.graph_objects as go
from dash import dcc, html

from ...figures.attention_maps import channels_figure, locations_figure
from ...text import formatting
from ..components import (
    COMPUTING,
    Component,
    figure_slot,
    remark,
    section,
    text_slot,
    waiting_figure,
)
from ..context import PageContext
from ..inspected_trials import InspectedTrial


def page(context: PageContext) -> Component:
    """The page without its figures; a sentence if only a user's code can run the networks."""
    if (target := context.state.study.config.evaluation) is not None:
        caption = (
            f"The trials are trained by {target}, and only that code can run their networks, so "
            "this page cannot show how strongly each attention passes on channels and locations."
        )
        return [section("Inside the network", caption)]
    return [
        section(
            "Inside the network",
            "A trained network runs on some validation images. This page shows how strongly each "
            "attention passes on every channel and every location.",
            text_slot("predictions"),
        ),
        section(
            "Channels",
            "A tick is a channel. The line at 1 is a channel that is passed on unchanged.",
            figure_slot("channels", 300),
        ),
        section(
            "Locations",
            "Each stage shows its last attention or, without one, the strength of its output. The "
            "column beside it is the strength of the output in the bare backbone.",
            figure_slot("locations", 600, wide=True),
        ),
    ]


def controls(context: PageContext) -> Component:
    """The choice of the trial."""
    findings = context.state.analysis.findings(None, context.cost)
    summaries = {s.number: s for s in (*findings.front, *findings.baselines)}
    options = [
        {"label": f"{n}: {formatting.short_architecture(s.architecture)}", "value": n}
        for n, s in sorted(summaries.items())
    ]
    chosen = trial_number(context)
    if chosen is not None and chosen not in summaries:
        options.append({"label": f"trial {chosen}", "value": chosen})
    dropdown = dcc.Dropdown(options, chosen, id={"control": "trial"}, placeholder="choose a trial")
    return html.Div([html.Label(["Trial", dropdown])], className="controls single")


def trial_number(context: PageContext) -> int | None:
    """The trial that is shown: the selected one, else the best."""
    if context.address.trial is not None:
        return context.address.trial
    best = context.state.analysis.findings().best
    return None if best is None else best.number


def predictions(context: PageContext) -> Component:
    """How many images are classified correctly, or why there is nothing to show."""
    trial = _inspected_trial(context)
    if trial is None:
        computing = trial_number(context) is not None
        return remark("Computing the attention maps …" if computing else "No complete trial yet.")
    if trial.maps is None:
        return html.P(trial.problem)
    maps = trial.maps
    correct = int((maps.labels == maps.predicted).sum())
    score = f"{correct} of {len(maps.labels)} images classified correctly"
    lines = [f"Trial {trial_number(context)}, {maps.architecture}: {score}."]
    if trial.problem:
        lines.append(trial.problem)
    return [*map(html.P, lines), *map(remark, maps.left_out)]


def channels(context: PageContext) -> go.Figure:
    """The figure of the channels."""
    trial = _inspected_trial(context)
    if trial is None or trial.maps is None:
        return _empty_figure(context, trial)
    return channels_figure(trial.maps, context.theme)


def locations(context: PageContext) -> go.Figure:
    """The figure of the locations."""
    trial = _inspected_trial(context)
    if trial is None or trial.maps is None:
        return _empty_figure(context, trial)
    return locations_figure(trial.maps, trial.baseline, context.theme)


def _empty_figure(context: PageContext, trial: InspectedTrial | None) -> go.Figure:
    """The figure while the maps are computed; without a message if the text above it has one."""
    computing = trial is None and trial_number(context) is not None
    return waiting_figure(context.theme, COMPUTING if computing else "")


def _inspected_trial(context: PageContext) -> InspectedTrial | None:
    number = trial_number(context)
    return None if number is None else context.state.inspected.get(number)
