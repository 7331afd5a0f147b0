"""Which worker trained which trial, and when."""

from __future__ import annotations

from datetime import timedelta

from attentune.studies.analysis.trial_table import TrialTable
from attentune.studies.figures.timeline import timeline_figure
from example_records import BARE, NOW, trial


def test_each_state_has_bars_on_the_lines_of_its_workers() -> None:
    table = TrialTable.of(
        [
            trial(0, BARE, 0.6, worker="host:0", finished_at=NOW + timedelta(seconds=30)),
            trial(1, BARE, 0.6, worker="host:1", finished_at=NOW + timedelta(seconds=90), seed=1),
            trial(2, BARE, worker="host:0", seed=2),
        ]
    )
    figure = timeline_figure(table.rows, table.workers, table.texts)
    complete, running = figure.data
    assert (complete.name, list(complete.y)) == ("complete", ["host:0", "host:1"])
    assert list(complete.x) == [30_000, 90_000]
    assert "trial 1, complete, 90 s" in complete.hovertext[1]
    # The study is not running, so the unfinished trial extends to the last known time.
    assert (running.name, list(running.x)) == ("unfinished", [90_000])


def test_without_a_trial_it_says_so() -> None:
    table = TrialTable()
    figure = timeline_figure(table.rows, table.workers, table.texts)
    assert "No trial has started yet" in figure.layout.annotations[0].text
