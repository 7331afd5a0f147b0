"""The Dash application: pages, controls and callbacks around the boards.

The address says everything (`view.View`): controls write it, pages read it. Every figure and every
text of a page is drawn by the function of its name (`PLOTS`, `WORDS`) whenever the address, the
theme or the study has changed; a tick a second asks the board whether it has.
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
from .address import View
from .background import Aside
from .components import Component
from .context import Scene
from .pages import attention_maps, compare, effects, history, pareto
from .pages.trial_card import card
from .study_state import Board

TICK = 1000
"""Milliseconds between two looks at the database."""
PAGES: dict[str, tuple[str, Callable[[Scene], Component]]] = {
    "/": ("Trade-offs", pareto.page),
    "/matters": ("What matters", effects.page),
    "/progress": ("Progress", history.page),
    "/looks": ("Looks", attention_maps.page),
    "/compare": ("Compare", compare.page),
    "/confirmed": ("Confirmed", compare.confirmed_page),
}
PLOTS: dict[str, Callable[[Scene], go.Figure]] = {
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
    "places": attention_maps.places,
    "forest": compare.forest,
}
WORDS: dict[str, Callable[[Scene], Component]] = {
    "answer": pareto.answer,
    "drawn": pareto.drawn,
    "front": pareto.front,
    "budget": history.budget,
    "failures": history.failures,
    "looking": attention_maps.said,
    "studies": compare.studies,
    "verdict": compare.said,
}


class Boards:
    """The boards of a database's studies, made when they are first asked for."""

    def __init__(self, store: Store, first: str | None) -> None:
        self.store, self.first = store, first
        self._boards: dict[int, Board] = {}
        self._aside = Aside()
        self._lock = threading.Lock()

    def names(self) -> list[str]:
        """Of all studies, the newest first."""
        return [study.name for study in self.store.studies()][::-1]

    def of(self, name: str) -> Board | None:
        """The board of a study; of the first where the address names none; None if it is gone."""
        name = name or self.first or next(iter(self.names()), "")
        try:
            study = self.store.study(name)
        except StudyError:
            return None
        with self._lock:
            if study.id not in self._boards:
                self._boards[study.id] = Board(self.store, study, self._aside)
            return self._boards[study.id]

    def scene(self, search: str | None, theme: str | None) -> Scene:
        """What a page is asked for; PreventUpdate while there is nothing to show."""
        view = View.of(search)
        board = self.of(view.study)
        if board is None or theme is None:
            raise PreventUpdate
        others = [self.of(name) for name in view.with_[: compare.MOST]]
        beside = tuple(one for one in others if one is not None and one is not board)
        look = DARK if theme == DARK.name else LIGHT
        return Scene(board, view, look, self.store.name, beside)


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
    boards = Boards(store, first)
    _keep_up(app, boards)
    _pages(app, boards)
    _drawing(app, boards)
    _address(app, boards)
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


def _keep_up(app: Dash, boards: Boards) -> None:
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
        board = boards.of(View.of(search).study)
        if board is None:
            return no_update if mark == "none" else "none", no_update
        found, line = f"{board.study.id}:{board.refresh()}", history.live(board)
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
        view = View.of(search)
        board = boards.of(view.study)
        name, others = board.study.name if board else "", list(view.with_)
        return (
            no_update if name == known else name,
            no_update if others == beside else others,
        )


def _pages(app: Dash, boards: Boards) -> None:
    @app.callback(  # type: ignore[untyped-decorator, unused-ignore]
        Output("nav", "children"),
        Output("picker", "children"),
        Input("url", "pathname"),
        Input("study", "data"),
        State("url", "search"),
    )
    def head(pathname: str, study: str, search: str) -> Any:
        keep = View.of(search)
        link = View(study=keep.study, with_=keep.with_).search
        links = [
            dcc.Link(title, href=path + link, className="here" if path == pathname else "")
            for path, (title, _) in PAGES.items()
        ]
        names = boards.names()
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
            return _no_study(boards, View.of(search).study)
        draw = PAGES.get(pathname, PAGES["/"])[1]
        return draw(boards.scene(search, theme or LIGHT.name))

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
        scene = boards.scene(search, LIGHT.name)
        if pathname == "/compare":
            return compare.controls(scene, boards.names())
        return (attention_maps if pathname == "/looks" else pareto).controls(scene)


def _no_study(boards: Boards, asked: str) -> Component:
    known = boards.names()
    if not known:
        return html.P(
            "No studies yet: start one with `attentune search NAME --backbone resnet18 --data "
            "FOLDER`; it appears here by itself."
        )
    links = [html.Li(dcc.Link(name, href=View(study=name).search)) for name in known]
    return [html.P(f"There is no study {asked!r}; there are:"), html.Ul(links)]


def _drawing(app: Dash, boards: Boards) -> None:
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
        scene = boards.scene(search, theme)
        if name.startswith("beside-"):
            return compare.beside(scene, int(name.removeprefix("beside-")))
        return PLOTS[name](scene)

    @app.callback(Output({"words": MATCH}, "children"), *asked)  # type: ignore[untyped-decorator, unused-ignore]
    def text(_: str, search: str, theme: str) -> Component:
        return WORDS[ctx.outputs_list["id"]["words"]](boards.scene(search, theme))

    @app.callback(Output("card", "children"), *asked, State("url", "pathname"))  # type: ignore[untyped-decorator, unused-ignore]
    def shown(_: str, search: str, theme: str, pathname: str) -> Component:
        return card(boards.scene(search, theme)) if pathname == "/" else None


def _address(app: Dash, boards: Boards) -> None:
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
        now = View.of(search)
        # What is shown by default need not stand in the address.
        usual = boards.scene(now.with_changes({"cost": "", "third": ""}).search, LIGHT.name)
        if changes.get("cost") == usual.cost.key:
            changes["cost"] = ""
        if changes.get("third") == usual.third.key and not changes.get("cost"):
            changes["third"] = ""
        following = now.with_changes(changes)
        if following == now or not changes:
            raise PreventUpdate
        return following.search, following.search

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
        following = View.of(search).with_changes({"trial": found[0]}).search
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
        return View(study=name).search
