"""The estimate of a long study: as that of its whole model, and the same however it grew."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.studies.estimator import modelled_trials
from attentune.studies.estimator.study_estimate import StudyEstimate, estimate_study
from attentune.studies.estimator.study_model import StudyModel
from planted_effects import ended_history, planted_space, true_accuracy


@pytest.fixture(scope="module")
def histories():
    """Three seeds of 40 architectures, the bare backbone among them, in the order of the seeds."""
    space, rng = planted_space(), np.random.default_rng(0)
    architectures = [space.architecture_at(i) for i in range(space.count())]
    bare = next(a for a in architectures if a.bare)
    chosen = [bare, *(architectures[int(i)] for i in rng.choice(len(architectures), 39, False))]
    chosen = list({a.key: a for a in chosen}.values())
    return [
        ended_history(a, true_accuracy(a) + 0.01 * rng.standard_normal(), seed)
        for seed in range(3)
        for a in chosen
    ]


@pytest.fixture(autouse=True)
def limits(monkeypatch):
    monkeypatch.setattr(modelled_trials, "MAX_TRIALS", 60)
    monkeypatch.setattr(modelled_trials, "MAX_TRIALS_PER_ARCHITECTURE", 2)


def grown(histories, order, looks=()) -> tuple[StudyEstimate, list[str]]:
    """The estimate after trials were added in an order, with an estimate at some moments."""
    model = StudyModel(4)
    keys = list(dict.fromkeys(h.architecture.key for h in histories))
    for step, number in enumerate(order):
        history = histories[number]
        model.add_trial(number, history.architecture, history.seed, history.end)
        if step in looks:
            seen = [h.architecture.key for h in (histories[n] for n in order[: step + 1])]
            model.estimate(list(dict.fromkeys(seen)), None)
    return model.estimate(keys, 0), keys


def check_equal(first: StudyEstimate, second: StudyEstimate) -> None:
    for name in ("accuracy", "standard_error", "gain", "gain_error"):
        np.testing.assert_allclose(getattr(first, name), getattr(second, name), atol=1e-9)


def test_the_estimate_does_not_depend_on_how_the_study_grew(histories) -> None:
    order = list(range(len(histories)))
    straight, _ = grown(histories, order)
    shuffled = np.random.default_rng(1).permutation(order).tolist()
    check_equal(straight, grown(histories, shuffled)[0])
    check_equal(straight, grown(histories, order, looks=range(0, len(order), 7))[0])
    check_equal(straight, grown(histories, shuffled, looks=range(0, len(order), 5))[0])


def test_the_estimate_of_a_long_study_is_that_of_its_model(histories) -> None:
    order = list(range(len(histories)))
    estimate, keys = grown(histories, order)
    by_key = {h.architecture.key: h.architecture for h in histories}
    model = StudyModel(4)
    whole = estimate_study(model.fits, histories, [by_key[key] for key in keys], 0)
    check_equal(estimate, whole)
    true = np.array([true_accuracy(by_key[key]) for key in keys])
    errors = (estimate.gain - (true - true[0]))[1:] / estimate.gain_error[1:]
    assert np.abs(errors).mean() < 1.3
