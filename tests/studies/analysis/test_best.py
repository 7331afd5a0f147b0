"""The best architecture: what it is, and that a table and an analysis agree on it."""

from __future__ import annotations

from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.best import best_of_table, best_of_trials
from attentune.studies.analysis.trial_table import TrialTable
from example_records import BARE, study, trial


def se(ratio: int) -> str:
    return f"{BARE}+se(r={ratio})@all.residual"


def test_the_best_is_the_most_accurate_and_of_equals_the_smallest() -> None:
    trials = [
        trial(0, se(2), 0.7, params=300),
        trial(1, se(4), 0.7, params=200),
        trial(2, se(8), 0.6, params=100),
    ]
    findings = analyse(study(), trials)
    assert findings.best is not None
    assert findings.best.number == 1


def test_a_single_lucky_seed_is_not_the_best_while_others_were_good_with_several() -> None:
    trials = [trial(seed, se(2), 0.70 + 0.02 * (-1) ** seed, seed=seed) for seed in range(4)]
    lucky = trial(4, se(4), 0.705)
    findings = analyse(study(), [*trials, lucky])
    assert findings.best is not None
    assert findings.best.number == 0
    better = analyse(study(), [*trials, trial(4, se(4), 0.75)])
    assert better.best is not None
    assert better.best.number == 4


def test_a_table_that_grows_has_the_best_that_an_analysis_finds() -> None:
    trials = [
        trial(0, BARE, 0.60),
        *(trial(1 + seed, se(2), 0.70 + 0.02 * (-1) ** seed, seed=seed) for seed in range(4)),
        trial(5, se(4), 0.705),
        trial(6, se(8)),
    ]
    table = TrialTable()
    for count, new in enumerate(trials, 1):
        table.add([new])
        assert best_of_table(table) == analyse(study(), trials[:count]).best
        assert best_of_trials(trials[:count]) == analyse(study(), trials[:count]).best


def test_nothing_complete_has_no_best() -> None:
    assert best_of_trials([]) is None
    assert best_of_trials([trial(0, BARE)]) is None
