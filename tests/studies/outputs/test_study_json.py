"""What programs read of studies and trials: plain values under the names of the contract."""

from __future__ import annotations

import json

from attentune.studies.outputs.study_json import listed_study_json, study_json, trial_json
from attentune.studies.outputs.study_list import list_studies
from attentune.studies.records import BASELINE


def test_a_study_has_counts_trials_front_and_baseline(store, study, add):
    add("resnet18", 0.6, params=1000, role=BASELINE)
    add("resnet18+eca@all.residual", 0.7, params=1100)
    add("resnet18+se(r=8)@all.residual")
    values = json.loads(json.dumps(study_json(store, store.studies.get("first"))))
    assert values["study"] == "first"
    assert values["directions"] == {"accuracy": "maximize", "params": "minimize"}
    assert values["counts"] == {"complete": 2, "pruned": 0, "failed": 0, "running": 1}
    assert [trial["number"] for trial in values["trials"]] == [0, 1, 2]
    assert values["trials"][1]["values"]["accuracy"] == 0.7
    assert (values["baseline"], values["pareto"]) == (0, [0, 1])
    assert values["confirmation"] is None


def test_a_trial_has_its_curve_and_its_environment(store, study, add):
    number = add("resnet18+eca@all.residual", 0.7)
    record = store.studies.get("first")
    values = json.loads(json.dumps(trial_json(store, record, store.trials.get(record, number))))
    assert values["architecture"] == "resnet18+eca@all.residual"
    assert [(epoch["epoch"], epoch["accuracy"]) for epoch in values["curve"]] == [
        (1, 0.35),
        (2, 0.7),
    ]
    assert values["environment"]["torch"] == "2.13.0"


def test_a_trial_that_has_not_ended_has_no_environment(store, study, add):
    number = add("resnet18")
    record = store.studies.get("first")
    values = trial_json(store, record, store.trials.get(record, number))
    assert (values["curve"], values["environment"], values["state"]) == ([], None, "running")


def test_a_listed_study_names_its_objectives_and_its_best(store, study, add):
    add("resnet18", 0.6, role=BASELINE)
    (listed,) = list_studies(store)
    values = json.loads(json.dumps(listed_study_json(listed)))
    assert (values["study"], values["backbone"]) == ("first", "resnet18")
    assert values["objectives"] == ["accuracy", "params"]
    assert values["counts"]["complete"] == 1
    assert values["best_accuracy"] == 0.6
    assert values["created"] <= values["last_activity"]
