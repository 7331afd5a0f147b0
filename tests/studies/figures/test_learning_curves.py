"""Learning curves are grouped by the result of the trial, and few enough to draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
from attentune.studies.analysis.findings import Findings
from attentune.studies.database.store import Store
from attentune.studies.figures.learning_curves import MAX_CURVES_PER_GROUP, learning_curves_figure
from attentune.studies.records import StudyRecord

Add = Callable[..., int]


def test_learning_curves_are_grouped_by_the_result_of_the_trial(
    store: Store,
    study: StudyRecord,
    filled: None,
    add: Add,
    epoch: Any,
    findings: Callable[[], Findings],
    trace: Callable[[go.Figure, str], Any],
) -> None:
    stopped = add("resnet18+eca@s2.mid")
    store.epochs.record(study, stopped, epoch(1, 0.2))
    store.trials.prune(study, stopped, "slow")
    trials = store.trials.read(study)
    figure = learning_curves_figure(findings(), trials, store.epochs.read(study))
    bare = trace(figure, "bare backbone (1)")
    assert list(bare.y) == [30.0, 60.0, None]
    assert trace(figure, "pruned or failed (1)").line.dash == "dot"
    assert trace(figure, "on the front (2)").line.width > trace(figure, "others (1)").line.width
    assert figure.data[-1].name.startswith("bare"), "the bare backbone is drawn on top"


def test_thousands_of_curves_are_thinned_and_drawn_as_few_traces(
    store: Store,
    study: StudyRecord,
    add: Add,
    findings: Callable[[], Findings],
    trace: Callable[[go.Figure, str], Any],
) -> None:
    add("resnet18", 0.99, 1)
    for r in range(1, 2 * MAX_CURVES_PER_GROUP, 2):
        add(f"resnet18+se(r={r})@all.mid", 0.5, 10_000 - r)
    figure = learning_curves_figure(findings(), store.trials.read(study), store.epochs.read(study))
    assert len(figure.data) == 2
    others = trace(figure, "others")
    assert sum(value is None for value in others.y) <= MAX_CURVES_PER_GROUP
