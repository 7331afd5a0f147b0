"""Studies that a user's own code trains, with real workers."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import attentune
import optuna
import own_training
import psutil
import pytest
import torch
from attentune.errors import SpaceError, StudyError, TrialError, UsageError
from attentune.runners.metrics import own_metric
from attentune.runners.results import USER_FILES_FOLDER, USER_OUTPUT_FILE

SEGMENTER = {
    "backbone": "own_training:make_segmenter",
    "evaluate": own_training.train_segmenter,
    "input": "3x8x12",
    "metric": "miou:max:%",
    "epochs": 2,
    "workers": 1,
}


BOTH = ("miou:max:%", "pixels:max")


@pytest.fixture
def db(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(own_training.__file__).parent)
    return tmp_path / "own.db"


def test_a_network_of_ones_own_is_searched_confirmed_and_exported(db, tmp_path):
    study = attentune.search("own", **SEGMENTER, trials=4, db=db)
    assert {trial.state for trial in study.trials} == {"complete"}
    for trial in study.trials:
        assert 0 <= trial.values["miou"] <= 1
        assert "accuracy" not in trial.values
        assert trial.values["params"] > 600
    written = study.to_json()
    assert (written["metric"], written["directions"]["miou"]) == ("miou", "maximize")
    assert written["architectures"][0]["accuracy"] is None
    assert set(written["trials"][0]["metrics"]) == {"miou", "pixels"}
    assert json.dumps(written, allow_nan=False)
    confirmation = study.confirm(top=1, seeds=2, epochs=1)
    assert len({seed for contender in confirmation.contenders for seed in contender.seeds}) == 2
    folder = study.export(tmp_path / "exported")
    assert (folder / USER_FILES_FOLDER / "state.pt").is_file()
    assert "make_segmenter()" in (folder / "README.md").read_text()
    with pytest.raises(attentune.AttentuneError, match=r"README\.md says how to build it"):
        attentune.load(folder)
    assert study.report(tmp_path / "report.html").stat().st_size > 1000


@pytest.mark.slow
def test_a_search_equals_its_first_half_and_a_resume(db):
    whole = attentune.search("whole", **SEGMENTER, trials=6, db=db)
    half = attentune.search("half", **SEGMENTER, trials=3, db=db)
    half.resume(trials=6)

    def trials(study):
        return [(t.number, t.architecture, t.seed, t.values) for t in study.trials]

    assert trials(half) == trials(whole)


@pytest.mark.slow
def test_several_metrics_are_objectives_together(db):
    objectives = ("miou:max:%", "pixels:max", "params")
    settings = {**SEGMENTER, "metric": "miou:max:%", "objective": objectives}
    study = attentune.search("several", **settings, trials=5, db=db)
    assert all({"miou", "pixels", "params"} <= set(t.values) for t in study.trials)
    stored = optuna.load_study(study_name="several", storage=f"sqlite:///{db}")
    assert [d.name for d in stored.directions] == ["MAXIMIZE", "MAXIMIZE", "MINIMIZE"]
    assert stored.metric_names == ["miou", "pixels", "params"]
    for trial in study.trials:
        told = stored.trials[trial.number].values
        assert told == [trial.values[key] for key in ("miou", "pixels", "params")]


def test_a_change_of_the_code_is_noticed(db, tmp_path, monkeypatch, caplog):
    module = tmp_path / "changing.py"
    module.write_text("def train(trial):\n    trial.model()\n    return 0.5\n")
    settings = {**SEGMENTER, "backbone": "test_resnet", "input": None, "image_size": 32}
    settings["evaluate"] = f"{module}:train"
    study = attentune.search("changing", **settings, trials=1, db=db)
    module.write_text(module.read_text().replace("0.5", "0.6"))
    monkeypatch.delitem(sys.modules, "attentune_file_changing")
    with caplog.at_level(logging.WARNING):
        study.resume(trials=1)
    assert "has changed since the study began" in caplog.text


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"evaluate": lambda _: 0.5}, UsageError, "cannot be imported by the processes"),
        ({"evaluate": "own_training:train_segmentr"}, UsageError, "did you mean 'train_segmenter'"),
        ({"evaluate": "no_such_module:train"}, UsageError, "No module named 'no_such_module'"),
        ({"evaluate": "no-such-program x"}, UsageError, "there is no program 'no-such-program'"),
        ({"metric": "miou"}, UsageError, "needs its direction: miou:max or miou:min"),
        ({"metric": "params:max"}, UsageError, "params has a meaning of its own"),
        ({"evaluate": None, "data": "digits"}, UsageError, "add --evaluate my_module:train"),
        ({"lr": 0.1}, UsageError, "--lr is a setting of the built-in training"),
        ({"data": "digits"}, UsageError, "--data is a setting of the built-in training"),
        ({"alternatives": True}, UsageError, "--alternatives are trained by the built-in"),
        ({"input": "3x8"}, UsageError, "write channels, height and width"),
        ({"backbone": "test_resnet"}, UsageError, "for timm's backbones use --image-size"),
        ({"stem": "small"}, UsageError, "changes timm's backbones"),
        ({"backbone": "own_training:make_segmentr"}, UsageError, "did you mean 'make_segmenter'"),
        (
            {"backbone": "own_training:NUMBER"},
            attentune.AttentuneError,
            "is no network and returns",
        ),
        (
            {"backbone": "own_training:make_classifier", "input": "3x8x8"},
            SpaceError,
            "it has no stages and blocks",
        ),
        ({"objective": BOTH, "sampler": "additive"}, UsageError, "additive models one metric"),
        ({"objective": BOTH, "pruner": "asha"}, UsageError, "judges trials by one metric"),
        ({"module": ("upp",)}, SpaceError, "has no module upp"),
    ],
)
def test_a_request_that_contradicts_itself_is_refused_in_one_sentence(
    db, settings, error, sentence
):
    with pytest.raises(error) as raised:
        attentune.search("wrong", **{**SEGMENTER, **settings}, db=db)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_function_that_hangs_is_ended_with_what_it_has_started(db):
    settings = {**SEGMENTER, "evaluate": "own_training:hangs", "trial_timeout": "2s"}
    with pytest.raises(TrialError, match=r"longer than 2 s"):
        attentune.search("hanging", **settings, trials=1, db=db)
    [trial] = attentune.open_study("hanging", db).trials
    assert trial.failure.kind == "timeout"
    [output] = db.parent.rglob(USER_OUTPUT_FILE)
    pid = int(output.read_text().split()[-1])
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


CLASSIFIER = {"backbone": "own_training:make_own_classifier", "data": "digits", "workers": 1}


@pytest.mark.slow
def test_the_built_in_training_trains_a_classifier_of_ones_own(db, tmp_path):
    settings = {"epochs": 1, "lr": 0.01, "precision": "float32", "memory_format": "contiguous"}
    study = attentune.search("own", **CLASSIFIER, **settings, trials=2, db=db)
    assert {trial.state for trial in study.trials} == {"complete"}
    model = attentune.load(study.export(tmp_path / "exported"))
    size = model.attentune["image_size"]
    assert model(torch.zeros(1, 3, size, size)).shape == (1, 10)


def test_a_network_that_does_not_classify_the_data_is_refused(db):
    settings = {**CLASSIFIER, "backbone": "own_training:make_segmenter"}
    with pytest.raises(attentune.AttentuneError, match=r"for two images, and the data have 10"):
        attentune.search("own", **settings, db=db)


def test_splits_are_the_users_own(db):
    study = attentune.search("own", **{**SEGMENTER, "epochs": 1}, trials=1, db=db)
    with pytest.raises(StudyError, match="splits its data itself"):
        study.confirm(splits=2)


def test_metrics_of_ones_own_have_a_direction_and_a_unit():
    percent, error = own_metric("miou:max:%"), own_metric("mm_error:min:mm")
    assert (percent.key, percent.in_percent, percent.gain_unit) == ("miou", True, "points")
    assert (error.score_of(3.0), error.gain_unit, error.text) == (-3.0, "mm", "mm_error:min:mm")
    assert own_metric("miou") is own_metric("miou:up") is own_metric("1a:max") is None
