"""Predictions are loaded for the trial that made them, and for no other."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from attentune.errors import DamagedFileError
from attentune.runners.predictions import Predictions, write_predictions
from attentune.runners.recipe import Recipe
from attentune.runners.results import PREDICTIONS_FILE
from attentune.studies.database.predictions import identity_of, load_predictions
from attentune.studies.database.store import Store
from attentune.studies.records import CONFIRM, FIRST_CONFIRMING_NUMBER, SEARCH


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "x.db", create=True) as opened:
        yield opened


@pytest.fixture
def study(store):
    recipe = Recipe.of(data="digits", image_size=16, epochs=8).model_dump(mode="json")
    config = {"study": {"recipe": recipe}}
    return store.studies.create(
        "first", backbone="resnet18", objectives=("accuracy",), config=config, seed=0
    )


@pytest.fixture
def trials(store, study, result):
    from attentune.spaces.architecture import parse

    for number, seed, role in (
        (0, 0, SEARCH),
        (1, 1, SEARCH),
        (FIRST_CONFIRMING_NUMBER, 10**6, CONFIRM),
    ):
        store.trials.start(study, number, parse("resnet18"), seed=seed, role=role)
        store.trials.finish(study, number, result(0.75))
        trial = store.trials.get(study, number)
        path = store.trial_file(study, number, PREDICTIONS_FILE)
        predictions = Predictions(np.array([0, 1, 2, 1]), np.array([0, 1, 2, 0]), 3)
        owner = {"identity": identity_of(study, trial), "data_key": "images"}
        write_predictions(path, predictions, owner)
    return store.trials.read(study) + store.trials.read(study, confirming=True)


def file_of(store, study, trial):
    return store.trial_file(study, trial.number, PREDICTIONS_FILE)


def test_the_predictions_of_a_trial_are_loaded(store, study, trials):
    for trial in trials:
        predictions = load_predictions(store, study, trial)
        assert predictions.accuracy == trial.accuracy == 0.75
        assert predictions.correct.tolist() == [True, True, True, False]
        assert predictions.images.tolist() == [0, 1, 2, 3]


def test_the_predictions_of_another_seed_or_split_are_refused(store, study, trials):
    for other in trials[1:]:
        shutil.copyfile(file_of(store, study, other), file_of(store, study, trials[0]))
        with pytest.raises(DamagedFileError, match="another trial"):
            load_predictions(store, study, trials[0])


def test_predictions_that_do_not_give_the_recorded_accuracy_are_refused(store, study, trials):
    changed = dataclasses.replace(trials[0], accuracy=0.5)
    with pytest.raises(DamagedFileError, match="recorded accuracy"):
        load_predictions(store, study, changed)


def test_a_trial_without_predictions_has_none(store, study, trials):
    file_of(store, study, trials[0]).unlink()
    assert load_predictions(store, study, trials[0]) is None
    assert load_predictions(store, study, dataclasses.replace(trials[1], state="pruned")) is None


def test_rm_removes_predictions(store, study, trials):
    path = file_of(store, study, trials[0])
    store.delete_study("first")
    assert not path.exists()
