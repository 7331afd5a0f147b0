"""What a running search shows: the best so far is what an analysis of the same trials finds."""

from __future__ import annotations

from io import StringIO
from types import SimpleNamespace
from typing import Any, cast

from attentune.search.cli import progress
from attentune.search.cli.architecture_cell import ArchitectureCell
from attentune.search.cli.progress import LiveDisplay, decoding_progress
from attentune.search.cli.shared import plain_table
from attentune.studies.analysis.analyse import analyse
from attentune.studies.estimator.study_model import StudyModel
from attentune.studies.objectives import ACCURACY
from example_records import BARE, trial
from example_records import study as made_study
from rich.console import Console
from rich.text import Text


def test_the_best_so_far_is_that_of_an_analysis() -> None:
    trials = [
        trial(0, BARE, 0.60),
        *(
            trial(1 + seed, f"{BARE}+eca@all.residual", 0.70 + 0.02 * (-1) ** seed, seed=seed)
            for seed in range(4)
        ),
        trial(5, f"{BARE}+se(r=4)@all.residual", 0.725),
        trial(6, f"{BARE}+se(r=8)@all.residual", 0.9, state="pruned"),
    ]
    console = Console(record=True, width=100)
    display = LiveDisplay(console)
    config: Any = SimpleNamespace(backbone=BARE, metric=ACCURACY)
    for count in range(len(trials) + 1):
        study = SimpleNamespace(
            earlier=trials[:count], config=config, model=StudyModel.of(made_study())
        )
        display = LiveDisplay(console)
        display.on_study_start(cast(Any, study))
        best = analyse(made_study(), trials[:count]).best
        assert display.best == best
    console.print(display._best_line())
    assert best is not None
    assert best.gain is not None
    line = console.export_text()
    assert f"best {100 * best.score:.1f}" in line
    assert f"{100 * best.gain:+.1f}" in line.replace("−", "-")


def test_what_goes_on_before_the_first_trial_is_shown_at_once() -> None:
    console = Console(file=StringIO(), force_terminal=True, width=80)
    output = cast(StringIO, console.file)
    with decoding_progress(console, "setting up the study") as update:
        update(5, 10)
        assert "setting up the study" in output.getvalue()
        update(10, 10)
        output.truncate(0)
    assert "decoding" not in output.getvalue()


def test_a_running_trial_shows_for_how_long_its_epoch_has_run(monkeypatch) -> None:
    now = 100.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    job = SimpleNamespace(number=3, seed=0, architecture=trial(0, BARE).parsed)
    job.recipe = SimpleNamespace(epochs=9)
    running: Any = SimpleNamespace(
        number=3, started=88.0, last_report=None, job=job, counts=True, role="search"
    )
    running.architecture = job.architecture
    console = Console(record=True, width=80, file=StringIO())
    display = LiveDisplay(console)
    display.study = cast(Any, SimpleNamespace(running={3: running}, config=SimpleNamespace(seed=0)))
    console.print(display._running_trials())
    running.last_report = SimpleNamespace(epoch=1, score=0.5)
    console.print(display._running_trials())
    now = 107.0
    console.print(display._running_trials())
    lines = console.export_text().splitlines()
    epochs = [line.split(f"{BARE}")[0].split() for line in lines]
    assert [" ".join(words[1:5]) for words in epochs] == [
        "epoch 0/9 12 s",
        "epoch 1/9 0.0 s",
        "epoch 1/9 7.0 s",
    ]


def test_an_architecture_in_a_narrow_table_breaks_between_its_insertions() -> None:
    console = Console(width=44, file=StringIO(), record=True)
    table = plain_table(">trial", "architecture")
    text = "se(r=4)@s1.residual+eca@s2-s4.post+cbam@s4.mid  ← knee"
    table.add_row("#3", ArchitectureCell(Text(text)))
    console.print(table)
    lines = [line[7:].rstrip() for line in console.export_text().splitlines()[1:]]
    assert lines == ["se(r=4)@s1.residual+eca@s2-s4.post", "+cbam@s4.mid  ← knee"]
