"""What is logged of trials and studies, whatever the tracker."""

from __future__ import annotations

import math
from dataclasses import replace

import example_records
import pytest
from attentune.runners.recipe import Recipe
from attentune.runners.results import EpochReport, Failure
from attentune.studies.followers.logged_values import (
    MAX_PARAMETER_LENGTH,
    logged_epochs,
    study_parameters,
    study_progress,
    trial_end,
    trial_start,
)
from attentune.studies.records import CONFIRM, EpochRecord

NET = "net+se(r=16)@s1.residual+eca@s3.post"


def study(*objectives, **settings):
    recipe = Recipe(data="digits", image_size=32, epochs=4, flip=True).model_dump(mode="json")
    return example_records.study(*objectives, study={"recipe": recipe, "stages": 4, **settings})


def test_a_choice_is_a_parameter_and_so_is_a_stage_without_attention():
    start = trial_start(study(), example_records.trial(7, NET, seed=3))
    assert start.name == "0007 se(r=16)@s1.residual+eca@s3.post"
    assert {
        "architecture": NET,
        "seed": 3,
        "role": "search",
        "s1.attention": "se",
        "s1.ratio": 16,
        "s2.attention": "none",
        "s3.position": "post",
        "s4.attention": "none",
        "recipe.flip": True,
        "recipe.epochs": 4,
    }.items() <= start.parameters.items()
    assert "s3.ratio" not in start.parameters
    assert "recipe.mixup" not in start.parameters, "it has its default"


def test_a_study_has_all_settings_and_no_long_text():
    record = study(space={"attentions": ["none", *(f"attention_{i}" for i in range(100))]})
    parameters = study_parameters(record)
    assert parameters["recipe.mixup"] == 0
    assert len(str(parameters["attentions"])) == MAX_PARAMETER_LENGTH


def test_a_study_of_another_version_is_logged_without_its_recipe():
    record = example_records.study(study={"recipe": {"unknown": 1}})
    start = trial_start(record, example_records.trial(0, NET))
    assert "key" in start.parameters
    assert "backbone" in study_parameters(record)


def test_epochs_have_the_metric_that_is_searched_for_in_its_own_unit():
    trial = example_records.trial(0, NET)
    reports = [
        EpochReport(2, 0.5, 0.7, math.nan, 0.01, 3.0, metric_score=-0.4),
        EpochReport(1, 0.9, 0.6, 1.2, 0.02, 2.0, metric_score=-0.9),
    ]
    records = [EpochRecord(i, 0, report) for i, report in enumerate(reports)]
    first, second = logged_epochs(study("log-loss", "params").metric, trial, records)
    assert (first.epoch, second.epoch) == (1, 2)
    assert first.metrics == {
        "train/loss": 0.9,
        "train/lr": 0.02,
        "val/loss": 1.2,
        "val/accuracy": 0.6,
        "val/log_loss": 0.9,
    }
    assert math.isnan(second.metrics["val/loss"])
    assert second.time - first.time == pytest.approx(3.0)


def test_final_values_have_the_keys_of_json_and_those_of_the_test_split_say_so():
    trial = example_records.trial(0, NET, 0.75, latency_ms=2.0, latency_ms_error=0.1)
    assert trial_end(example_records.trial(0, NET), {}) is None, "it runs"
    metrics = trial_end(trial, {"macro_f1": 0.5}).metrics
    assert {"accuracy": 0.75, "macro_f1": 0.5, "params": 1000, "latency_ms": 2.0}.items() <= (
        metrics.items()
    )
    confirming = trial_end(replace(trial, role=CONFIRM), {"macro_f1": 0.5}).metrics
    assert {"test_accuracy": 0.75, "test_macro_f1": 0.5, "params": 1000}.items() <= (
        confirming.items()
    )
    assert "accuracy" not in confirming


def test_a_failure_is_logged_with_its_kind_and_message():
    failure = Failure("out_of_memory", "too large")
    trial = example_records.trial(0, NET, state="failed", failure=failure)
    end = trial_end(trial, {})
    assert (end.state, end.succeeded) == ("failed", False)
    assert end.facts == {"failure_kind": "out_of_memory", "failure_message": "too large"}
    pruned = trial_end(example_records.trial(0, NET, 0.5, state="pruned", note="behind"), {})
    assert pruned.succeeded
    assert pruned.facts == {"note": "behind"}


def test_the_progress_of_a_study_is_its_best_estimate_and_its_front():
    trials = example_records.random_search(0, count=20)
    findings = example_records.analyse(example_records.study(), trials)
    progress = study_progress(findings, trials)
    assert progress.ended == 20
    assert progress.metrics["best/accuracy"] == findings.best.score
    assert progress.metrics["front/size"] == len(findings.front)
    assert progress.metrics["trials/complete"] == findings.counts["complete"]
    assert progress.facts["best_architecture"] == str(findings.best.architecture)
