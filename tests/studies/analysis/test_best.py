"""The best architecture: what it is, and that a table and an analysis agree on it."""

from __future__ import annotations

from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.best import best_of_table
from attentune.studies.analysis.trial_table import TrialTable
from attentune.studies.estimator.study_model import StudyModel
from example_records import BARE, study, trial


def se(ratio: int) -> str:
    return f"{BARE}+se(r={ratio})@all.residual"


def test_the_best_is_the_most_accurate() -> None:
    trials = [trial(0, BARE, 0.6), trial(1, se(4), 0.7), trial(2, f"{BARE}+eca@s1.residual", 0.55)]
    findings = analyse(study(), trials)
    assert findings.best is not None
    assert findings.best.number == 1


def test_of_equals_the_smallest_is_the_best() -> None:
    texts = [f"{BARE}+{name}@all.residual" for name in ("cbam(r=4)", "ca(r=4)")]
    trials = [
        trial(0, texts[0], 0.7, params=300),
        trial(1, texts[1], 0.7, params=200),
    ]
    findings = analyse(study(), trials)
    assert findings.best is not None
    assert findings.best.number == 1


def test_a_single_fortunate_seed_is_not_the_best_while_another_was_good_with_several() -> None:
    eca = f"{BARE}+eca@s1.residual"
    bare = [trial(10 + seed, BARE, 0.66 + 0.02 * (-1) ** seed, seed=seed) for seed in range(4)]
    trials = [trial(seed, se(2), 0.70 + 0.02 * (-1) ** seed, seed=seed) for seed in range(4)]
    findings = analyse(study(), [*bare, *trials, trial(4, eca, 0.705, seed=4)])
    assert findings.best is not None
    assert findings.best.number == 0
    better = analyse(study(), [*bare, *trials, trial(4, eca, 0.78, seed=4)])
    assert better.best is not None
    assert better.best.number == 4


def test_a_table_that_grows_has_the_best_that_an_analysis_finds() -> None:
    trials = [
        trial(0, BARE, 0.60),
        *(trial(1 + seed, se(2), 0.70 + 0.02 * (-1) ** seed, seed=seed) for seed in range(4)),
        trial(5, se(4), 0.705),
        trial(6, se(8)),
    ]
    table, model = TrialTable(), StudyModel.of(study())
    for count, new in enumerate(trials, 1):
        table.add([new])
        assert best_of_table(table, model) == analyse(study(), trials[:count]).best


def test_nothing_complete_has_no_best() -> None:
    table = TrialTable.of([trial(0, BARE)])
    assert best_of_table(table, StudyModel.of(study())) is None
