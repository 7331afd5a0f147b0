"""The page of attention maps: which trial it shows, and what it says while there is nothing."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from attentune.runners.inspection.attention_maps import AttentionMap, AttentionMaps, StageEnergy
from attentune.studies.dashboard.components import COMPUTING
from attentune.studies.dashboard.inspected_trials import InspectedTrial
from attentune.studies.dashboard.pages import attention_maps as page
from attentune.studies.figures.themes import LIGHT

LOCATIONS = np.arange(48, dtype=np.float32).reshape(3, 4, 4)
MAPS = AttentionMaps(
    architecture="test_resnet+eca@s1.post",
    epochs=None,
    classes=("cat", "dog"),
    images=np.zeros((3, 8, 8, 3), np.uint8),
    indices=np.array([7, 2, 9]),
    labels=np.array([0, 1, 0]),
    predicted=np.array([0, 0, 0]),
    probabilities=np.array([0.9, 0.6, 0.75], np.float32),
    attentions=(AttentionMap("s1b1.post", 1, "eca", np.ones(8, np.float32), LOCATIONS),),
    stages=(StageEnergy(1, LOCATIONS),),
    left_out=("Stage s2 is left out.",),
)


def context(
    inspected: InspectedTrial | None = None, *, selected: int | None = None, best: int | None = 4
) -> Any:
    """A study whose best trial is `best`, with the maps of one trial."""
    findings = SimpleNamespace(best=None if best is None else SimpleNamespace(number=best))
    number = best if selected is None else selected
    maps = {number: inspected}
    return SimpleNamespace(
        address=SimpleNamespace(trial=selected),
        theme=LIGHT,
        state=SimpleNamespace(
            analysis=SimpleNamespace(findings=lambda: findings),
            inspected=maps,
            study=SimpleNamespace(config=SimpleNamespace(evaluation=None)),
        ),
    )


def text_of(component: Any) -> str:
    """All texts of a component, in their order."""
    if isinstance(component, str):
        return component
    if isinstance(component, list | tuple):
        return "\n".join(map(text_of, component))
    return text_of(getattr(component, "children", None) or "")


@pytest.mark.parametrize(("selected", "best", "shown"), [(7, 4, 7), (0, 4, 0), (None, 4, 4)])
def test_the_selected_trial_is_shown_else_the_best(selected, best, shown):
    assert page.trial_number(context(selected=selected, best=best)) == shown


def test_without_a_complete_trial_the_page_says_so():
    nothing = context(best=None)
    assert page.trial_number(nothing) is None
    assert text_of(page.predictions(nothing)) == "No complete trial yet."
    for draw in (page.channels, page.locations):
        assert COMPUTING not in [note.text for note in draw(nothing).layout.annotations]


def test_while_maps_are_computed_the_page_says_so():
    waiting = context(None)
    assert "Computing" in text_of(page.predictions(waiting))
    for draw in (page.channels, page.locations):
        figure = draw(waiting)
        assert not figure.data
        assert figure.layout.annotations[0].text == COMPUTING


def test_the_predictions_are_counted_and_what_is_missing_is_named():
    text = text_of(page.predictions(context(InspectedTrial(MAPS, None, "No baseline."))))
    assert text.splitlines() == [
        "Trial 4, test_resnet+eca@s1.post: 2 of 3 images classified correctly.",
        "No baseline.",
        "Stage s2 is left out.",
    ]


def test_a_problem_stands_in_place_of_the_predictions_and_no_figure_waits():
    failed = context(InspectedTrial(None, None, "the weights are missing"))
    assert text_of(page.predictions(failed)) == "the weights are missing"
    for draw in (page.channels, page.locations):
        assert COMPUTING not in [note.text for note in draw(failed).layout.annotations]


def test_both_figures_are_drawn_with_the_baseline_beside():
    inspected = context(InspectedTrial(MAPS, MAPS, None))
    assert page.channels(inspected).data
    names = {trace.name for trace in page.locations(inspected).data}
    assert {"s1b1 eca", "s1 baseline"} <= names


def test_every_part_of_the_page_is_filled_by_a_function_of_its_name():
    skeleton = json.dumps(page.page(context()), default=lambda part: part.to_plotly_json())
    for name in ("predictions", "channels", "locations"):
        assert f'"{name}"' in skeleton
        assert callable(getattr(page, name))
