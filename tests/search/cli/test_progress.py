"""What a running search shows: the best so far is what an analysis of the same trials finds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from attentune.search.cli.progress import LiveDisplay
from attentune.studies.analysis.analyse import analyse
from attentune.studies.estimator.study_model import StudyModel
from attentune.studies.objectives import ACCURACY
from example_records import BARE, trial
from example_records import study as made_study
from rich.console import Console


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
