"""What pruners with rungs share: the model's judgement, and the state of a trial at a rung."""

from __future__ import annotations

import pytest
from attentune.studies.config import Pruning
from attentune.studies.records import BASELINE

ASHA = Pruning(pruner="asha", first=2 / 9, eta=2, signal="accuracy")
EXPECTED = Pruning(pruner="asha", eta=2, signal="expected")
FRONT = Pruning(pruner="front", eta=2, chance=0.3)


@pytest.mark.parametrize(
    ("pruning", "sampler"),
    [
        pytest.param(EXPECTED, "random", id="asha-random", marks=pytest.mark.slow),
        pytest.param(EXPECTED, "additive", id="asha-additive"),
        pytest.param(FRONT, "random", id="front-random"),
        pytest.param(FRONT, "additive", id="front-additive", marks=pytest.mark.slow),
    ],
)
def test_with_the_model_at_the_rungs_too(bench, sampler, pruning):
    config = {"sampler": sampler, "seed": 3, "pruning": pruning, "recipe": {"epochs": 6}}
    bench.run("whole", 24, bench.config(**config))
    bench.run("halves", 12, bench.config(**config))
    bench.run("halves", 24)
    assert bench.rows("halves") == bench.rows("whole")
    trials = bench.store.trials.read(bench.store.studies.get("whole"))
    assert any(trial.state == "pruned" for trial in trials)
    assert not [trial for trial in trials if trial.state == "pruned" and trial.role == BASELINE]


@pytest.mark.parametrize(
    ("pruning", "reason"),
    [
        (EXPECTED, "rung 2: place"),
        (FRONT, "% likely to be on the front"),
    ],
    ids=["asha", "front"],
)
@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "params")])
def test_the_model_judges_a_trial_by_architectures_that_share_features(
    bench, judge, after_nine_trials, pruning, reason, objectives
):
    """All losses are equal at the rung; SE was good in every stage, ECA bad."""
    config = bench.config(objectives=objectives, pruning=pruning, recipe={"epochs": 6})
    pruner, number = after_nine_trials(config)
    assert not judge(pruner, number, "test_resnet+se@s4.residual", params=1100)
    assert reason in judge(pruner, number + 1, "test_resnet+eca@s4.residual", params=1200)


def test_an_interrupt_at_a_rung_prunes_and_resume_does_not_revive(bench):
    config = bench.config(sampler="random", pruning=ASHA, recipe={"epochs": 9})

    def stop_at_the_first_pruning(study, trial, _report):
        if trial.pruned is not None:
            study.stop()

    bench.run("s", 30, config, on_epoch=stop_at_the_first_pruning)
    before = bench.store.trials.read(bench.store.studies.get("s"))
    assert before[-1].state == "pruned"
    bench.run("s", 30)
    assert bench.rows("s")[: len(before)] == [
        (t.number, t.architecture, t.seed, t.state, t.accuracy) for t in before
    ]
