"""Stopping early: who goes on at a rung, and what becomes of those who do not."""

from __future__ import annotations

import itertools
import math

import made
import numpy as np
import optuna
import pytest
from attentune.runners.results import Costs, EpochReport
from attentune.search.pruning.asha import rank_among
from attentune.search.pruning.front import odds_of_front
from attentune.search.pruning.table import make_pruner
from attentune.search.trial_source import Proposal
from attentune.spaces.architecture import parse
from attentune.studies.config import SAMPLERS, Pruning
from attentune.studies.estimator.rungs import rung_epochs, study_rungs
from attentune.studies.records import BASELINE, SEARCH

ASHA = Pruning(pruner="asha", first=2 / 9, eta=2, signal="accuracy")
EXPECTED = Pruning(pruner="asha", eta=2, signal="expected")
FRONT = Pruning(pruner="front", eta=2, chance=0.3)


@pytest.mark.parametrize(
    ("epochs", "first", "eta", "expected"),
    [
        (8, 0.25, 3, (2,)),  # from 6 there would be little left to save
        (8, 0.25, 2, (2, 4)),
        (27, 1 / 27, 3, (2, 6)),  # never after the first epoch
        (8, 0.375, 3, (3,)),
        (3, 0.25, 3, (2,)),
        (1, 0.25, 3, ()),
        (2, 0.5, 3, ()),
    ],
)
def test_rungs_lie_between_the_first_epoch_and_the_last(epochs, first, eta, expected):
    assert rung_epochs(epochs, first, eta) == expected


@pytest.mark.parametrize(
    ("pruner", "epochs", "expected"),
    [
        ("front", 8, (1,)),
        ("front", 20, (3,)),
        ("asha", 8, (2,)),
        ("asha", 3, (2,)),
        ("none", 8, ()),
    ],
)
def test_each_pruner_has_its_first_rung_where_it_knows_enough(bench, pruner, epochs, expected):
    pruning = Pruning.model_validate(Pruning.written(pruner))
    assert study_rungs(bench.config(pruning=pruning, recipe={"epochs": epochs})) == expected


def test_a_first_rung_that_is_asked_for_stays(bench):
    pruning = Pruning.model_validate(Pruning.written("front:first=0.5"))
    config = bench.config(pruning=pruning, recipe={"epochs": 8})
    assert study_rungs(config) == (4,)
    assert study_rungs(type(config).model_validate(config.model_dump(mode="json"))) == (4,)


def goes_on(peers, number, eta):
    """Whether one of some trials may go on."""
    place, room = rank_among(peers, number, eta)
    return place <= room


def judged(trials, eta):
    """Numbers of the trials that may go on, judged as they come."""
    numbers = list(trials)
    return [
        number
        for i, number in enumerate(numbers, start=1)
        if goes_on({n: trials[n] for n in numbers[:i]}, number, eta)
    ]


def test_with_one_objective_the_best_third_so_far_goes_on():
    losses = (0.9, 0.8, 0.95, 0.85, 0.7, 0.6, 0.99, 0.65, 0.1)
    trials = {number: (loss,) for number, loss in enumerate(losses)}
    # The first is alone; later ones have to be among the best ⌊n/3⌋, at least the best one.
    assert judged(trials, 3) == [0, 1, 4, 5, 7, 8]


def test_with_several_a_cheap_trial_need_not_be_as_accurate():
    trials = {
        0: (0.50, 10.0),
        1: (0.40, 20.0),
        2: (0.60, 30.0),  # dominated
        3: (0.70, 5.0),  # the cheapest of all
        4: (0.55, 12.0),  # dominated by the first
        5: (0.30, 40.0),  # the most accurate of all
    }
    kept = judged(trials, 2)
    assert 2 not in kept
    assert 4 not in kept
    assert kept[-1] == 5
    assert not goes_on(trials, 4, 2)


def test_within_a_front_the_crowded_ones_stop_first():
    spread = {0: (0.0, 1.0), 1: (1.0, 0.0), 2: (0.5, 0.5), 3: (0.49, 0.51), 4: (0.2, 0.85)}
    crowded = {number for number in spread if not goes_on(spread, number, 2)}
    assert crowded >= {2, 3}
    assert not crowded & {0, 1}


def test_a_loss_that_is_no_number_is_last():
    trials = {number: (loss, 1.0) for number, loss in enumerate((0.5, math.inf, 0.4, 0.3))}
    assert rank_among(trials, 1, 2)[0] == len(trials)


def test_a_study_stops_what_is_behind_and_says_where_and_why(bench):
    config = bench.config(sampler="random", pruning=ASHA, recipe={"epochs": 9})
    bench.run("s", 30, config)
    trials = bench.store.trials.read(bench.store.studies.get("s"))
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert len(pruned) > 10
    assert {trial.epochs for trial in pruned} == {2, 4}
    assert all(f"rung {trial.epochs}: place" in trial.note for trial in pruned)
    assert all(trial.accuracy is not None and trial.device_seconds for trial in pruned)
    assert not [trial for trial in pruned if trial.role == "baseline"]
    study = optuna.load_study(study_name="s", storage=bench.store.url)
    states = {trial.number: trial.state.name.lower() for trial in study.trials}
    assert states == {trial.number: trial.state for trial in trials}


