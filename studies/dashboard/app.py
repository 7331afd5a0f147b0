"""The Dash application: pages, controls, and the callbacks that connect them to the studies.

The address holds the whole state of a page (`address.Address`): controls write it, pages read it.
`FIGURES` and `TEXTS` name the function that makes each figure and each text. It is called whenever
the address, the theme or the study has changed. A timer asks once a second whether the study has.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from dash import (
    ALL,
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

from ...errors import StudyError
from ..database.store import Store
from ..figures.themes import DARK, LIGHT
from .address import Address
from .background import BackgroundProcess
from .components import Component
from .context import PageContext
from .pages import attention_maps, compare, effects, history, pareto
from .pages.trial_card import trial_card
from .study_state import StudyState

TICK = 1000
"""Milliseconds between two looks at the database."""
PAGES: dict[str, tuple[str, Callable[[PageContext], Component]]] = {
    "/": ("Trade-offs", pareto.page),
    "/matters": ("What matters", effects.page),
    "/progress": ("Progress", history.page),
    "/looks": ("Looks", attention_maps.page),
    "/compare": ("Compare", compare.page),
    "/confirmed": ("Confirmed", compare.confirmed_page),
}
FIGURES: dict[str, Callable[[PageContext], go.Figure]] = {
    "tradeoff": pareto.tradeoff,
    "three": pareto.three,
    "stages": effects.stages,
    "positions": effects.positions,
    "effects": effects.effects,
    "importances": effects.importances,
    "ratios": effects.ratios,
    "course": history.course,
    "course-time": history.course_in_time,
    "timeline": history.timeline,
    "curves": history.curves,
    "channels": attention_maps.channels,
    "locations": attention_maps.locations,
    "forest": compare.forest,
}
TEXTS: dict[str, Callable[[PageContext], Component]] = {
    "summary": pareto.summary,
    "drawn": pareto.drawn,
    "front": pareto.front,
    "budget": history.budget,
    "failures": history.failures,
    "predictions": attention_maps.predictions,
    "studies": compare.studies,
    "conclusion": compare.conclusion_text,
}


class StudyStates:
    """The states of a database's studies, made when they are first asked for."""

    def __init__(self, store: Store, first: str | None) -> None:
        self.store, self.first = store, first
        self._states: dict[int, StudyState] = {}
        self._background = BackgroundProcess()
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Of all studies, the newest first."""
        return [study.name for study in self.store.studies()][::-1]

    def of(self, name: str) -> StudyState | None:
        """The state of a study; of the first where the address names none; None if it is gone."""
        name = name or self.first or next(iter(self.names()), "")
        try:
            study = self.store.study(name)
        except StudyError:
            return None
        with self._lock:
            if study.id not in self._states:
                self._states[study.id] = StudyState(self.store, study, self._background)
            return self._states[study.id]

    def context(self, search: str | None, theme: str | None) -> PageContext:
        """What a page is asked for; PreventUpdate while there is nothing to show."""
        address = Address.from_query(search)
        state = self.of(address.study)
        if state is None or theme is None:
            raise PreventUpdate
        others = [self.of(name) for name in address.with_[: compare.MOST]]
        beside = tuple(one for one in others if one is not None and one is not state)
        look = DARK if theme == DARK.name else LIGHT
        return PageContext(state, address, look, self.store.name, beside)


def make_app(store: Store, first: str | None = None) -> Dash:
    """The application over an open database, which shows the study `first` to begin with."""
    app = Dash(
        __name__,
        assets_folder=str(Path(__file__).parent / "assets"),
        title="attentune",
        update_title=None,
        serve_locally=True,
        suppress_callback_exceptions=True,
        compress=False,
        meta_tags=[{"name": "viewport", "content": "width=device-width, initial-scale=1"}],
    )
    app.layout = _layout
    states = StudyStates(store, first)
    _keep_up(app, states)
    _pages(app, states)
    _drawing(app, states)
    _address(app, states)
    return app


def _layout() -> Component:
    return html.Div(
        [
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Interval(id="tick", interval=TICK),
            dcc.Store(id="mark"),
            dcc.Store(id="study"),
            dcc.Store(id="compared"),
            dcc.Store(id="theme"),
            dcc.Store(id="written"),
            html.Header(
                [
                    html.Div("attentune", className="brand"),
                    html.Div(id="picker"),
                    html.Nav(id="nav", **{"aria-label": "Pages"}),
                    html.Button("Theme", id="theme-button", type="button",
                                title="Light or dark"),
                ]
            ),
            html.P(id="live", className="live", role="status", **{"aria-live": "polite"}),
            html.Div(id="controls"),
            html.Div(
                [html.Main(id="page"), html.Div(id="card", **{"aria-live": "polite"})],
                id="body",
            ),
        ]
    )  # fmt: skip


def _keep_up(app: Dash, states: StudyStates) -> None:
    app.clientside_callback(
        ClientsideFunction("attentune", "theme"),
        Output("theme", "data"),
        Input("theme-button", "n_clicks"),
    )

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("mark", "data"),
        Output("live", "children"),
        Input("tick", "n_intervals"),
        Input("url", "search"),
        State("mark", "data"),
        State("live", "children"),
    )
    def tick(_: int, search: str, mark: str, said: str) -> Any:
        state = states.of(Address.from_query(search).study)
        if state is None:
            return no_update if mark == "none" else "none", no_update
        found, line = f"{state.study.id}:{state.refresh()}", history.live(state)
        return (no_update if found == mark else found), (no_update if line == said else line)

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("study", "data"),
        Output("compared", "data"),
        Input("mark", "data"),
        Input("url", "search"),
        State("study", "data"),
        State("compared", "data"),
    )
    def which(_: str, search: str, known: str, beside: list[str]) -> Any:
        address = Address.from_query(search)
        state = states.of(address.study)
        name, others = state.study.name if state else "", list(address.with_)
        return (
            no_update if name == known else name,
            no_update if others == beside else others,
        )


def _pages(app: Dash, states: StudyStates) -> None:
    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("nav", "children"),
        Output("picker", "children"),
        Input("url", "pathname"),
        Input("study", "data"),
        State("url", "search"),
    )
    def head(pathname: str, study: str, search: str) -> Any:
        keep = Address.from_query(search)
        link = Address(study=keep.study, with_=keep.with_).query
        links = [
            dcc.Link(title, href=path + link, className="here" if path == pathname else "")
            for path, (title, _) in PAGES.items()
        ]
        names = states.names()
        picker = dcc.Dropdown(
            names, study or None, id="study-picker", clearable=False, placeholder="no studies yet"
        )
        return links, html.Label(["Study", picker])

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("page", "children"),
        Input("url", "pathname"),
        Input("study", "data"),
        Input("compared", "data"),
        State("url", "search"),
        State("theme", "data"),
    )
    def page(pathname: str, study: str | None, _: Any, search: str, theme: str) -> Any:
        if study is None:
            raise PreventUpdate
        if not study:
            return _no_study(states, Address.from_query(search).study)
        draw = PAGES.get(pathname, PAGES["/"])[1]
        return draw(states.context(search, theme or LIGHT.name))

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("controls", "children"),
        Input("url", "pathname"),
        Input("study", "data"),
        Input("url", "search"),
        State("written", "data"),
    )
    def controls(pathname: str, study: str, search: str, written: str) -> Any:
        if ctx.triggered_id == "url" and search == written:
            raise PreventUpdate  # it was the controls that wrote it
        if not study or pathname not in ("/", "/looks", "/compare"):
            return None
        context = states.context(search, LIGHT.name)
        if pathname == "/compare":
            return compare.controls(context, states.names())
        return (attention_maps if pathname == "/looks" else pareto).controls(context)


def _no_study(states: StudyStates, asked: str) -> Component:
    known = states.names()
    if not known:
        return html.P(
            "No studies yet: start one with `attentune search NAME --backbone resnet18 --data "
            "FOLDER`; it appears here by itself."
        )
    links = [html.Li(dcc.Link(name, href=Address(study=name).query)) for name in known]
    return [html.P(f"There is no study {asked!r}; there are:"), html.Ul(links)]


def _drawing(app: Dash, states: StudyStates) -> None:
    asked = (Input("mark", "data"), Input("url", "search"), Input("theme", "data"))

    # Dash writes a reader's zoom into the figure, where Plotly's `uirevision` no longer finds it.
    # So what the server draws goes to a store, and the browser keeps the zoom as it shows it.
    app.clientside_callback(
        ClientsideFunction("attentune", "zoomed"),
        Output({"part": "plot", "name": MATCH}, "figure"),
        Output({"part": "plot", "name": MATCH}, "style"),
        Input({"part": "drawn", "name": MATCH}, "data"),
        State({"part": "plot", "name": MATCH}, "figure"),
    )

    @app.callback(Output({"part": "drawn", "name": MATCH}, "data"), *asked)  # type: ignore[untyped-decorator, unused-ignore]
    def figure(_: str, search: str, theme: str) -> go.Figure:
        name = ctx.outputs_list["id"]["name"]
        context = states.context(search, theme)
        if name.startswith("beside-"):
            return compare.beside(context, int(name.removeprefix("beside-")))
        return FIGURES[name](context)

    @app.callback(Output({"words": MATCH}, "children"), *asked)  # type: ignore[untyped-decorator, unused-ignore]
    def text(_: str, search: str, theme: str) -> Component:
        return TEXTS[ctx.outputs_list["id"]["words"]](states.context(search, theme))

    @app.callback(Output("card", "children"), *asked, State("url", "pathname"))  # type: ignore[untyped-decorator, unused-ignore]
    def shown(_: str, search: str, theme: str, pathname: str) -> Component:
        return trial_card(states.context(search, theme)) if pathname == "/" else None


def _address(app: Dash, states: StudyStates) -> None:
    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("url", "search"),
        Output("written", "data"),
        Input({"control": ALL}, "value"),
        State({"control": ALL}, "id"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def write(values: Sequence[Any], names: Sequence[dict[str, str]], search: str) -> Any:
        changes = {name["control"]: value for name, value in zip(names, values, strict=True)}
        if "log" in changes:
            changes["log"] = bool(changes["log"])
        now = Address.from_query(search)
        # What is shown by default need not stand in the address.
        usual = states.context(now.with_changes({"cost": "", "third": ""}).query, LIGHT.name)
        if changes.get("cost") == usual.cost.key:
            changes["cost"] = ""
        if changes.get("third") == usual.third.key and not changes.get("cost"):
            changes["third"] = ""
        following = now.with_changes(changes)
        if following == now or not changes:
            raise PreventUpdate
        return following.query, following.query

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("url", "search", allow_duplicate=True),
        Output("written", "data", allow_duplicate=True),
        Input({"part": "plot", "name": ALL}, "clickData"),
        State("url", "search"),
        prevent_initial_call=True,
    )
    def select(clicks: Sequence[Any], search: str) -> Any:
        found = [point["customdata"] for click in clicks if click for point in click["points"]
                 if isinstance(point.get("customdata"), int)]  # fmt: skip
        if not found or ctx.triggered[0]["value"] is None:
            raise PreventUpdate
        following = Address.from_query(search).with_changes({"trial": found[0]}).query
        return following, following

    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("url", "search", allow_duplicate=True),
        Input("study-picker", "value"),
        State("study", "data"),
        prevent_initial_call=True,
    )
    def pick(name: str | None, known: str) -> Any:
        if not name or name == known:
            raise PreventUpdate
        return Address(study=name).query
