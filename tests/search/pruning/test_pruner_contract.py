"""What must be true of every pruner; one that is added to the registry is tested here too."""

from __future__ import annotations

import pytest
from attentune.runners.results import Costs, EpochReport
from attentune.search.pruning import asha, front
from attentune.search.pruning.registry import PRUNER_FACTORIES
from attentune.search.trial_source import Proposal
from attentune.spaces.architecture import parse
from attentune.studies.config import DEFAULT_SAMPLER, PRUNER_SETTINGS, SAMPLERS, Pruning
from attentune.studies.records import BASELINE, SEARCH

PRUNINGS = {
    **{name: Pruning(pruner=name) for name in PRUNER_FACTORIES},
    "asha by accuracy": Pruning(pruner="asha", first=2 / 9, eta=2, signal="accuracy"),
    "front, severe": Pruning(pruner="front", eta=2, chance=0.9),
}
every_pruner = pytest.mark.parametrize("pruning", PRUNINGS.values(), ids=PRUNINGS)
HOPELESS = "test_resnet+cbam(r=4)@s1.residual"


def judge(pruner, epoch, role=SEARCH, number=1000, params=10**9):
    """Why the pruner would stop a very bad and expensive trial."""
    trial, costs = Proposal(number, parse(HOPELESS), 0, role, None), Costs(params, 10**9)
    return pruner.judge(trial, role, EpochReport(epoch, 50.0, 0.0, 50.0, 0.1, 1.0), costs)


def test_the_table_holds_the_names_that_the_setting_offers():
    assert set(PRUNER_FACTORIES) == set(PRUNER_SETTINGS)


@every_pruner
def test_the_last_epoch_and_baselines_are_never_stopped(bench, pruning):
    config = bench.config(sampler="random", pruning=pruning, recipe={"epochs": 9})
    pruner = bench.run("s", 24, config).pruner
    for epoch in range(1, 10):
        assert judge(pruner, epoch, BASELINE) is None
    assert judge(pruner, 9) is None
    stopped = [t for t in bench.store.trials.read("s") if t.state == "pruned"]
    assert all(trial.epochs < 9 for trial in stopped)
    assert BASELINE not in {trial.role for trial in stopped}
    assert bool(stopped) == (pruning.pruner != "none")


@every_pruner
def test_after_a_restart_it_judges_as_before(bench, pruning):
    config = bench.config(sampler="random", pruning=pruning, recipe={"epochs": 9})
    pruner = bench.run("s", 20, config).pruner
    restarted = bench.pruner("s")
    reasons = [judge(pruner, epoch) for epoch in range(1, 10)]
    assert reasons == [judge(restarted, epoch) for epoch in range(1, 10)]
    assert any(reasons) == (pruning.pruner != "none")
    assert "" not in reasons


@pytest.mark.parametrize("name", ["asha", "front, severe"])
def test_in_a_long_study_a_trial_is_compared_with_some_and_a_restart_changes_nothing(
    bench, monkeypatch, name
):
    for module in (asha, front):
        monkeypatch.setattr(module, "MAX_ENTRIES_COMPARED", 5)
    config = bench.config(sampler="random", pruning=PRUNINGS[name], recipe={"epochs": 9})
    pruner = bench.run("s", 30, config).pruner
    restarted = bench.pruner("s")
    reasons = [judge(pruner, epoch) for epoch in range(1, 10)]
    assert reasons == [judge(restarted, epoch) for epoch in range(1, 10)]
    assert any(reasons)
    if name == "asha":
        counts = {reason.split(",")[0].split()[-1] for reason in reasons if reason}
        assert counts <= {"3", "4", "5", "6"}  # Of six trials, by architecture.


@every_pruner
def test_with_several_objectives_the_cheapest_continues(bench, pruning):
    objectives = ("accuracy", "params", "macs")
    config = bench.config(
        sampler="random", pruning=pruning, objectives=objectives, recipe={"epochs": 9}
    )
    pruner = bench.run("s", 20, config).pruner
    for epoch in range(1, 10):
        assert judge(pruner, epoch, params=1) is None


@pytest.mark.parametrize(
    "sampler",
    [
        sampler if sampler == DEFAULT_SAMPLER else pytest.param(sampler, marks=pytest.mark.slow)
        for sampler in SAMPLERS
    ],
)
def test_a_search_equals_its_first_half_and_a_resume(bench, sampler):
    pruning = PRUNINGS["asha by accuracy"]
    config = {"sampler": sampler, "seed": 3, "pruning": pruning, "recipe": {"epochs": 9}}
    bench.run("whole", 24, bench.config(**config))
    bench.run("halves", 12, bench.config(**config))
    bench.run("halves", 24)
    assert bench.rows("halves") == bench.rows("whole")


def test_without_pruning_nothing_is_read():
    PRUNER_FACTORIES["none"](None).replay(None)