def test_what_goes_on_is_better_than_what_stops(bench):
    config = bench.config(
        sampler="random", objectives=("accuracy",), pruning=ASHA, recipe={"epochs": 9}
    )
    bench.run("s", 60, config)
    trials = [
        t for t in bench.store.trials.read(bench.store.studies.get("s")) if t.role == "search"
    ]
    seen = {t.number: e.report for t in trials for e in bench.store.epochs.read("s", t.number)[:1]}

    def mean(state):
        found = [seen[t.number].accuracy for t in trials if t.state == state]
        return sum(found) / len(found)

    assert mean("complete") > mean("pruned")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_with_pruning_too_forty_trials_equal_twenty_and_a_resume_of_twenty(bench, sampler):
    config = {"sampler": sampler, "seed": 3, "pruning": ASHA, "recipe": {"epochs": 9}}
    bench.run("whole", 40, bench.config(**config))
    bench.run("halves", 20, bench.config(**config))
    bench.run("halves", 40)
    assert bench.told("halves") == bench.told("whole")


@pytest.mark.parametrize("sampler", ["random", "additive"])
@pytest.mark.parametrize("pruning", [EXPECTED, FRONT], ids=["asha", "front"])
def test_with_the_model_at_the_rungs_too(bench, sampler, pruning):
    config = {"sampler": sampler, "seed": 3, "pruning": pruning, "recipe": {"epochs": 6}}
    bench.run("whole", 24, bench.config(**config))
    bench.run("halves", 12, bench.config(**config))
    bench.run("halves", 24)
    assert bench.told("halves") == bench.told("whole")
    trials = bench.store.trials.read(bench.store.studies.get("whole"))
    assert any(trial.state == "pruned" for trial in trials)
    assert not [trial for trial in trials if trial.state == "pruned" and trial.role == BASELINE]


@pytest.mark.parametrize(
    ("pruning", "why"),
    [
        (EXPECTED, "rung 2: place"),
        (FRONT, "% likely to be on the front"),
    ],
    ids=["asha", "front"],
)
@pytest.mark.parametrize("objectives", [("accuracy",), ("accuracy", "params")])
def test_the_model_judges_a_trial_by_what_is_known_of_its_parts(bench, pruning, why, objectives):
    """All losses are equal at the rung; SE has been good wherever it stood, ECA bad."""
    config = bench.config(objectives=objectives, pruning=pruning, recipe={"epochs": 6})
    pruner, number = after_nine(config)
    assert not verdict(pruner, number, "test_resnet+se@s4.residual", params=1100)
    assert why in verdict(pruner, number + 1, "test_resnet+eca@s4.residual", params=1200)


def test_the_front_keeps_what_is_cheap_though_it_be_bad(bench):
    pruner, number = after_nine(bench.config(pruning=FRONT, recipe={"epochs": 6}))
    assert not verdict(pruner, number, "test_resnet+eca@s4.residual", params=900)


def test_the_front_stops_nothing_before_it_knows_how_much_is_luck(bench):
    pruner = make_pruner(bench.config(pruning=FRONT, recipe={"epochs": 6}))
    for number, accuracy in enumerate((0.9, 0.1, 0.1, 0.1, 0.1)):
        text = f"test_resnet+eca@s{number}.residual" if number else "test_resnet"
        assert not verdict(pruner, number, text, params=1000 + number)
        pruner.on_trial_end(made.trial(number, text, accuracy))


def test_odds_are_the_part_of_the_truths_in_which_nothing_is_better_and_cheaper():
    truths = np.array([[0.5, 0.6, 0.4], [0.5, 0.4, 0.45], [0.5, 0.7, 0.8], [0.5, 0.5, 0.3]])
    costs = np.array([[1.0], [2.0], [3.0]])
    assert odds_of_front(truths, costs).tolist() == [1.0, 0.5, 0.25]


def verdict(pruner, number, text, params=1000):
    """What the pruner says of a trial after its second epoch, which went like any other."""
    costs = Costs(params, 10)
    trial = Proposal(number, parse(text), 0, SEARCH, costs)
    return pruner.judge(trial, SEARCH, EpochReport(2, 1.0, 0.1, 0.0, 0.0, 1.0), costs)


def after_nine(config):
    """A pruner that has seen SE end well, and ECA badly, in three stages; and the next number."""
    pruner, ends = make_pruner(config), {"se": 0.8, "eca": 0.4, "cbam": 0.6}
    for number, (name, stage) in enumerate(itertools.product(ends, (1, 2, 3))):
        text = f"test_resnet+{name}@s{stage}.residual"
        verdict(pruner, number, text)
        pruner.on_trial_end(made.trial(number, text, ends[name] + 0.01 * stage))
    return pruner, number + 1


def test_an_interrupt_at_a_rung_prunes_and_resume_does_not_revive(bench):
    config = bench.config(sampler="random", pruning=ASHA, recipe={"epochs": 9})

    def stop_at_the_first_pruning(study, trial, _report):
        if trial.pruned is not None:
            study.stop()

    bench.run("s", 30, config, on_epoch=stop_at_the_first_pruning)
    before = bench.store.trials.read(bench.store.studies.get("s"))
    assert before[-1].state == "pruned"
    bench.run("s", 30)
    assert bench.told("s")[: len(before)] == [
        (t.number, t.architecture, t.seed, t.state, t.accuracy) for t in before
    ]
