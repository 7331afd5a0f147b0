"""History: budget, hypervolume over time, timeline by worker, learning curves, failures."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go
from dash import html

from ...analysis.analyse import group_failures
from ...analysis.trial_table import COMPLETE, PRUNED, RUNNING
from ...figures.best_so_far import best_so_far_figure
from ...figures.expected_gain import expected_gain_figure
from ...figures.hypervolume import hypervolume_figure
from ...figures.learning_curves import learning_curves_figure
from ...figures.timeline import timeline_figure
from ...text import captions, formatting
from ...text.expected_gain import gain_threshold
from ...text.metric_format import MetricFormat
from ..components import (
    Component,
    figure_slot,
    remark,
    section,
    sentence,
    table,
    text_slot,
    tiles,
    waiting_figure,
)
from ..context import PageContext
from ..study_state import StudyState
from .filter_controls import controls_bar, curve_choice, filter_controls
from .trials import CSV_PATH

ALL_TRIALS = "Filters do not apply to it: all trials count."
MAX_CURVES = 120
"""The last trials whose learning curves are drawn, beside the front and the baselines."""
MAX_BARS = 400
"""The last trials that the timeline shows."""
PACE_TRIALS = 20
"""The last trials from whose pace the time left is estimated."""
MIN_PACE_TRIALS = 3
MAX_MESSAGE_LENGTH = 500
"""Characters of a failure's message."""
MAX_NUMBERS = 8
"""Numbers of trials that are listed for each failure."""
MAX_RUNNING = 3
"""Running trials that the status line names."""


def page(context: PageContext) -> Component:
    """The page without its figures."""
    return [
        text_slot("budget"),
        text_slot("next-steps"),
        text_slot("passing"),
        section(
            "Best so far: should I stop?",
            captions.BEST_SO_FAR,
            text_slot("stopping"),
            figure_slot("best-so-far", 340, trials_csv=context.base.address_of(CSV_PATH)),
        ),
        section(
            "Hypervolume",
            f"{captions.HYPERVOLUME} {ALL_TRIALS}",
            figure_slot("hypervolume", 320),
            figure_slot("hypervolume-time", 320),
        ),
        section(
            "Expected gain of more trials",
            f"{captions.EXPECTED_GAIN} {ALL_TRIALS}",
            text_slot("expected-gain-sentence"),
            figure_slot("expected-gain", 320),
        ),
        section(
            "Timeline by worker",
            f"The last {MAX_BARS} trials that pass the filters. A click on a bar opens the card of "
            "its trial.",
            figure_slot("timeline", 320, trials_csv=context.base.address_of(CSV_PATH)),
        ),
        section(
            "Learning curves",
            f"{captions.LEARNING_CURVES} A click on a curve opens the card of its trial.",
            figure_slot("learning-curves", 430),
        ),
        section(
            "Failed and rejected trials",
            "Failures by kind, and architectures that exceed a cost limit.",
            text_slot("failures"),
        ),
    ]


def stopping(context: PageContext) -> Component:
    """Whether more trials are worth their time."""
    return sentence(context.state.stopping())


def best_so_far(context: PageContext) -> go.Figure:
    """The best result so far, with the results of the trials that pass the filters."""
    state = context.state
    history = state.analysis.best_so_far
    rows = state.trials.rows()
    rows = rows[np.argsort(rows["number"], kind="stable")]
    rows = rows[np.searchsorted(rows["number"], history.numbers)]
    texts = state.analysis.filtered_study.texts
    figure = best_so_far_figure(
        history,
        [texts[index] for index in rows["architecture"]],
        state.study.metric,
        context.theme,
        drawn=state.analysis.matching_trials(context.address, rows),
    )
    return figure.update_layout(uirevision=str(state.study.id))


def controls(context: PageContext) -> Component:
    """The filters, and what the learning curves show."""
    bar = [curve_choice(context), *filter_controls(context)]
    return controls_bar("Curves and filters", bar)


def hypervolume(context: PageContext) -> go.Figure:
    """Hypervolume over epochs."""
    return _hypervolume(context, over_time=False)


def hypervolume_over_time(context: PageContext) -> go.Figure:
    """Hypervolume over the time that the trials took."""
    return _hypervolume(context, over_time=True)


def _hypervolume(context: PageContext, *, over_time: bool) -> go.Figure:
    steps = context.state.background.hypervolume_history
    if steps is None:
        return waiting_figure(context.theme)
    return hypervolume_figure(steps, context.theme, over_time=over_time)


def expected_gain(context: PageContext) -> go.Figure:
    """What the next trials were expected to add."""
    config = context.state.records.config
    threshold = gain_threshold(config, context.state.study.metric)
    metric = context.state.study.metric
    return expected_gain_figure(config.expected_gains, metric, context.theme, threshold=threshold)


def expected_gain_text(context: PageContext) -> Component:
    """What the next trials are expected to add, in one sentence."""
    return remark(context.state.expected_gain() or "Not forecast yet.")


def timeline(context: PageContext) -> go.Figure:
    """Trials by worker."""
    trials = context.state.trials
    return timeline_figure(
        _passing_rows(context)[-MAX_BARS:],
        trials.table.workers,
        trials.table.texts,
        context.theme,
        running=trials.has_coordinator,
    )


def _passing_rows(context: PageContext) -> npt.NDArray[Any]:
    """The rows of the trials that pass the filters."""
    rows = context.state.trials.rows()
    return rows[context.state.analysis.matching_trials(context.address, rows)]


