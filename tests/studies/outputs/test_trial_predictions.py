"""What follows from stored predictions, and what is said where there are none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from attentune.runners.data.prepared.recorded_data import record_data
from attentune.runners.results import PREDICTIONS_FILE
from attentune.studies.analysis.classification import Classification
from attentune.studies.database.store import Store
from attentune.studies.outputs import trial_predictions
from attentune.studies.outputs.trial_predictions import (
    compare_with_bare,
    image_url,
    read_classification,
)
from predicted_study import (
    RECIPE,
    add_trial,
    create_study,
    fill_confirmation,
    fill_study,
    predictions,
    prepared,
)


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "x.db", create=True) as opened:
        yield opened


@pytest.fixture
def study(store):
    study = create_study(store)
    fill_study(store, study)
    return study


def compare(store, study, number, max_images=5):
    trial = store.trials.get(study, number)
    trials = store.trials.read(study) + store.trials.read(study, confirming=True)
    return compare_with_bare(store, study, trial, trials, max_images)


def test_an_architecture_is_compared_with_the_bare_backbone_over_common_seeds(store, study):
    result = compare(store, study, 3)
    assert result.problem is None
    assert result.seeds == (0, 1)
    gains = [predictions(0.7, s).accuracy - predictions(0.6, s).accuracy for s in (0, 1)]
    assert result.comparison.difference == pytest.approx(np.mean(gains))
    assert len(result.fixed) == 5
    best = result.fixed[0]
    assert best.pairs == 2
    assert best.attentive == (best.label,)
    assert best.label not in best.bare
    assert best.url.startswith("data:image/png;base64,")
    worst = result.broken[0]
    assert worst.label in worst.bare


def test_confirming_trials_are_compared_on_test_images(store, study):
    fill_confirmation(store, study)
    result = compare(store, study, 1_000_001)
    assert result.seeds == (1_000_000,)
    assert len(result.comparison) == len(predictions(0.6, 0, test=True))
    assert result.fixed[0].url


@pytest.mark.parametrize(
    ("number", "reason"), [(0, "has no attention"), (5, "no complete trial with a seed of")]
)
def test_what_cannot_be_compared_is_a_sentence(store, study, number, reason):
    add_trial(store, study, 5, "test_resnet+eca@s2.post", 9, predictions(0.5, 9))
    result = compare(store, study, number)
    assert result.comparison is None
    assert reason in result.problem


def test_without_the_cache_the_numbers_stay_and_the_images_are_missed(store, study, monkeypatch):
    monkeypatch.setattr(trial_predictions, "find_prepared_data", lambda _: None)
    result = compare(store, study, 1)
    assert result.comparison is not None
    assert result.fixed[0].url is None
    assert "not in the cache" in result.problem
    assert [c.name for c in read_classification(store, study, result.trial).classes] == list(
        "0123456789"
    )


@pytest.mark.parametrize("is_cached", [True, False])
def test_classes_are_called_as_they_were_searched_on(is_cached, store, study, monkeypatch):
    """The folders of classes may have been renamed since, and their images prepared again."""
    record = record_data(RECIPE, prepared())
    names = tuple(f"searched {number}" for number in range(10))
    record = replace(record, info=replace(record.info, classes=names))
    store.data_records.put(study, record)
    if not is_cached:
        monkeypatch.setattr(trial_predictions, "find_prepared_data", lambda _: None)
    result = compare(store, study, 1)
    assert {image.label for image in result.fixed} <= {*names}
    assert (result.fixed[0].url is not None) == is_cached
    classification = read_classification(store, study, result.trial)
    assert tuple(c.name for c in classification.classes) == names


def test_a_trial_without_predictions_says_why(store, study):
    path = store.trial_file(study, 1, PREDICTIONS_FILE)
    trial = store.trials.get(study, 1)
    assert isinstance(read_classification(store, study, trial), Classification)
    path.write_bytes(path.read_bytes()[:-9])
    assert "is damaged" in read_classification(store, study, trial)
    assert "is damaged" in compare(store, study, 1).problem
    path.unlink()
    assert "has no predictions" in read_classification(store, study, trial)
    assert compare(store, study, 1).seeds == (1,), "the other seed is still compared"


def test_large_images_are_made_smaller():
    large = np.random.default_rng(0).integers(0, 255, (300, 300, 3), np.uint8)
    assert image_url(large).startswith("data:image/jpeg")
    assert len(image_url(large)) < 30_000
