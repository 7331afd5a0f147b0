"""What the conclusion of a confirmation says, and what it does not."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from attentune.benchmarks.claims import SPACE, TEXTBOOK
from attentune.studies.analysis.confirmation import confirmation_json, needed_for_a_claim
from attentune.studies.analysis.paired_comparisons import Difference
from attentune.studies.objectives import ACCURACY, objective
from attentune.studies.text.confirmation import (
    conclusion,
    gain_text,
    interval_text,
    rank_warning,
)
from example_records import BARE, example_confirmation, searched, spread


def test_a_claim_names_the_best_its_gain_and_those_like_it() -> None:
    names = [BARE, SPACE[0], SPACE[9], SPACE[20], TEXTBOOK[1]]
    search = searched(dict(zip(names, (0.60, 0.66, 0.65, 0.67, 0.62), strict=True)))
    test = dict(zip(names, map(spread, (0.700, 0.740, 0.7402, 0.7399, 0.7005)), strict=True))
    confirmation = example_confirmation(search, test)
    sentence = conclusion(confirmation)
    assert (
        "`se(r=8)@s2.residual` is better than the bare backbone by 4.02 ± 0.21 points" in sentence
    )
    assert "(5 seeds and 1,000,000,000 test images, p < 0.001 after correction)" in sentence
    assert "the first three cannot be told apart" in sentence
    assert re.search(r"ranks at 8 epochs agree [a-z ]+ with ranks at 20 \(ρ = ", sentence)
    assert [c.finalist for c in confirmation.contenders] == [True, True, True, True, False]
    shown = confirmation_json(confirmation, sentence)
    assert shown["contenders"][0]["gain"]["claimed"]
    assert not shown["contenders"][3]["gain"]["claimed"]


def test_without_a_claim_it_says_what_would_have_been_found() -> None:
    search = searched({BARE: 0.60, SPACE[0]: 0.66})
    confirmation = example_confirmation(search, {BARE: spread(0.70), SPACE[0]: spread(0.701)})
    assert conclusion(confirmation).startswith("No architecture can be claimed to be better")
    assert "with a power of 80 %" in conclusion(confirmation)
    assert not confirmation.pairs


def test_a_loss_is_claimed_as_well_as_a_gain() -> None:
    search = searched({BARE: 0.60, SPACE[0]: 0.66})
    confirmation = example_confirmation(search, {BARE: spread(0.70), SPACE[0]: spread(0.60)})
    assert "`se(r=4)@s1.residual` is worse than it" in conclusion(confirmation)
    assert not confirmation.better


def test_a_reversal_of_ranks_is_warned_of() -> None:
    names = [BARE, SPACE[0], SPACE[9], SPACE[20], TEXTBOOK[1]]
    search = searched(dict(zip(names, (0.70, 0.66, 0.65, 0.62, 0.60), strict=True)))
    test = dict(zip(names, map(spread, (0.700, 0.710, 0.725, 0.740, 0.755)), strict=True))
    confirmation = example_confirmation(search, test)
    assert confirmation.agreement is not None
    assert confirmation.agreement.rho == pytest.approx(-1.0)
    assert "Search again with more epochs" in (rank_warning(confirmation) or "")
    assert "agree poorly with ranks at 20 (ρ = −1.00)" in conclusion(confirmation)
    of_equal_length = example_confirmation(search, test, epochs=8)
    assert "search again with more trials" in (rank_warning(of_equal_length) or "")
    assert "the ranks of the search agree poorly with those of the" in conclusion(of_equal_length)


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ({}, "no confirming trial is complete"),
        ({SPACE[0]: [0.7, 0.7]}, "the bare backbone has no complete"),
        ({BARE: [0.7, 0.7]}, "only the bare backbone"),
        ({BARE: [0.7, None], SPACE[0]: [0.8, None]}, "at least two seeds"),
    ],
)
def test_too_few_results_for_a_claim_are_reported_as_such(
    accuracies: dict[str, list[float | None]], words: str
) -> None:
    confirmation = example_confirmation(searched({BARE: 0.6, SPACE[0]: 0.7}), accuracies)
    assert words in conclusion(confirmation)
    assert rank_warning(confirmation) is None


def test_a_difference_is_as_precise_as_it_was_measured() -> None:
    precise = Difference(0.0041, 0.0015, 0.0011, 0.0071, 0.01, 0.02, 5)
    assert (gain_text(precise, ACCURACY), interval_text(precise, ACCURACY)) == (
        "+0.41 ± 0.15",
        "+0.11 to +0.71",
    )
    rough = Difference(-0.041, 0.015, -0.071, 0.011, 0.2, 0.2, 5)
    assert (gain_text(rough, ACCURACY), interval_text(rough, ACCURACY)) == (
        "−4.1 ± 1.5",
        "−7.1 to +1.1",
    )
    assert gain_text(rough, ACCURACY, signed=False, error=False) == "4.1"


@pytest.mark.parametrize("gain", [1e-6, 2e-3])
def test_a_difference_in_a_users_own_metric_may_be_tiny(gain: float) -> None:
    search = searched({BARE: 0.60, SPACE[0]: 0.66})
    scores = {BARE: spread(0.5, gain), SPACE[0]: spread(0.5 + gain, gain)}
    confirmation = example_confirmation(search, scores)
    sentence = conclusion(replace(confirmation, metric=objective("error:min:mm")))
    assert re.search(r"(one of|alone would detect) \S*[1-9]\S* mm", sentence)


def test_more_seeds_or_more_images_are_both_counted() -> None:
    """Five seeds scatter by 0.3 points, and 500 images are an error of two points."""
    search = searched({BARE: 0.60, SPACE[0]: 0.66})
    accuracies = {BARE: spread(0.70), SPACE[0]: spread(0.712)}
    few_images = example_confirmation(search, accuracies, test_images=500)
    power = needed_for_a_claim(few_images)
    assert power is not None
    assert power["seeds"] is None
    assert power["images"] > 500
    assert re.search(
        r"one of 1\.20 points would take about [\d,]+00 test images, and no number of seeds alone "
        "would do",
        conclusion(few_images),
    )
    accuracies = {BARE: spread(0.70, 0.01), SPACE[0]: spread(0.712, 0.01)}
    few_seeds = example_confirmation(search, accuracies)
    power = needed_for_a_claim(few_seeds)
    assert power is not None
    assert power["images"] is None
    assert re.search(
        rf"would take {power['seeds']} seeds, and no number of test images alone would do",
        conclusion(few_seeds),
    )
