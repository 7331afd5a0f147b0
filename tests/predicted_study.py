"""A study whose trials have predictions, made without training."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from attentune.runners.classification_metrics import compute_metrics, metric_score
from attentune.runners.data import DataInfo, open_data, prepare_data
from attentune.runners.predictions import Predictions, write_predictions
from attentune.runners.recipe import Recipe
from attentune.runners.results import PREDICTIONS_FILE, Costs, EpochReport, TrialResult
from attentune.spaces.architecture import parse
from attentune.studies.database.predictions import identity_of
from attentune.studies.database.store import Store
from attentune.studies.records import BASELINE, CONFIRM, SEARCH, StudyRecord

BARE, SE = "test_resnet", "test_resnet+se(r=4)@all.residual"
RECIPE = Recipe.of(data="digits", image_size=16, epochs=3, train_limit=256, batch_size=64)


def prepared() -> DataInfo:
    """The data of the study; decoded once for all tests."""
    return prepare_data(RECIPE)


def predictions(accuracy: float, seed: int, *, test: bool = False) -> Predictions:
    """Predictions for the images of the study that are right about so often."""
    info = prepared()
    data = open_data(info)
    split = data.test if test else data.val
    draw = np.random.default_rng([seed, int(1000 * accuracy)])
    labels = np.array(split.labels)
    hard = np.random.default_rng(7).random(len(labels)) > accuracy  # For every network.
    wrong = (labels + draw.integers(1, 10, size=len(labels))) % 10
    target = np.where(hard ^ (draw.random(len(labels)) < 0.05), wrong, labels)
    logits = draw.normal(size=(len(labels), 10)) + 5 * np.eye(10)[target]
    logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    return Predictions(labels, logs.argmax(1), 10, logs.astype(np.float16))


def create_study(store: Store, name: str = "predicted", metric: str = "accuracy") -> StudyRecord:
    """A study without trials, which searches for the metric with this key."""
    config = {
        "study": {"stages": 4, "recipe": RECIPE.model_dump(mode="json")},
        "plan": {"trials": 4},
    }
    objectives = (metric, "params")
    return store.studies.create(name, backbone=BARE, objectives=objectives, config=config, seed=0)


def add_trial(
    store: Store,
    study: StudyRecord,
    number: int,
    text: str,
    seed: int,
    predicted: Predictions,
    *,
    role: str = SEARCH,
    keep: bool = True,
) -> None:
    """A complete trial with predictions, and with metrics unless its file is left out."""
    store.trials.start(study, number, parse(text), seed=seed, role=role)
    score = metric_score(predicted, study.metric.key)
    for epoch in (1, 2, 3):
        report = EpochReport(epoch, 1.0, predicted.accuracy * epoch / 3, 1.0, 0.1, 1.0, score)
        store.epochs.record(study, number, report)
    metrics = {k: v for k, v in compute_metrics(predicted).items() if k != "accuracy"}
    costs = Costs(1000 + len(text), 10)
    facts = {"torch": "none"}
    result = TrialResult(predicted.accuracy, 3, costs, 9.0, 9.0, 9.0, facts, metric_score=score)
    store.trials.finish(study, number, replace(result, metrics=metrics if keep else {}))
    if keep:
        trial = store.trials.get(study, number)
        owner = {"identity": identity_of(study, trial), "data_key": prepared().key}
        write_predictions(store.trial_file(study, number, PREDICTIONS_FILE), predicted, owner)


def fill_study(store: Store, study: StudyRecord) -> None:
    """Two seeds of the bare backbone and of SE, which is better, and one of ECA."""
    add_trial(store, study, 0, BARE, 0, predictions(0.6, 0), role=BASELINE)
    add_trial(store, study, 1, SE, 0, predictions(0.7, 0), role=BASELINE)
    add_trial(store, study, 2, BARE, 1, predictions(0.6, 1), role=BASELINE)
    add_trial(store, study, 3, SE, 1, predictions(0.7, 1))
    add_trial(store, study, 4, f"{BARE}+eca@all.residual", 0, predictions(0.5, 0))


def fill_confirmation(store: Store, study: StudyRecord) -> None:
    """One fresh seed of the bare backbone and of SE, judged on test images."""
    for index, (text, accuracy) in enumerate(((BARE, 0.6), (SE, 0.7))):
        number, seed = 1_000_000 + index, 1_000_000
        judged = predictions(accuracy, seed, test=True)
        add_trial(store, study, number, text, seed, judged, role=CONFIRM)
