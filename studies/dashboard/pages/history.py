"""Progress: how the front grew, who trained what when, what pruning saved, what failed."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from dash import html

from ...analysis.analyse import failures_by_kind
from ...analysis.trial_table import COMPLETE, PRUNED, RUNNING
from ...figures.heatmap import curves_figure
from ...figures.history import course_figure, timeline_figure
from ...text import formatting
from ..components import Component, plot, section, soft, table, tiles, waiting, words
from ..context import Scene
from ..study_state import Board

LAST_CURVES = 120
"""Trials whose curves are drawn, beside the front and the baselines: the last ones."""
BARS = 400
"""Trials of the timeline: the last ones."""


def page(_: Scene) -> Component:
    """The skeleton."""
    return [
        words("budget"),
        section(
            "Hypervolume",
            "Of the front as training went on, in parts of the box between the best and the worst "
            "that the study has seen.",
            plot("course", 320),
            plot("course-time", 320),
        ),
        section(
            "Who trained what",
            f"The last {BARS} trials by worker.",
            plot("timeline", 320),
        ),
        section(
            "Learning curves",
            "Validation accuracy after every epoch; dotted: pruned or failed.",
            plot("curves", 430),
        ),
        section("What did not run to its end", "", words("failures")),
    ]


def course(scene: Scene) -> go.Figure:
    """Hypervolume over epochs."""
    found = scene.board.course
    return waiting(scene.theme) if found is None else course_figure(found, scene.theme)


def course_in_time(scene: Scene) -> go.Figure:
    """Hypervolume over the time that trials took."""
    found = scene.board.course
    if found is None:
        return waiting(scene.theme)
    return course_figure(found, scene.theme, over_time=True)


def timeline(scene: Scene) -> go.Figure:
    """Trials by worker."""
    columns = scene.board.columns
    rows, runs = columns.rows[-BARS:], scene.board.runs
    return timeline_figure(rows, columns.workers, columns.texts, scene.theme, runs=runs)


def curves(scene: Scene) -> go.Figure:
    """Learning curves: of many, those of the front, the baselines and the last ones."""
    board = scene.board
    found = board.findings(scene.view, scene.cost)
    shown = {n for p in (*found.front, *found.baselines) for n in p.numbers}
    last = board.columns.rows["number"][-LAST_CURVES:]
    trials = board.records(sorted(shown | {int(number) for number in last}))
    epochs = board.epochs_of([trial.number for trial in trials])
    figure = curves_figure(found, trials, epochs, scene.theme)
    return figure.update_layout(uirevision=str(board.study.id))


def budget(scene: Scene) -> Component:
    """Budget used and left, what pruning saved, the time that is left."""
    board = scene.board
    plan: Mapping[str, Any] = board.config.get("plan") or {}
    rows = board.columns.rows
    ended = rows[rows["state"] != RUNNING]
    wanted, spent = plan.get("trials"), board.store.spent_seconds(board.study)
    numbers = []
    if wanted:
        numbers.append(("trials", f"{len(ended):,} of {wanted:,}", _share(len(ended), wanted)))
    of = f" of {formatting.duration(plan['budget'])}" if plan.get("budget") else ""
    numbers.append(("wall time", formatting.duration(spent) + of, "over all resumes"))
    trained = int(ended["epochs"].sum())
    whole = int(ended["epochs"][ended["state"] == COMPLETE].max(initial=0))
    saved = int((whole - ended["epochs"][ended["state"] == PRUNED]).clip(min=0).sum())
    share = f"{100 * saved / (saved + trained):.0f} % of what all would have taken" if saved else ""
    numbers.append(("epochs saved by pruning", f"{saved:,}", share))
    numbers.append(("time left", *_left(board, wanted, ended)))
    return tiles(numbers)


def _share(done: int, wanted: int) -> str:
    return f"{100 * done / wanted:.0f} %"


def _left(board: Board, wanted: int | None, ended: Any) -> tuple[str, str]:
    """Of the last trials' pace: what is left at it."""
    if not wanted or len(ended) >= wanted:
        return "none", "the trials are done" if wanted else "no number of trials is known"
    moments = np.sort(ended["finished"][~np.isnan(ended["finished"])])[-20:]
    if not board.runs:
        return "–", "nobody runs this study now"
    if len(moments) < 3:
        return "–", "too few trials to tell"
    pace = (time.time() - moments[0]) / len(moments)
    return formatting.duration(
        pace * (wanted - len(ended))
    ), f"a trial every {formatting.duration(pace)}"


def failures(scene: Scene) -> Component:
    """By kind, with their messages; and what cost limits turned away."""
    board = scene.board
    groups = failures_by_kind(board.failed())
    rejected = board.rejections()
    if not groups and not rejected:
        return soft("Everything so far did.")
    rows = [
        [html.Span(group.kind, className="tag bad"), html.Code(message[:500]), _numbers(numbers)]
        for group in groups
        for message, numbers in group.messages.items()
    ]
    parts: list[Component] = [table(["Failure", "Message", ">Trials"], rows)] if rows else []
    if rejected:
        first = rejected[-1]
        parts.append(
            soft(
                f"{formatting.plural(len(rejected), 'architecture')} rejected by a cost limit "
                f"before training; the last: {first.architecture}, {first.reason}"
            )
        )
    return parts


def _numbers(numbers: Sequence[int]) -> str:
    more = f", … ({len(numbers)})" if len(numbers) > 8 else ""
    return ", ".join(map(str, numbers[:8])) + more


def live(board: Board) -> str:
    """One line: how far the search is, and what is training."""
    counts = board.columns.counts()
    ended = counts["complete"] + counts["pruned"] + counts["failed"]
    words = [f"{formatting.plural(ended, 'trial')} done"]
    running = sorted(board.latest.items())
    for number, record in running[:3]:
        reached = record.report.accuracy
        shown = "" if math.isnan(reached) else f", {formatting.percent(reached)}"
        words.append(f"trial {number}: epoch {record.report.epoch}{shown}")
    if len(running) > 3:
        words.append(f"{len(running) - 3} more running")
    if counts["running"] and not board.runs:
        words = [words[0], f"{formatting.plural(counts['running'], 'trial')} interrupted",
                 f"go on with: attentune resume {board.study.name}"]  # fmt: skip
    elif counts["running"] and not running:
        words.append(f"{formatting.plural(counts['running'], 'trial')} beginning")
    return " · ".join(words)
