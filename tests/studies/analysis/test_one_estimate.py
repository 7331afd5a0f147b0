"""One estimate: whatever a study looks like, its numbers agree with each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attentune.runners.results import EpochReport, Failure
from attentune.studies.analysis.analyse import analyse, show_json
from attentune.studies.analysis.findings import ArchitectureSummary, Findings
from attentune.studies.analysis.pareto import find_knee
from attentune.studies.analysis.recommendation import recommend
from attentune.studies.estimator.study_model import StudyModel
from attentune.studies.records import (
    BASELINE,
    SEARCH,
    EpochRecord,
    StudyRecord,
    TrialRecord,
)
from attentune.studies.text.recommendation import recommendation_sentence
from example_records import BARE, study, trial

OBJECTIVES = (
    ("accuracy",),
    ("accuracy", "params"),
    ("accuracy", "latency"),
    ("accuracy", "params", "macs"),
    ("accuracy", "params", "latency"),
)
CONFIG = {
    "study": {
        "stages": 3,
        "recipe": {"data": "digits", "epochs": 8, "image_size": 32},
        "pruning": {"pruner": "asha"},
    }
}


def random_study(seed: int) -> tuple[StudyRecord, list[TrialRecord], list[EpochRecord]]:
    """A study as searches leave them: unbalanced, with pruned, failed and unfinished trials."""
    rng = np.random.default_rng(seed)
    record = study(*OBJECTIVES[rng.integers(len(OBJECTIVES))], **CONFIG)
    spread, noise, seed_effect = rng.choice([0.0, 0.003, 0.02, 0.1], 3)
    pool = [BARE] * bool(rng.random() < 0.9) + [
        f"{BARE}+{rng.choice(['se(r=4)', 'se(r=16)', 'eca', 'cbam(r=8)'])}"
        f"@{rng.choice(['all', 's1', 's2-s3', 's3'])}.{rng.choice(['residual', 'post'])}"
        for _ in range(rng.integers(0, 12))
    ] or [BARE]
    worth = {text: spread * rng.standard_normal() for text in pool}
    cost = {text: float(rng.integers(0, 4)) * (text != BARE) for text in pool}
    effects = seed_effect * rng.standard_normal(6)
    level = rng.choice([0.1, 0.5, 0.97])
    trials, epochs, used = [], [], set()
    for number in range(rng.integers(1, 30)):
        text, run_seed = str(rng.choice(pool)), int(rng.integers(rng.choice([1, 6])))
        state = str(
            rng.choice(["complete", "pruned", "failed", "running"], p=[0.75, 0.15, 0.05, 0.05])
        )
        if (text, run_seed) in used:
            continue
        used.add((text, run_seed))
        accuracy = level + worth[text] + effects[run_seed] + noise * rng.standard_normal()
        fields: dict[str, Any] = {
            "seed": run_seed,
            "role": BASELINE if text == BARE else SEARCH,
            "state": state,
            "params": 1000 + int(100 * cost[text]),
            "macs": 5000 + int(rng.integers(2)) * (text != BARE),
        }
        if rng.random() < 0.95:
            ratio = 1.0 if text == BARE else 1 + 0.1 * cost[text] + 0.02 * rng.standard_normal()
            fields |= {"latency_ms": 5 * ratio, "latency_ratio": ratio}
            fields |= {"latency_ms_error": 0.1, "latency_ratio_error": 0.02 * (text != BARE)}
        if state == "failed":
            fields["failure"] = Failure("error", "no")
        known = float(np.clip(accuracy, 0, 1)) if state == "complete" else None
        trials.append(trial(number, text, known, **fields))
        report = EpochReport(
            2, float(np.exp(-accuracy)), float(np.clip(accuracy / 2, 0, 1)), 1.0, 0.1, 1.0
        )
        epochs.append(EpochRecord(number, number, report))
    return record, trials, epochs


def test_the_random_studies_have_rungs() -> None:
    record, _, epochs = random_study(0)
    assert StudyModel.of(record).observed_epochs == (2,)
    assert {epoch.report.epoch for epoch in epochs} == {2}


def check_gains(findings: Findings) -> None:
    """A gain is the difference of the accuracies that stand beside it, with its own error."""
    for summary in findings.architectures:
        assert 0 < summary.standard_error < 0.5
        if findings.bare is None or summary.architecture.bare:
            assert summary.gain is None
            assert summary.gain_error is None
            continue
        assert summary.gain == summary.score - findings.bare.score
        assert summary.gain_error is not None
        assert summary.gain_error > 0


def costs_less(findings: Findings, summary: ArchitectureSummary) -> bool:
    """Whether any cost among the objectives is below that of the bare backbone."""
    assert findings.bare is not None
    keys = [o.key for o in findings.objectives if o.key != "accuracy"]
    keys = ["latency_ratio" if key == "latency_ms" else key for key in keys]
    return any(summary.values[key] < findings.bare.values[key] for key in keys)


def check_front(findings: Findings) -> None:
    """Nothing on the front is worse than the bare backbone without being cheaper."""
    bare = findings.bare
    for summary in findings.front:
        if bare is None or summary is bare or summary.gain is None:
            continue
        if all(o.key in bare.values for o in findings.objectives):
            assert summary.gain > 0 or costs_less(findings, summary)
    assert findings.knee == find_knee(findings.front, findings.objectives)


def check_best_and_recommendation(findings: Findings) -> None:
    """The best is the most accurate, and only what is better than the bare backbone is taken."""
    if not findings.architectures:
        assert findings.best is None
        assert recommend(findings) is None
        return
    assert findings.best is not None
    assert findings.best.score == max(s.score for s in findings.architectures)
    recommendation = recommend(findings)
    if recommendation is None:
        assert findings.bare is None or len(findings.architectures) == 1
        return
    sentence = recommendation_sentence(recommendation, findings)
    if recommendation.keeps_bare:
        assert sentence.startswith("Keep the bare")
        assert not findings.best.is_better_than_bare
    else:
        assert sentence.startswith(f"Take `{recommendation.pick.architecture}`: +")
        assert recommendation.pick.is_better_than_bare


def check_json(shown: dict[str, Any], findings: Findings) -> None:
    """What programs read is what people read."""
    by_key = {a["key"]: a for a in shown["architectures"]}
    assert len(by_key) == len(findings.architectures)
    for summary in findings.architectures:
        fields = by_key[summary.architecture.key]
        assert fields["accuracy"] == summary.score
        assert fields["standard_error"] == summary.standard_error
        assert (fields["gain"], fields["gain_error"]) == (summary.gain, summary.gain_error)
        assert fields["measured"] == list(summary.scores)
        assert fields["front"] == (summary in findings.front)
    assert shown["best"] == (findings.best and findings.best.number)
    assert shown["knee"] == (findings.knee and findings.knee.number)


@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(100), id="100 studies"),
        pytest.param(range(100, 10_000), id="10,000 studies", marks=pytest.mark.slow),
    ],
)
@pytest.mark.timeout(1800)
def test_the_numbers_of_random_studies_agree_with_each_other(seeds: range) -> None:
    for seed in seeds:
        record, trials, epochs = random_study(seed)
        findings = analyse(record, trials, StudyModel.of(record, epochs))
        check_gains(findings)
        check_front(findings)
        check_best_and_recommendation(findings)
        check_json(
            show_json(record, trials, analyse(record, trials, StudyModel.of(record, epochs))),
            findings,
        )
