"""Asynchronous successive halving: which trials continue after a rung, and which are pruned."""

from __future__ import annotations

import math

import optuna
from attentune.search.pruning.asha import rank_among
from attentune.studies.config import Pruning

ASHA = Pruning(pruner="asha", first=2 / 9, eta=2, signal="accuracy")


def continues(trials, number, eta):
    """Whether a trial continues after the rung that all `trials` have reached."""
    rank, kept = rank_among(trials, number, eta)
    return rank <= kept


def continuing(trials, eta):
    """Numbers of the trials that continue, each judged when it reaches the rung."""
    numbers = list(trials)
    return [
        number
        for i, number in enumerate(numbers, start=1)
        if continues({n: trials[n] for n in numbers[:i]}, number, eta)
    ]


def test_with_one_objective_the_best_third_so_far_continues():
    losses = (0.9, 0.8, 0.95, 0.85, 0.7, 0.6, 0.99, 0.65, 0.1)
    trials = {number: (loss,) for number, loss in enumerate(losses)}
    # The first is alone; later ones have to be among the best ⌊n/3⌋, at least the best one.
    assert continuing(trials, 3) == [0, 1, 4, 5, 7, 8]


def test_with_several_a_cheap_trial_need_not_be_as_accurate():
    trials = {
        0: (0.50, 10.0),
        1: (0.40, 20.0),
        2: (0.60, 30.0),  # dominated
        3: (0.70, 5.0),  # the cheapest of all
        4: (0.55, 12.0),  # dominated by the first
        5: (0.30, 40.0),  # the most accurate of all
    }
    kept = continuing(trials, 2)
    assert 2 not in kept
    assert 4 not in kept
    assert kept[-1] == 5
    assert not continues(trials, 4, 2)


def test_within_a_front_the_crowded_ones_stop_first():
    spread = {0: (0.0, 1.0), 1: (1.0, 0.0), 2: (0.5, 0.5), 3: (0.49, 0.51), 4: (0.2, 0.85)}
    crowded = {number for number in spread if not continues(spread, number, 2)}
    assert crowded >= {2, 3}
    assert not crowded & {0, 1}


def test_a_loss_that_is_no_number_is_last():
    trials = {number: (loss, 1.0) for number, loss in enumerate((0.5, math.inf, 0.4, 0.3))}
    assert rank_among(trials, 1, 2)[0] == len(trials)


def test_a_study_prunes_low_ranks_and_records_the_rung_and_the_reason(bench):
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


def test_complete_trials_were_better_at_the_rung_than_pruned_ones(bench):
    config = bench.config(
        sampler="random", objectives=("accuracy",), pruning=ASHA, recipe={"epochs": 9}
    )
    bench.run("s", 60, config)
    trials = [
        t for t in bench.store.trials.read(bench.store.studies.get("s")) if t.role == "search"
    ]
    seen = {t.number: e.report for t in trials for e in bench.store.epochs.read("s", t.number)[:1]}

    def mean(state):
        accuracies = [seen[t.number].accuracy for t in trials if t.state == state]
        return sum(accuracies) / len(accuracies)

    assert mean("complete") > mean("pruned")


def test_ranks_treat_costs_within_their_noise_as_equal():
    values = {0: (0.1, 5.0), 1: (0.2, 4.9), 2: (0.3, 9.0)}
    errors = dict.fromkeys(values, (0.0, 0.05))
    assert [rank_among(values, number, 3)[0] for number in values] == [1, 2, 3]
    assert [rank_among({0: values[0], 1: values[1]}, n, 2)[0] for n in (0, 1)] == [1, 2]
    by_noise = {0: (0.2, 4.9), 1: (0.1, 5.0)}
    assert rank_among(by_noise, 0, 2)[0] == 1  # Both are on the front, in their order.
    assert rank_among(by_noise, 0, 2, errors)[0] == 2
