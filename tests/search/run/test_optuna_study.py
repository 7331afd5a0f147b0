"""A study in Optuna: in memory for samplers, and in the database for Optuna's own tools."""

from __future__ import annotations

import ast
from pathlib import Path

import optuna
import pytest
from attentune.search.run import optuna_study, optuna_tables
from attentune.search.run.optuna_study import OptunaStudy
from attentune.studies.database.store import Store
from optuna.samplers import RandomSampler
from optuna.trial import TrialState

KEYS = ("accuracy", "params")


@pytest.fixture
def store(tmp_path):
    with Store.open(tmp_path / "s.db", create=True) as store:
        yield store


@pytest.fixture
def record(store):
    return store.studies.create("s", backbone="r", objectives=KEYS, config={}, seed=0)


def open_trial(study, constraints=None, fixed=None):
    trial = study.ask(RandomSampler(seed=0), fixed)
    trial.suggest_categorical("attention", ["se", "eca"])
    study.save(trial, constraints or {})
    return trial.number


def stored(store, name="s"):
    return optuna.load_study(study_name=name, storage=store.url).trials


def test_optuna_reads_the_same_study_with_its_own_tools(bench):
    bench.run("s", 14, bench.config())
    study = optuna.load_study(study_name="s", storage=bench.store.url)
    assert [d.name for d in study.directions] == ["MAXIMIZE", "MINIMIZE"]
    rows = bench.rows("s")
    assert [t.values[0] for t in study.trials] == [accuracy for *_, accuracy in rows]
    assert study.trials[7].user_attrs["architecture"] == rows[7][1]
    figure = optuna.visualization.plot_pareto_front(study)
    assert figure.data


def test_nothing_is_in_the_database_before_it_is_written(store, record):
    study = OptunaStudy(KEYS, store, record)
    number = open_trial(study, fixed={"attention": "eca"})
    study.tell(number, [0.9, 1000.0])
    assert stored(store) == []
    study.write()
    (trial,) = stored(store)
    assert (trial.state, trial.values) == (TrialState.COMPLETE, [0.9, 1000.0])
    assert trial.params == {"attention": "eca"}


def test_a_trial_of_an_earlier_run_can_be_constrained_and_ended(store, record):
    study = OptunaStudy(KEYS, store, record)
    for _ in range(2):
        open_trial(study, {"params": -0.5})
    study.write()
    resumed = OptunaStudy(KEYS, store, record)
    resumed.constrain(1, {"params": 99.0, "latency_ms": 0.25})
    resumed.tell(1, state=TrialState.PRUNED)
    resumed.write()
    first, second = stored(store)
    assert (first.state, second.state) == (TrialState.RUNNING, TrialState.PRUNED)
    assert first.constraints == {"params": -0.5}
    assert second.constraints == {"params": -0.5, "latency_ms": 0.25}  # the first value stays
    assert resumed.trials[1].constraints == second.constraints


def test_a_complete_trial_without_parameters_counts_as_failed_for_samplers_only(store, record):
    study = OptunaStudy(KEYS, store, record)
    study.save(study.ask(RandomSampler(seed=0)), {})
    study.tell(0, [0.5, 10.0])
    study.write()
    assert stored(store)[0].state == TrialState.COMPLETE
    for samplers_view in (study, OptunaStudy(KEYS, store, record)):
        assert samplers_view.trials[0].state == TrialState.FAIL


def test_other_choices_of_a_parameter_are_refused(store, record):
    study = OptunaStudy(KEYS, store, record)
    open_trial(study)
    study.write()
    resumed = OptunaStudy(KEYS, store, record)
    trial = resumed.ask(RandomSampler(seed=0))
    trial.suggest_categorical("attention", ["se", "ca"])
    with pytest.raises(ValueError, match="CategoricalDistribution does not support dynamic"):
        resumed.save(trial, {})


@pytest.mark.parametrize("module", [optuna_study, optuna_tables])
def test_no_private_part_of_optuna_is_used(module):
    tree = ast.parse(Path(module.__file__).read_text("utf-8"))
    private = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id == "self")
    }
    assert not private
