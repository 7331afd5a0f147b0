"""The best so far follows the estimates, not the most fortunate trial."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.runners.results import Failure
from attentune.spaces.architecture import parse
from attentune.studies.analysis.best_so_far import find_best_so_far
from attentune.studies.dashboard.study_state import StudyState
from attentune.studies.figures.best_so_far import best_so_far_figure
from attentune.studies.objectives import ACCURACY, objective

TEXTS = ("resnet18", "resnet18+se(r=16)@all.residual", "resnet18+eca@s4.post")


@pytest.fixture
def state(store, study, reader, add):
    add(TEXTS[0], 0.5)
    store.trials.start(study, 90, parse(TEXTS[2]), seed=5)
    store.trials.fail(study, 90, Failure("error", "boom", "trace"))
    add(TEXTS[1], 0.7)
    add(TEXTS[1], 0.68, seed=1)
    add(TEXTS[2], 0.3)
    store.trials.start(study, 91, parse(TEXTS[2]), seed=6)
    return StudyState(reader, study)


def test_the_best_never_falls_and_ends_with_the_best_of_the_study(state):
    history = state.analysis.best_so_far
    assert history.numbers.tolist() == [0, 1, 2, 3]
    assert history.ended.tolist() == [1, 3, 4, 5]
    assert np.all(np.diff(history.best) >= 0)
    best = state.analysis.findings().best
    assert history.best[-1] == best.score
    assert history.bare == state.analysis.findings().bare.score
    assert history.best[0] == history.bare
    assert history.deviation > 0


def test_the_figure_has_the_trials_that_pass_and_a_band(state):
    history = state.analysis.best_so_far
    drawn = np.array([True, False, True, False])
    noise, trials, line = best_so_far_figure(history, TEXTS * 2, ACCURACY, drawn=drawn).data
    assert list(trials.customdata) == [0, 2]
    assert trials.y[1] == pytest.approx(68)
    assert list(line.x) == [1, 3, 5]  # Where the best has risen, and the last trial.
    assert max(noise.y) > max(line.y)
    lower = best_so_far_figure(history, TEXTS * 2, objective("error:min:mm"))
    assert lower.layout.yaxis.autorange == "reversed"
    assert "(mm)" in lower.layout.yaxis.title.text


def test_nothing_is_drawn_without_a_complete_trial(store, study, reader):
    state = StudyState(reader, study)
    history = find_best_so_far(state.trials.rows(), state.analysis.architectures)
    assert not best_so_far_figure(history, [], ACCURACY).data
