"""The Dash application: pages, controls, and the callbacks that connect them to the studies.

The query string holds the whole state of a page (`address.Address`): controls write it, pages read
it. `FIGURES` and `TEXTS` name the function that makes each figure and each text. It is called
whenever the address, the theme or the study has changed. A timer checks once a second whether the
study has changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from dash import (
    MATCH,
    ClientsideFunction,
    Dash,
    Input,
    Output,
    State,
    ctx,
    dcc,
    html,
    no_update,
)
from dash.exceptions import PreventUpdate
from flask import request

from ...errors import AttentuneError, MissingStorageError
from ..database.store import Store
from ..figures.base import escape_html
from ..figures.themes import LIGHT
from ..text import formatting
from .address import Address
from .address_callbacks import add_address_callbacks
from .base_path import ROOT, BasePath
from .cache import ComputationError
from .components import Component, text_slot, waiting_figure
from .context import MAX_COMPARED, PageContext, StudyStates, study_names
from .guard import LOOPBACK, host_of
from .guarded_dash import PROBLEM_ID, GuardedDash
from .mark_callbacks import add_mark_callbacks
from .missing import describe_unknown_values, missing_database, missing_study
from .model_download import MODEL_PATH, respond_with_model
from .pages import (
    alternatives,
    attention_maps,
    compare,
    confirmation,
    effects,
    filter_controls,
    history,
    next_steps,
    pair,
    pareto,
    predictions,
    trials,
    warnings,
)
from .pages.trial_card import trial_card
from .trials_csv import respond_with_trials

REFRESH_MILLISECONDS = 1000
"""The time between two checks whether the study has changed."""


@dataclass(frozen=True)
class DashboardPage:
    """A page.

    Attributes:
        title: in the navigation.
        content: without figures.
        controls: whose values go into the address.
        has_card: whether it shows the card of the selected trial.
    """

    title: str
    content: Callable[[PageContext], Component]
    controls: Callable[[PageContext], Component] | None = None
    has_card: bool = False


PAGES: dict[str, DashboardPage] = {
    "/": DashboardPage("Pareto front", pareto.page, pareto.controls, has_card=True),
    "/trials": DashboardPage("Trials", trials.page, trials.controls, has_card=True),
    "/effects": DashboardPage("Effects", effects.page, filter_controls.controls, has_card=True),
    "/history": DashboardPage("History", history.page, history.controls, has_card=True),
    "/pair": DashboardPage("Two architectures", pair.page, pair.controls),
    "/attention-maps": DashboardPage(
        "Inside the network", attention_maps.page, attention_maps.controls
    ),
    "/predictions": DashboardPage("Predictions", predictions.page, predictions.controls),
    "/compare": DashboardPage("Studies", compare.page, compare.controls),
    "/confirmation": DashboardPage("Confirmation", confirmation.page),
}
FORMER_PATHS = {
    "/matters": "/effects",
    "/progress": "/history",
    "/looks": "/attention-maps",
    "/confirmed": "/confirmation",
}
"""Paths of earlier versions, which saved links may have."""
FIGURES: dict[str, Callable[[PageContext], go.Figure]] = {
    "pareto": pareto.pareto,
    "three-objectives": pareto.three_objectives,
    trials.PARALLEL: trials.parallel,
    "stages": effects.stages,
    "positions": effects.positions,
    "main-effects": effects.main_effects,
    "importances": effects.importances,
    "ratios": effects.ratios,
    "slices": effects.slices,
    "best-so-far": history.best_so_far,
    "hypervolume": history.hypervolume,
    "hypervolume-time": history.hypervolume_over_time,
    "expected-gain": history.expected_gain,
    "timeline": history.timeline,
    "learning-curves": history.learning_curves,
    "pair-seeds": pair.seeds,
    "pair-curves": pair.curves,
    "channels": attention_maps.channels,
    "locations": attention_maps.locations,
    "confirmation": confirmation.gains,
    "confusion": predictions.confusion,
    "calibration": predictions.calibration,
}
"""By name. The figures of the page `compare` are not listed; their names end with an index."""
TEXTS: dict[str, Callable[[PageContext], Component]] = {
    "summary": pareto.summary,
    "next-steps": next_steps.next_steps,
    "stopping": history.stopping,
    "passing": filter_controls.passing,
    "trials": trials.trials,
    "drawn": pareto.drawn,
    "front": pareto.front,
    "budget": history.budget,
    "expected-gain-sentence": history.expected_gain_text,
    "failures": history.failures,
    "predictions": attention_maps.predictions,
    "fixed-and-broken": predictions.fixed_and_broken,
    "metrics": predictions.metrics,
    "classes": predictions.classes,
    "calibration-error": predictions.calibration_error,
    "pair-summary": pair.summary,
    "pair-choices": pair.choices,
    "pair-values": pair.values,
    "pair-seed-table": pair.seed_table,
    "pair-images": pair.images,
    "studies": compare.studies,
    "conclusion": confirmation.conclusion_text,
    "warnings": warnings.warnings,
    "alternatives": alternatives.alternatives,
}

SLOT_NAMES: dict[str, Collection[str]] = {
    "figure": {*FIGURES, *(f"{compare.FIGURE_PREFIX}{i}" for i in range(MAX_COMPARED + 1))},
    "text": TEXTS,
}
SLOT_NAMES["graph"] = SLOT_NAMES["figure"]
"""The names that a slot of each kind may have."""


def make_app(
    store: Store,
    first: str | None = None,
    base: BasePath = ROOT,
    *,
    has_token: bool = False,
) -> Dash:
    """The application for an open database.

    Args:
        store: the database.
        first: the study that it shows first; None: the newest.
        base: the path before those of all pages in the browser.
        has_token: whether only readers who know a token get an answer. They may change stars, tags
            and notes; without a token, those may who address this machine by its loopback name.
    """
    app = GuardedDash(
        __name__,
        assets_folder=str(Path(__file__).parent / "assets"),
        title="attentune",
        update_title=None,
        serve_locally=True,
        requests_pathname_prefix=base.path,
        routes_pathname_prefix="/",
        suppress_callback_exceptions=True,
        compress=False,
        slot_names=SLOT_NAMES,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = _layout
    states = StudyStates(store, first, base, lambda: has_token or _is_local())
    app.server.add_url_rule(
        trials.CSV_PATH,
        view_func=lambda: respond_with_trials(states, request.query_string.decode()),
        endpoint="trials-csv",
    )
    app.server.add_url_rule(
        MODEL_PATH,
        view_func=lambda: respond_with_model(states, request.query_string.decode()),
        endpoint="model",
    )
    _add_refresh(app, states)
    _add_pages(app, states)
    _add_figures_and_texts(app, states)
    add_address_callbacks(app, states)
    add_mark_callbacks(app, states, lambda path: PAGES[_path(states, path)].has_card)
    return app


def _is_local() -> bool:
    """Whether the present request addresses this machine by a loopback name, and not a proxy."""
    return host_of(request.environ) in LOOPBACK


def _layout() -> Component:
    theme_button = html.Button(
        "Theme", id="theme-button", type="button", title="Switch between light and dark"
    )
    header = html.Header(
        [
            html.Div("attentune", className="brand"),
            html.Div(id="picker"),
            html.Nav(id="nav", **{"aria-label": "Pages"}),
            html.Button(
                "Notify me",
                id="notify-button",
                type="button",
                hidden=True,
                title="Show a notice on the desktop when the search that is shown ends",
            ),
            theme_button,
        ]
    )
    return html.Div(
        [
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Interval(id="timer", interval=REFRESH_MILLISECONDS),
            dcc.Store(id="version"),
            dcc.Store(id="study"),
            dcc.Store(id="compared"),
            dcc.Store(id="theme"),
            dcc.Store(id="written"),
            dcc.Store(id="edited"),
            header,
            html.P(id="server-problem", className="problem", role="alert"),
            html.P(id=PROBLEM_ID, className="problem", role="alert"),
            html.P(id="unknown", className="problem", role="status"),
            html.P(id="status", className="status", role="status", **{"aria-live": "polite"}),
            html.Div(id="controls", role="region", **{"aria-label": "Filters and choices"}),
            html.Div(id="editor"),
            html.Div(
                [html.Main(id="page"), html.Div(id="card", **{"aria-live": "polite"})],
                id="body",
            ),
        ]
    )


def _add_refresh(app: Dash, states: StudyStates) -> None:
    """Keep the version, the status line and the names of the studies up to date."""
    app.clientside_callback(
        ClientsideFunction("attentune", "theme"),
        Output("theme", "data"),
        Input("theme-button", "n_clicks"),
    )

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("version", "data"),
        Output("status", "children"),
        Output("status", "className"),
        Input("timer", "n_intervals"),
        Input("url", "search"),
        State("version", "data"),
        State("status", "children"),
    )
    def refresh(_: int, query: str, shown_version: str, shown_line: str) -> Any:
        try:
            states.store.check_present()
            state = states.get(Address.from_query(query).study)
            version, line, kind = "none", "", "status"
            if state is not None:
                version, line = f"{state.study.id}:{state.refresh()}", history.status_line(state)
                kind = "status running" if state.trials.has_coordinator else "status"
        except MissingStorageError:
            version, line, kind = shown_version, missing_database(states), no_update
        except AttentuneError as error:  # Shown until the database can be read again.
            version, line, kind = shown_version, formatting.sentence(str(error)), no_update
        return (
            no_update if version == shown_version else version,
            no_update if line == shown_line else line,
            kind,
        )

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("study", "data"),
        Output("compared", "data"),
        Input("version", "data"),
        Input("url", "search"),
        State("study", "data"),
        State("compared", "data"),
    )
    def name_studies(_: str, query: str, shown: str, shown_compared: list[str]) -> Any:
        address = Address.from_query(query)
        state = states.get(address.study)
        name = state.study.name if state else ""
        compared = [other for other in address.compared if states.get(other) is not None]
        return (
            no_update if name == shown else name,
            no_update if compared == shown_compared else compared,
        )


def _path(states: StudyStates, pathname: str) -> str:
    """The path of the page to show: the first page for an unknown one."""
    page = states.base.page_of(pathname)
    path = FORMER_PATHS.get(page, page)
    return path if path in PAGES else "/"


def _add_pages(app: Dash, states: StudyStates) -> None:
    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("nav", "children"),
        Input("url", "pathname"),
        Input("url", "search"),
        Input("study", "data"),
    )
    def navigation(pathname: str, query: str, _: str) -> Any:
        address = Address.from_query(query)
        current = _path(states, pathname)
        return [
            dcc.Link(
                page.title,
                href=states.base.address_of(path + address.query),
                className="here" if path == current else "",
            )
            for path, page in PAGES.items()
        ]

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("picker", "children"),
        Input("url", "pathname"),
        Input("study", "data"),
    )
    def picker(_: str, study: str) -> Any:
        names = study_names(states.store)
        dropdown = dcc.Dropdown(
            names,
            study or None,
            id="study-picker",
            clearable=False,
            placeholder="choose a study" if names else "no studies yet",
        )
        return html.Label(["Study", dropdown])

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("page", "children"),
        Output(PROBLEM_ID, "children"),
        Input("url", "pathname"),
        Input("study", "data"),
        Input("compared", "data"),
        State("url", "search"),
        State("theme", "data"),
    )
    def content(pathname: str, study: str | None, _: Any, query: str, theme: str) -> Any:
        if study is None:
            raise PreventUpdate
        if not study:
            return missing_study(states, Address.from_query(query).study or states.first), None
        page = PAGES[_path(states, pathname)]
        heading = html.H1(f"{page.title}: {study}", className="visually-hidden")
        parts = page.content(states.context(query, theme or LIGHT.name))
        return [heading, text_slot("warnings"), *parts], None

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("unknown", "children"),
        Input("url", "pathname"),
        Input("url", "search"),
        Input("study", "data"),
        State("written", "data"),
    )
    def unknown(pathname: str, query: str, study: str | None, written: str) -> Any:
        if not study:
            return None
        if query == written and list(ctx.triggered_prop_ids) == ["url.search"]:
            raise PreventUpdate  # The controls wrote this address, without what they do not know.
        sentences = list(describe_unknown_values(states.context(query, LIGHT.name), query))
        page = states.base.page_of(pathname)
        if page not in PAGES and page not in FORMER_PATHS:
            sentences.insert(0, f"There is no page {page!r}; this is the first one.")
        return " ".join(sentences)

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("controls", "children"),
        Input("url", "pathname"),
        Input("study", "data"),
        Input("url", "search"),
        State("written", "data"),
    )
    def controls(pathname: str, study: str, query: str, written: str) -> Any:
        if ctx.triggered_id == "url" and query == written:
            raise PreventUpdate  # The controls wrote this address, so they already show it.
        make_controls = PAGES[_path(states, pathname)].controls
        if not study or make_controls is None:
            return None
        return make_controls(states.context(query, LIGHT.name))


def _add_figures_and_texts(app: Dash, states: StudyStates) -> None:
    inputs = (Input("version", "data"), Input("url", "search"), Input("theme", "data"))

    # Dash writes a reader's zoom into the figure, where Plotly's `uirevision` no longer finds it.
    # So the server's figure goes to a store, and the browser applies the present zoom to it.
    app.clientside_callback(
        ClientsideFunction("attentune", "keepZoom"),
        Output({"slot": "graph", "name": MATCH}, "figure"),
        Output({"slot": "graph", "name": MATCH}, "style"),
        Input({"slot": "figure", "name": MATCH}, "data"),
        State({"slot": "graph", "name": MATCH}, "figure"),
    )

    @app.callback(Output({"slot": "figure", "name": MATCH}, "data"), *inputs)  # type: ignore[untyped-decorator, unused-ignore]
    def figure(_: str, query: str, theme: str) -> go.Figure:
        name = ctx.outputs_list["id"]["name"]
        context = states.context(query, theme)
        if name.startswith(compare.FIGURE_PREFIX):
            return compare.study_figure(context, int(name.removeprefix(compare.FIGURE_PREFIX)))
        try:
            return FIGURES[name](context)
        except ComputationError as error:
            return waiting_figure(context.theme, escape_html(str(error)))

    @app.callback(Output({"slot": "text", "name": MATCH}, "children"), *inputs)  # type: ignore[untyped-decorator, unused-ignore]
    def text(_: str, query: str, theme: str) -> Component:
        return TEXTS[ctx.outputs_list["id"]["name"]](states.context(query, theme))

    @app.callback(Output("card", "children"), *inputs, State("url", "pathname"))  # type: ignore[untyped-decorator, unused-ignore]
    def card(_: str, query: str, theme: str, pathname: str) -> Component:
        if not PAGES[_path(states, pathname)].has_card:
            return None
        return trial_card(states.context(query, theme))
