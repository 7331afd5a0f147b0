"""What may be claimed after a confirmation: against textbook numbers, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attentune.benchmarks.claims import SEEDS, SPACE, TEXTBOOK, claims, simulated, with_se
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.confirmation import (
    Confirmation,
    ConfirmPlan,
    confirmation,
    confirmation_json,
    finalists,
)
from attentune.studies.analysis.paired_comparisons import Blocks, holm
from attentune.studies.figures.intervals import confirmation_figure
from attentune.studies.records import (
    BASELINE,
    CONFIRM,
    FIRST_CONFIRMING,
    SEARCH,
    TrialRecord,
)
from attentune.studies.text.confirmation import conclusion, rank_warning
from made import BARE, study, trial
from scipy import stats


def confirmed(
    search: list[TrialRecord], accuracies: dict[str, list[float | None]], **plan: int
) -> Confirmation:
    """A confirmation with these test accuracies by architecture, one for each seed."""
    trials = [
        trial(FIRST_CONFIRMING + 100 * i + s, text, accuracy, seed=10**6 + s, role=CONFIRM)
        for i, (text, row) in enumerate(accuracies.items())
        for s, accuracy in enumerate(row)
        if accuracy is not None
    ]
    given = {"top": 3, "seeds": SEEDS, "epochs": 20, "searched_epochs": 8, **plan}
    return confirmation(
        analyse(study("accuracy"), search), trials, ConfirmPlan(tuple(accuracies), **given)
    )


def searched(
    accuracies: dict[str, float], baselines: tuple[str, ...] = (BARE,)
) -> list[TrialRecord]:
    return [
        trial(i, text, accuracy, role=BASELINE if text in baselines else SEARCH)
        for i, (text, accuracy) in enumerate(accuracies.items())
    ]


# The arithmetic


def test_holm_against_numbers_worked_by_hand() -> None:
    # 4 × 0.005, then 3 × 0.01, then 2 × 0.03, then 0.04 which may not fall below its forerunner.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []
    # 0.02 × (1 + ¼), then 0.01 at a quarter counts as 0.04 × ¼, not below its forerunner.
    assert holm([0.01, 0.02], [0.25, 1.0]) == pytest.approx([0.025, 0.025])


def test_two_architectures_give_the_paired_t_test() -> None:
    one, other = [0.71, 0.74, 0.70, 0.76, 0.73], [0.69, 0.73, 0.69, 0.72, 0.72]
    found = Blocks({"a": dict(enumerate(one)), "b": dict(enumerate(other))}).difference("a", "b")
    expected = stats.ttest_rel(one, other)
    interval = expected.confidence_interval(0.95)
    assert found is not None
    assert found.mean == pytest.approx(np.mean(one) - np.mean(other))
    assert found.p == pytest.approx(expected.pvalue)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))


def test_noise_is_pooled_over_all_architectures_and_seeds_cancel() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(0.7, 0.01, (8, 5)) + rng.normal(0, 0.05, 5)
    blocks = Blocks({a: dict(enumerate(map(float, row))) for a, row in enumerate(rows)})
    left = rows - rows.mean(0) - rows.mean(1, keepdims=True) + rows.mean()
    assert blocks.freedom == 28
    assert blocks.deviation == pytest.approx(math.sqrt((left**2).sum() / 28))
    found = blocks.difference(3, 0)
    assert found is not None
    assert found.standard_error == pytest.approx(blocks.deviation * math.sqrt(2 / 5))


def test_a_lost_trial_costs_its_information_and_nothing_else() -> None:
    rows = {"a": {0: 0.70, 1: 0.80, 2: 0.75}, "b": {0: 0.68, 2: 0.74}, "c": {0: 0.69, 1: 0.78}}
    blocks = Blocks(rows)
    assert blocks.freedom == 2
    found = blocks.difference("b", "c")
    assert found is not None
    assert found.pairs == 1
    assert found.mean == pytest.approx(-0.0025, abs=0.01)
    assert Blocks({"a": {0: 0.7, 1: 0.8}, "b": {2: 0.7, 3: 0.6}}).difference("a", "b") is None


def test_one_network_under_two_names_differs_by_nothing() -> None:
    row = {0: 0.7, 1: 0.73, 2: 0.71}
    found = Blocks({"a": row, "b": dict(row)}).difference("a", "b")
    assert found is not None
    assert (found.mean, found.p) == (pytest.approx(0.0), 1.0)


# Who is confirmed


def test_finalists_come_from_the_front_and_its_knee_and_are_no_baselines() -> None:
    found = analyse(
        study("accuracy", "params"),
        [
            trial(0, BARE, 0.60, params=100, role=BASELINE),
            trial(1, SPACE[0], 0.70, params=110),  # the knee
            trial(2, SPACE[1], 0.71, params=150),
            trial(3, SPACE[2], 0.72, params=200),
            trial(4, SPACE[3], 0.715, params=900),  # dominated
        ],
    )
    assert [point.number for point in finalists(found, 2)] == [3, 2, 1]
    assert [point.number for point in finalists(found, 4)] == [3, 2, 1, 4]


def test_with_accuracy_alone_the_finalists_are_the_most_accurate() -> None:
    found = analyse(
        study("accuracy"),
        [trial(0, BARE, 0.9, role=BASELINE)]
        + [trial(i + 1, SPACE[i], accuracy) for i, accuracy in enumerate((0.5, 0.8, 0.6, 0.7))],
    )
    assert [point.number for point in finalists(found, 3)] == [2, 4, 3]


# What is said


def spread(mean: float, by: float = 0.002) -> list[float | None]:
    """Five accuracies around a mean, in no common order."""
    order = np.random.default_rng(int(1e6 * mean)).permutation([-2, -1, 0, 1, 2])
    return [mean + by * float(step) for step in order]


def test_a_claim_names_the_best_its_gain_and_those_like_it() -> None:
    names = [BARE, SPACE[0], SPACE[9], SPACE[20], TEXTBOOK[1]]
    search = searched(dict(zip(names, (0.60, 0.66, 0.65, 0.67, 0.62), strict=True)))
    test = dict(zip(names, map(spread, (0.700, 0.740, 0.7402, 0.7399, 0.7005)), strict=True))
    found = confirmed(search, test)
    sentence = conclusion(found)
    assert (
        "`se(r=8)@s2.residual` is better than the bare backbone by 4.02 ± 0.21 points" in sentence
    )
    assert "(5 seeds, p < 0.001 after correction)" in sentence
    assert "the first three cannot be told apart" in sentence
    assert "ranks at 8 epochs agree with ranks at 20" in sentence
    assert [c.finalist for c in found.contenders] == [True, True, True, True, False]
    told = confirmation_json(found, sentence)
    assert told["contenders"][0]["gain"]["claimed"]
    assert not told["contenders"][3]["gain"]["claimed"]
    figure = confirmation_figure(found)
    symbols = {symbol for trace in figure.data for symbol in trace.marker.symbol}
    assert symbols == {"circle", "circle-open"}


def test_without_a_claim_it_says_what_would_have_been_found() -> None:
    search = searched({BARE: 0.60, SPACE[0]: 0.66})
    found = confirmed(search, {BARE: spread(0.70), SPACE[0]: spread(0.701)})
    assert conclusion(found).startswith("No architecture can be claimed to be better")
    assert "with a power of 80 %" in conclusion(found)
    assert not found.pairs


def test_a_loss_is_claimed_as_well_as_a_gain() -> None:
    search = searched({BARE: 0.60, SPACE[0]: 0.66})
    found = confirmed(search, {BARE: spread(0.70), SPACE[0]: spread(0.60)})
    assert "`se(r=4)@s1.residual` is worse than it" in conclusion(found)
    assert not found.better


def test_ranks_that_turn_round_are_warned_of() -> None:
    names = [BARE, SPACE[0], SPACE[9], SPACE[20], TEXTBOOK[1]]
    search = searched(dict(zip(names, (0.70, 0.66, 0.65, 0.62, 0.60), strict=True)))
    test = dict(zip(names, map(spread, (0.700, 0.710, 0.725, 0.740, 0.755)), strict=True))
    found = confirmed(search, test)
    assert found.agreement is not None
    assert found.agreement.rho == pytest.approx(-1.0)
    assert "Search again with more epochs" in (rank_warning(found) or "")
    assert "hardly (ρ = −1.00)" in conclusion(found)


@pytest.mark.parametrize(
    ("accuracies", "words"),
    [
        ({}, "no confirming trial is complete"),
        ({SPACE[0]: [0.7, 0.7]}, "the bare backbone has no complete"),
        ({BARE: [0.7, 0.7]}, "only the bare backbone"),
        ({BARE: [0.7, None], SPACE[0]: [0.8, None]}, "at least two seeds"),
    ],
)
def test_too_little_to_tell_is_said_as_such(
    accuracies: dict[str, list[float | None]], words: str
) -> None:
    found = confirmed(searched({BARE: 0.6, SPACE[0]: 0.7}), accuracies)
    assert words in conclusion(found)
    assert rank_warning(found) is None
    assert confirmation_figure(found).layout.height


# What is claimed in the long run


def test_one_network_under_many_names_is_hardly_ever_told_apart() -> None:
    rng = np.random.default_rng(2026)
    wrong = sum(claims(simulated(rng)) > 0 for _ in range(200))
    assert wrong <= 10  # 5 %


def test_an_effect_of_three_standard_errors_is_found() -> None:
    rng = np.random.default_rng(2026)
    found = [simulated(rng, with_se) for _ in range(200)]
    right = sum(any("+se" in str(c.architecture) for c in f.better) for f in found)
    wrong = sum(any("+se" not in str(c.architecture) for c in f.better) for f in found)
    assert right >= 160  # 80 %
    assert wrong <= 10
