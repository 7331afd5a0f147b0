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
from ...figures.hypervolume import hypervolume_figure
from ...figures.learning_curves import learning_curves_figure
from ...figures.timeline import timeline_figure
from ...text import formatting
from ..components import Component, plot, section, soft, table, tiles, waiting, words
from ..context import PageContext
from ..study_state import StudyState

LAST_CURVES = 120
"""Trials whose curves are drawn, beside the front and the baselines: the last ones."""
BARS = 400
"""Trials of the timeline: the last ones."""


def page(_: PageContext) -> Component:
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


def course(context: PageContext) -> go.Figure:
    """Hypervolume over epochs."""
    found = context.state.course
    return waiting(context.theme) if found is None else hypervolume_figure(found, context.theme)


def course_in_time(context: PageContext) -> go.Figure:
    """Hypervolume over the time that trials took."""
    found = context.state.course
    if found is None:
        return waiting(context.theme)
    return hypervolume_figure(found, context.theme, over_time=True)


def timeline(context: PageContext) -> go.Figure:
    """Trials by worker."""
    columns = context.state.columns
    rows, runs = columns.rows[-BARS:], context.state.runs
    return timeline_figure(rows, columns.workers, columns.texts, context.theme, running=runs)


def curves(context: PageContext) -> go.Figure:
    """Learning curves: of many, those of the front, the baselines and the last ones."""
    state = context.state
    found = state.findings(context.address, context.cost)
    shown = {n for p in (*found.front, *found.baselines) for n in p.numbers}
    last = state.columns.rows["number"][-LAST_CURVES:]
    trials = state.records(sorted(shown | {int(number) for number in last}))
    epochs = state.epochs_of([trial.number for trial in trials])
    figure = learning_curves_figure(found, trials, epochs, context.theme)
    return figure.update_layout(uirevision=str(state.study.id))


def budget(context: PageContext) -> Component:
    """Budget used and left, what pruning saved, the time that is left."""
    state = context.state
    plan: Mapping[str, Any] = state.config.get("plan") or {}
    rows = state.columns.rows
    ended = rows[rows["state"] != RUNNING]
    wanted, spent = plan.get("trials"), state.store.spent_seconds(state.study)
    numbers = []
    if wanted:
        done = f"{formatting.integer(len(ended))} of {formatting.integer(wanted)}"
        numbers.append(("trials", done, formatting.share(len(ended) / wanted)))
    of = f" of {formatting.duration(plan['budget'])}" if plan.get("budget") else ""
    numbers.append(("wall time", formatting.duration(spent) + of, "over all resumes"))
    trained = int(ended["epochs"].sum())
    whole = int(ended["epochs"][ended["state"] == COMPLETE].max(initial=0))
    saved = int((whole - ended["epochs"][ended["state"] == PRUNED]).clip(min=0).sum())
    share = ""
    if saved:
        share = f"{formatting.share(saved / (saved + trained))} of all epochs without pruning"
    numbers.append(("epochs saved by pruning", formatting.integer(saved), share))
    numbers.append(("time left", *_left(state, wanted, ended)))
    return tiles(numbers)


def _left(state: StudyState, wanted: int | None, ended: Any) -> tuple[str, str]:
    """Of the last trials' pace: what is left at it."""
    if not wanted or len(ended) >= wanted:
        return "none", "the trials are done" if wanted else "no number of trials is known"
    moments = np.sort(ended["finished"][~np.isnan(ended["finished"])])[-20:]
    if not state.runs:
        return formatting.MISSING, "nobody runs this study now"
    if len(moments) < 3:
        return formatting.MISSING, "too few trials to tell"
    pace = (time.time() - moments[0]) / len(moments)
    return formatting.duration(
        pace * (wanted - len(ended))
    ), f"a trial every {formatting.duration(pace)}"


def failures(context: PageContext) -> Component:
    """By kind, with their messages; and what cost limits turned away."""
    state = context.state
    groups = failures_by_kind(state.failed())
    rejected = state.rejections()
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


def live(state: StudyState) -> str:
    """One line: how far the search is, and what is training."""
    counts = state.columns.counts()
    ended = counts["complete"] + counts["pruned"] + counts["failed"]
    words = [f"{formatting.plural(ended, 'trial')} done"]
    running = sorted(state.latest.items())
    for number, record in running[:3]:
        reached = record.report.accuracy
        shown = "" if math.isnan(reached) else f", {formatting.percent(reached)}"
        words.append(f"trial {number}: epoch {record.report.epoch}{shown}")
    if len(running) > 3:
        words.append(f"{len(running) - 3} more running")
    if counts["running"] and not state.runs:
        words = [words[0], f"{formatting.plural(counts['running'], 'trial')} interrupted",
                 f"go on with: attentune resume {state.study.name}"]  # fmt: skip
    elif counts["running"] and not running:
        words.append(f"{formatting.plural(counts['running'], 'trial')} beginning")
    return " · ".join(words)