def learning_curves(context: PageContext) -> go.Figure:
    """Learning curves of the front, the baselines and the last trials."""
    state = context.state
    findings = state.analysis.findings(context.address, context.cost)
    numbers = {n for s in (*findings.front, *findings.baselines) for n in s.numbers}
    numbers |= {int(number) for number in _passing_rows(context)[-MAX_CURVES:]["number"]}
    trials = state.records.trials(sorted(numbers))
    epochs = state.records.epochs([trial.number for trial in trials])
    kind = context.address.curve
    figure = learning_curves_figure(findings, trials, epochs, context.theme, kind=kind)
    return figure.update_layout(uirevision=f"{state.study.id} {kind}")


def budget(context: PageContext) -> Component:
    """Budget used and left, and what pruning saved."""
    state = context.state
    plan = state.records.plan
    rows = state.trials.rows()
    ended = rows[rows["state"] != RUNNING]
    planned = plan.trials if plan else None
    numbers = []
    if planned:
        numbers.append(("trials", *_trials_done(len(ended), planned)))
    wall = formatting.duration(state.records.spent_seconds())
    if plan and plan.budget:
        wall += f" of {formatting.duration(plan.budget)}"
    numbers.append(("wall time", wall, "over all resumes"))
    numbers.append(("epochs saved by pruning", *_saved_epochs(ended)))
    numbers.append(("time left", *_time_left(state, planned, ended)))
    return tiles(numbers)


def _trials_done(ended: int, planned: int) -> tuple[str, str]:
    """How many trials of the plan have ended, and their share.

    `resume` may set a total below the number that has ended already.
    """
    total = max(planned, ended)
    return (
        f"{formatting.integer(ended)} of {formatting.integer(total)}",
        formatting.share(ended / total),
    )


def _saved_epochs(ended: npt.NDArray[Any]) -> tuple[str, str]:
    """Epochs that pruned trials did not train, and their share of all."""
    trained = int(ended["epochs"].sum())
    full = int(ended["epochs"][ended["state"] == COMPLETE].max(initial=0))
    saved = int((full - ended["epochs"][ended["state"] == PRUNED]).clip(min=0).sum())
    if not saved:
        return "0", ""
    share = formatting.share(saved / (saved + trained))
    return formatting.integer(saved), f"{share} of all epochs without pruning"


def _time_left(state: StudyState, planned: int | None, ended: npt.NDArray[Any]) -> tuple[str, str]:
    """The time that the remaining trials will take at the pace of the last ones, and that pace."""
    if not planned:
        return formatting.MISSING, "the number of trials is unknown"
    if len(ended) >= planned:
        return "none", "all trials have ended"
    if not state.trials.has_coordinator:
        return formatting.MISSING, "not running"
    finished = np.sort(ended["finished"][~np.isnan(ended["finished"])])[-PACE_TRIALS:]
    if len(finished) < MIN_PACE_TRIALS:
        return formatting.MISSING, "too few trials to estimate it"
    seconds = (time.time() - finished[0]) / len(finished)
    left = formatting.duration(seconds * (planned - len(ended)))
    return left, f"one trial every {formatting.duration(seconds)}"


def failures(context: PageContext) -> Component:
    """Failures by kind, with their messages; and the architectures that limits rejected."""
    passing = set(_passing_rows(context)["number"].tolist())
    failed = context.state.records.failed_trials()
    groups = group_failures([trial for trial in failed if trial.number in passing])
    rejections = context.state.records.rejections()
    if not groups and not rejections:
        return remark("None.")
    rows = [
        [
            html.Span(group.kind, className="tag bad"),
            html.Code(message[:MAX_MESSAGE_LENGTH]),
            _numbers(numbers),
        ]
        for group in groups
        for message, numbers in group.messages.items()
    ]
    tables: list[Component] = [table(["Failure", "Message", ">Trials"], rows)] if rows else []
    if rejections:
        last = rejections[-1]
        tables.append(
            remark(
                f"{formatting.plural(len(rejections), 'architecture')} rejected before training. "
                f"The last: {last.architecture}, {last.reason}"
            )
        )
    return tables


def _numbers(numbers: Sequence[int]) -> str:
    more = f", … ({len(numbers)})" if len(numbers) > MAX_NUMBERS else ""
    return ", ".join(map(str, numbers[:MAX_NUMBERS])) + more


def status_line(state: StudyState) -> str:
    """One line: how many trials have ended, and what is running."""
    counts = state.trials.counts()
    ended = counts["complete"] + counts["pruned"] + counts["failed"]
    done = f"{formatting.plural(ended, 'trial')} done"
    command = f"attentune resume {shlex.quote(state.study.name)}"
    if state.records.config.is_being_set_up:
        if state.trials.has_coordinator:
            return "being set up"
        return f"setup interrupted · continue with: {command}"
    if not counts["running"]:
        return done
    running = formatting.plural(counts["running"], "trial")
    if not state.trials.has_coordinator:
        return f"{done} · {running} interrupted · continue with: {command}"
    latest = sorted(state.trials.latest_epochs.items())
    if not latest:
        return f"{done} · {running} starting"
    clauses, form = [done], MetricFormat(state.study.metric)
    for number, record in latest[:MAX_RUNNING]:
        score = record.report.score
        reached = "" if math.isnan(score) else f", {form.value(score)}"
        clauses.append(f"trial {number}: epoch {record.report.epoch}{reached}")
    if len(latest) > MAX_RUNNING:
        clauses.append(f"{len(latest) - MAX_RUNNING} more running")
    return " · ".join(clauses)
