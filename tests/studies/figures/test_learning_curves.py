"""Learning curves are grouped by the result of the trial, and few enough to draw."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import pytest
from attentune.studies.analysis.findings import Findings
from attentune.studies.database.store import Store
from attentune.studies.figures import learning_curves
from attentune.studies.figures.learning_curves import learning_curves_figure, losses_figure
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
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learning_curves, "MAX_CURVES_PER_GROUP", 20)
    add("resnet18", 0.99, 1)
    for r in range(1, 51):
        add(f"resnet18+se(r={r})@all.mid", 0.5, 10_000 - r)
    figure = learning_curves_figure(findings(), store.trials.read(study), store.epochs.read(study))
    assert len(figure.data) == 2
    others = trace(figure, "others")
    assert 10 <= sum(value is None for value in others.y) <= 20


def test_losses_are_drawn_where_they_were_reported(
    store: Store, study: StudyRecord, add: Add, epoch: Any, findings: Callable[[], Findings]
) -> None:
    number = add("resnet18", 0.5)
    other = add("resnet18+eca@s2.mid")
    store.epochs.record(study, other, epoch(1, 0.2, val_loss=math.nan))
    trials, epochs = store.trials.read(study), store.epochs.read(study)
    figure = learning_curves_figure(findings(), trials, epochs, kind="val_loss")
    assert figure.layout.yaxis.title.text == "Validation loss"
    assert [set(trace.customdata) - {None} for trace in figure.data] == [{number}]
    training, validation = losses_figure([e for e in epochs if e.number == number]).data
    assert (training.name, list(training.y)) == ("training loss", [1.0, 1.0])
    assert (validation.line.dash, list(validation.y)) == ("dot", [1.1, 1.1])
    [alone] = losses_figure([e for e in epochs if e.number == other]).data
    assert alone.name == "training loss"
    assert not losses_figure([]).data
