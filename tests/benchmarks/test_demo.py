"""The claims of a demo are read from its confirmation and judged by measured differences."""

from __future__ import annotations

from typing import Any

import pytest
from attentune.benchmarks.demo import (
    FIRST_TRUTH_SEED,
    Claim,
    judge_study,
    measure_difference,
    missing_truth_trials,
    read_claims,
    summarise,
)
from attentune.benchmarks.docs_demo_table import render_demo

BARE, SE, ECA = "net", "net+se(r=16)@all.residual", "net+eca@all.residual"


def difference(mean: float, *, claimed: bool = True) -> dict[str, Any]:
    return {"mean": mean, "standard_error": 0.01, "claimed": claimed}


def contender(text: str, gain: dict[str, Any] | None) -> dict[str, Any]:
    return {"architecture": text, "gain": gain}


def truth(**gains: float) -> list[dict[str, Any]]:
    """Trials with 60 % for the bare backbone; the gains of the others vary by ± 0.5 points."""
    trials = []
    for seed in range(20):
        for text, gain in {BARE: 0.0, SE: gains["se"], ECA: gains["eca"]}.items():
            noise = 0.0 if text == BARE else 0.005 * (-1) ** seed
            trials.append(
                {"architecture": text, "seed": seed, "accuracy": 0.6 + gain / 100 + noise}
            )
    return trials


def study(*claims: Claim) -> dict[str, Any]:
    return {
        "seed": 0,
        "backbone": BARE,
        "recipe": {"data": "digits"},
        "sentence": "SE is better.",
        "seconds": 240.0,
        "contenders": [{"architecture": text, "finalist": text == SE} for text in (SE, BARE, ECA)],
        "claims": [vars(claim) for claim in claims],
    }


def test_only_significant_differences_are_claims_and_each_names_the_better_one_first():
    confirmation = {
        "contenders": [
            contender(SE, difference(0.05)),
            contender(BARE, None),
            contender(ECA, difference(-0.02)),
            contender("net+cbam@all.residual", difference(0.04, claimed=False)),
        ],
        "pairs": [{"one": ECA, "other": SE, **difference(-0.07)}],
    }
    assert read_claims(confirmation, BARE) == [Claim(SE, BARE), Claim(BARE, ECA), Claim(SE, ECA)]


@pytest.mark.parametrize(("gain", "verdict"), [(3.0, "right"), (-3.0, "wrong"), (0.1, "unproven")])
def test_a_claim_is_judged_by_the_paired_differences_of_the_truth(gain, verdict):
    accuracies: dict[str, dict[int, float]] = {}
    for trial in truth(se=gain, eca=0.0):
        accuracies.setdefault(trial["architecture"], {})[trial["seed"]] = trial["accuracy"]
    judged = measure_difference(accuracies, Claim(SE, BARE))
    assert judged["verdict"] == verdict
    assert judged["difference"] == pytest.approx(gain)
    assert judged["seeds"] == 20


def test_a_study_needs_a_right_gain_and_no_wrong_claim():
    gain, other = Claim(SE, BARE), Claim(SE, ECA)
    assert judge_study([gain, other], ["right", "unproven"], BARE) == "right"
    assert judge_study([gain, other], ["right", "wrong"], BARE) == "wrong"
    assert judge_study([gain], ["unproven"], BARE) == "unproven"
    assert judge_study([Claim(BARE, ECA)], ["right"], BARE) == "none"
    assert judge_study([], [], BARE) == "none"


def test_trials_of_the_truth_are_run_once_for_every_contender():
    result = {"studies": [study()], "truth": []}
    tasks = missing_truth_trials(result, 2)
    assert len(tasks) == 6
    result["truth"] = [{"architecture": text, "seed": seed} for text, seed, _ in tasks[:4]]
    assert missing_truth_trials(result, 2) == tasks[4:]
    assert all(seed >= FIRST_TRUTH_SEED for _, seed, _ in tasks)


def test_the_summary_counts_verdicts_and_the_readme_shows_them():
    right, wrong = study(Claim(SE, BARE)), study(Claim(SE, BARE), Claim(ECA, BARE))
    result = {"studies": [right, wrong], "truth": truth(se=3.0, eca=-1.0), "new_images": 100}
    result["summary"] = summarise(result)
    assert result["summary"]["verdicts"] == {"right": 1, "wrong": 1, "unproven": 0, "none": 0}
    assert [row["architecture"] for row in result["summary"]["truth"]] == [SE, BARE, ECA]
    text = "\n".join(render_demo(result))
    assert "| 0 | SE is better. | right | 1 of 1 | 4.0 min |" in text
    assert "Verdicts: 1 right, 1 wrong, 0 unproven, 0 none." in text
    assert f"| `{SE}` | 20 | 63.0 % | 0.5 | +3.0 ± 0.1 |" in text
