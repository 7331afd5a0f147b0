"""The sentence with which every report begins, and its caveat."""

from __future__ import annotations

import pytest
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.findings import Noise
from attentune.studies.objectives import ACCURACY
from attentune.studies.records import TrialRecord
from attentune.studies.text.summary import caveat, noise_details, summary_sentence
from example_records import BARE, study, trial


def se(r: int) -> str:
    return f"{BARE}+se(r={r})@all.residual"


@pytest.mark.parametrize(
    ("trials", "sentence", "doubt"),
    [
        ([], "No trial has run yet.", None),
        ([trial(0, BARE)], "No trial is complete yet; 1 trial has begun.", None),
        ([trial(0, BARE, state="failed")], "No trial is complete: 1 failed.", None),
        ([trial(0, BARE, 0.6)], "bare net reaches 60.0 ± ", None),
        (
            [trial(0, BARE, 0.6), trial(1, se(4), 0.5)],
            "Keep the bare `net`: `se(r=4)@all.residual` does not beat it by more than chance "
            "explains; its gain is −",
            None,
        ),
        ([trial(1, se(4), 0.5)], "the bare backbone is not complete yet", None),
        (
            [trial(0, BARE, 0.6, params=1000), trial(1, se(4), 0.7, params=1014)],
            f"Take `{se(4)}`: +",
            "No architecture has run with two seeds",
        ),
        (
            [*(trial(s, BARE, 0.6 + s / 50, seed=s) for s in (0, 1)), trial(2, se(4), 0.63)],
            "Keep the bare `net`: `se(r=4)@all.residual` does not beat it",
            None,
        ),
        (
            [
                *(trial(s, BARE, 0.6 + (s % 2) / 500, seed=s) for s in range(5)),
                *(trial(9 + s, se(4), 0.63 + (s % 2) / 500, seed=s) for s in range(5)),
                *(trial(20 + s, se(8), 0.54, seed=s) for s in range(5)),
            ],
            f"Take `{se(4)}`: +",
            "chosen among 3 architectures on the validation images, so it is a hypothesis until",
        ),
    ],
)
def test_the_summary_recommends_and_the_caveat_says_on_what_ground(
    trials: list[TrialRecord], sentence: str, doubt: str | None
) -> None:
    findings = analyse(study(), trials)
    assert sentence in summary_sentence(study(), findings)
    if doubt is None:
        assert caveat(findings) is None
    else:
        assert doubt in (caveat(findings) or "")


def removal_trials(accuracy: float, params: int) -> list[TrialRecord]:
    text = f"{BARE}(attention=none@s2)"
    return [
        *(trial(s, BARE, 0.6 + (s % 2) / 500, params=1000, seed=s) for s in range(5)),
        *(trial(9 + s, text, accuracy + (s % 2) / 500, params=params, seed=s) for s in range(5)),
        *(trial(20 + s, se(8), 0.54, params=1100, seed=s) for s in range(5)),
    ]


def test_a_cheaper_network_that_loses_nothing_is_recommended() -> None:
    findings = analyse(study(), removal_trials(0.6, 900))
    sentence = summary_sentence(study(), findings)
    assert sentence.startswith(
        "Remove the attention that `net` itself has in stage 2 (`net(attention=none@s2)`): "
        "−10.0 % parameters, at no measurable loss ("
    )
    assert "is a hypothesis until" in (caveat(findings) or "")


@pytest.mark.parametrize(("accuracy", "params"), [(0.57, 900), (0.6, 1000)])
def test_the_bare_backbone_stays_if_the_rest_loses_something_or_saves_nothing(
    accuracy: float, params: int
) -> None:
    findings = analyse(study(), removal_trials(accuracy, params))
    assert summary_sentence(study(), findings).startswith("Keep the bare `net`: ")


def test_the_sentence_has_the_gain_its_error_and_the_price() -> None:
    trials = [trial(0, BARE, 0.6, params=1000), trial(1, se(4), 0.7, params=1014)]
    findings = analyse(study(), trials)
    best = findings.best
    assert best is not None
    assert best.gain is not None
    assert best.gain_error is not None
    gain = f"+{100 * best.gain:.1f} ± {100 * best.gain_error:.1f}"
    assert summary_sentence(study(), findings) == (
        f"Take `{se(4)}`: {gain} points over the bare backbone for +1.4 % parameters."
    )


def test_of_architectures_that_are_not_told_apart_the_cheapest_is_taken() -> None:
    eca = f"{BARE}+eca@s1.residual"
    trials = [
        *(trial(s, BARE, 0.60, seed=s, params=1000) for s in range(4)),
        *(trial(10 + s, se(2), 0.72, seed=s, params=2000) for s in range(4)),
        *(trial(20 + s, eca, 0.718, seed=s, params=1010) for s in range(4)),
    ]
    sentence = summary_sentence(study(), analyse(study(), trials))
    assert sentence.startswith(f"Take `{eca}`: +")
    assert "the most accurate, `se(r=2)@all.residual`, is not ahead of it by more than" in sentence
    assert sentence.endswith("and costs +100.0 % parameters.")


def test_the_noise_floor_says_what_it_is_based_on() -> None:
    assert "assumed" in noise_details(Noise(0.01, 0.02, 0), ACCURACY)
    assert noise_details(Noise(0.01, 0.02, 12), ACCURACY).endswith(
        "from 12 repeats, without the 2.0 points that all trials of a seed share"
    )
