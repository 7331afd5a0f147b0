"""The sentence with which every report begins, and its caveat."""

from __future__ import annotations

import pytest
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.findings import Noise
from attentune.studies.records import TrialRecord
from attentune.studies.text.summary import caveat, noise_details, summary_sentence
from example_records import BARE, study, trial


def se(r: int) -> str:
    return f"{BARE}+se(r={r})@all.residual"


@pytest.mark.parametrize(
    ("trials", "sentence", "doubt"),
    [
        ([], "No trial has run yet.", None),
        ([trial(0, BARE)], "No trial is complete yet; 1 trial running.", None),
        ([trial(0, BARE, state="failed")], "1 failed; the reasons are below", None),
        ([trial(0, BARE, 0.6)], "bare net reaches 60.0 %; nothing else is complete", None),
        ([trial(0, BARE, 0.6), trial(1, se(4), 0.5)], "No other architecture beats the bare", None),
        ([trial(1, se(4), 0.5)], "the bare backbone is not complete yet", None),
        (
            [trial(0, BARE, 0.6, params=1000), trial(1, se(4), 0.7, params=1014)],
            f"{se(4)} is the best so far, with 70.0 %: +10.0 points over the bare net "
            "for +1.4 % parameters.",
            "no architecture ran with two seeds",
        ),
        (
            [*(trial(s, BARE, 0.6 + s / 50, seed=s) for s in (0, 1)), trial(2, se(4), 0.63)],
            "+3.0 points",
            "Seeds alone make differences of this size (standard error 2.0 points)",
        ),
        (
            [*(trial(s, BARE, 0.6 + s / 500, seed=s) for s in (0, 1)), trial(2, se(4), 0.63)],
            "+3.0 points",
            "The standard error of this difference is 0.2 points. The best of 2 architectures",
        ),
    ],
)
def test_the_summary_names_the_best_and_the_caveat_its_uncertainty(
    trials: list[TrialRecord], sentence: str, doubt: str | None
) -> None:
    findings = analyse(study(), trials)
    assert sentence in summary_sentence(study(), findings)
    if doubt is None:
        assert caveat(findings) is None
    else:
        assert doubt in (caveat(findings) or "")


def test_the_noise_floor_says_what_it_is_based_on() -> None:
    assert noise_details(Noise(0.01, 1)) == "standard deviation of one trial, from 1 repeat"
    assert noise_details(Noise(0.01, 12, 0.02)).endswith(
        "from 12 repeats, without the 2.0 points that all trials of a seed share"
    )
