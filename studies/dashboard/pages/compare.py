"""Studies side by side; and what was confirmed."""

from __future__ import annotations

import plotly.graph_objects as go
from dash import dcc, html

from ...figures.intervals import forest_figure
from ...figures.pareto import tradeoff_figure
from ...text import formatting
from ...text.confirmation import verdict, warning
from ..components import Component, plot, section, soft, table, waiting, words
from ..context import Scene
from ..study_state import Board

MOST = 4
"""Studies beside the first."""


def page(scene: Scene) -> Component:
    """The skeleton: a trade-off for each study."""
    return [
        section(
            "Studies side by side",
            "What each found, on its own backbone and data.",
            words("studies"),
        ),
        html.Div(
            [
                section(board.study.name, board.study.backbone, plot(f"beside-{place}", 420))
                for place, board in enumerate((scene.board, *scene.others))
            ],
            className="beside",
        ),
    ]


def controls(scene: Scene, names: list[str]) -> Component:
    """Which studies."""
    others = [name for name in names if name != scene.board.study.name]
    chosen = [name for name in scene.view.with_ if name in others]
    picker = dcc.Dropdown(
        others, chosen, id={"control": "with_"}, multi=True, placeholder="choose studies"
    )
    return html.Div([html.Label(["Compare with", picker])], className="controls")


def beside(scene: Scene, place: int) -> go.Figure:
    """The trade-off of one of them."""
    boards = (scene.board, *scene.others)
    board = boards[min(place, len(boards) - 1)]
    cost = next((c for c in board.costs if c.key == scene.view.cost), board.costs[0])
    figure = tradeoff_figure(board.findings(None, cost), cost, scene.theme, log=scene.view.log)
    return figure.update_layout(height=420, uirevision=f"{board.study.id} {cost.key}")


def studies(scene: Scene) -> Component:
    """A row for each."""
    head = ["Study", "Backbone", "Data", "Best architecture", ">Accuracy", ">Gain, points", ">Bare",
            ">Noise, points", ">Trials"]  # fmt: skip
    return table(head, [_row(board) for board in (scene.board, *scene.others)])


def _row(board: Board) -> list[Component]:
    found = board.findings()
    best, bare, noise = found.best, found.bare, found.noise
    recipe = (board.config.get("study") or {}).get("recipe") or {}
    gain = best.gain if best else None
    return [
        board.study.name,
        board.study.backbone,
        str(recipe.get("data", "–")).rsplit("/", 1)[-1],
        html.Code(formatting.short_architecture(best.architecture)) if best else "–",
        formatting.percent(best.accuracy, best.standard_error) if best else "–",
        formatting.points(gain.mean, gain.standard_error) if gain else "–",
        formatting.percent(bare.accuracy, bare.standard_error) if bare else "–",
        f"{100 * noise.deviation:.1f}" if noise else "–",
        f"{found.counts['complete']:,}",
    ]


def confirmed_page(_: Scene) -> Component:
    """The skeleton of the page of what was confirmed."""
    return [
        section(
            "Confirmed",
            "Finalists and baselines, retrained with fresh seeds and judged once on the test "
            "split. Filled: a difference that can be claimed after the correction.",
            words("verdict"),
            plot("forest", 60),
        )
    ]


def forest(scene: Scene) -> go.Figure:
    """Gains with intervals."""
    found = scene.board.confirmation
    if found is None:
        return waiting(scene.theme, "").update_layout(height=60)
    return forest_figure(found, scene.theme)


def said(scene: Scene) -> Component:
    """What can be claimed and what cannot."""
    found = scene.board.confirmation
    if found is None:
        return [
            html.P("Nothing has been confirmed yet: what the search liked is a hypothesis."),
            soft(f"Test it with: attentune confirm {scene.board.study.name}"),
        ]
    doubt = warning(found)
    return [html.P(verdict(found), className="answer"), soft(doubt) if doubt else None]
