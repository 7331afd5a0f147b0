"""A study searches for another metric than the accuracy, which is recorded all the same."""

from __future__ import annotations

import optuna
import pytest
from attentune.errors import UsageError
from attentune.runners.classification_metrics import compute_metrics
from attentune.runners.metrics import METRICS
from attentune.search.run.session import create_study, run_study
from attentune.search.setup.request import read_request
from attentune.studies.analysis.analyse import analyse
from attentune.studies.database.predictions import load_predictions

REQUEST = {
    "backbone": "test_resnet",
    "data": "digits",
    "image_size": 16,
    "train_limit": 256,
    "epochs": 2,
    "batch_size": 64,
    "trials": 3,
    "workers": 1,
    "lr": 2e-3,
    "precision": "float32",
    "memory_format": "channels_last",
    "attention": ["se", "eca"],
    "device": "cpu",
}


@pytest.mark.parametrize(
    "metric",
    [
        "log-loss",
        *(pytest.param(m, marks=pytest.mark.slow)
          for m in ("balanced-accuracy", "macro-f1", "auroc", "top5")),
    ],
)  # fmt: skip
def test_the_metric_is_the_first_objective_everywhere(bench, metric):
    store, key = bench.store, metric.replace("-", "_")
    record = create_study(store, "s", read_request({**REQUEST, "metric": metric}, None))
    assert record.objectives == (key, "params")
    assert run_study(store, record).finished
    trials = store.trials.read(record)
    study = optuna.load_study(study_name="s", storage=store.url)
    lower = not METRICS[key].higher_is_better
    assert study.directions[0] == optuna.study.StudyDirection(1 if lower else 2)
    for trial, proposed in zip(trials, study.trials, strict=True):
        metrics = compute_metrics(load_predictions(store, record, trial))
        assert trial.values[key] == metrics[key] == proposed.values[0]
        assert trial.values["accuracy"] == metrics["accuracy"]
        epochs = store.epochs.read(record, trial.number)
        assert epochs[-1].report.score == METRICS[key].score_of(metrics[key])
        assert epochs[0].report.metric_score is not None
    scores = {trial.number: trial.score for trial in trials}
    findings = analyse(record, trials)
    assert scores[findings.best.number] == max(scores.values())  # Two may be equal.


def test_a_study_has_one_metric():
    request = read_request({**REQUEST, "metric": "auroc"}, None)
    assert request.objectives == ("auroc", "params")
    assert read_request({**REQUEST, "objective": ["macro-f1", "macs"]}, None).objectives == (
        "macro-f1",
        "macs",
    )
    with pytest.raises(UsageError, match="one metric"):
        read_request({**REQUEST, "objective": ["accuracy", "auroc"]}, None)
    with pytest.raises(UsageError, match="--metric"):
        read_request({**REQUEST, "objective": ["macro-f1"], "metric": "auroc"}, None)
