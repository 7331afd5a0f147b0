"""Differences between contenders: over splits, at chance, and with images that vary."""

from __future__ import annotations

import numpy as np
import pytest
from attentune.benchmarks.claims import SPACE
from attentune.runners.image_scores import JudgedImages
from attentune.runners.metrics import METRICS
from attentune.spaces.architecture import parse
from attentune.studies.analysis.analyse import analyse
from attentune.studies.analysis.confirmation import analyse_confirming_trials
from attentune.studies.analysis.contenders import Contender, ContenderDifferences
from attentune.studies.records import BASELINE, CONFIRM
from attentune.studies.stored_config import ConfirmPlan
from attentune.studies.text.confirmation import conclusion, confirmation_warnings
from example_records import BARE, example_confirmation, study, trial


def test_the_error_of_a_difference_adds_seeds_and_images() -> None:
    """Over three seeds one image of a hundred more or less is recognised, and ten always."""
    judged = {}
    contenders = []
    for row, (text, first) in enumerate(((BARE, 0), (SPACE[0], 10))):
        numbers = tuple(range(10 * row, 10 * row + 3))
        for seed, number in enumerate(numbers):
            correct = np.arange(100) < 70 + first + (seed - 1) * row
            judged[number] = JudgedImages.of_correct(correct)
        shares = tuple(float(judged[number].scores.mean()) for number in numbers)
        contenders.append(Contender(parse(text), True, None, numbers, (0, 1, 2), shares, shares))
    pair = (parse(SPACE[0]), parse(BARE))
    plan = ConfirmPlan((), 1, 3, 8, 4)
    with_images = ContenderDifferences(contenders, plan, judged, METRICS["accuracy"], None).family(
        [pair]
    )[pair]
    assert with_images.mean == pytest.approx(0.1)
    assert with_images.image_error == pytest.approx(0.03, abs=0.001)  # √(0.1·0.9 / 99)
    assert with_images.disagreement == pytest.approx(0.1)
    seeds_only = with_images.standard_error**2 - with_images.image_error**2
    assert seeds_only == pytest.approx(0.01**2 / 3)
    assumed = ContenderDifferences(contenders, plan, {}, METRICS["accuracy"], None).family([pair])[
        pair
    ]
    assert assumed.image_error == pytest.approx(((0.7 * 0.3 + 0.8 * 0.2) / 100) ** 0.5)
    assert assumed.disagreement is None


def test_several_splits_are_compared_by_their_means_and_corrected_for_their_overlap() -> None:
    plan = {"splits": 3, "train_images": 400, "test_images": 100, "first_seed": 10**6}
    gains = {0: 0.02, 1: 0.03, 2: 0.04}
    records = [
        trial(
            1000 + 100 * split + 10 * architecture + seed,
            text,
            0.5 + 0.1 * split + 0.01 * seed + architecture * gains[split],
            seed=10**6 + 1000 * split + seed,
            role=CONFIRM,
        )
        for split in gains
        for architecture, text in enumerate((BARE, SPACE[0]))
        for seed in range(2)
    ]
    search = [trial(0, BARE, 0.5, role=BASELINE), trial(1, SPACE[0], 0.55)]
    result = analyse_confirming_trials(
        analyse(study("accuracy"), search),
        records,
        ConfirmPlan((BARE, SPACE[0]), 1, 2, 8, 4, **plan),
    )
    gain = result.contenders[0].gain
    assert gain is not None
    assert gain.mean == pytest.approx(0.03)
    # The gains of the splits have a variance of 0.01²; Nadeau and Bengio: (1/K + test/train)·S².
    assert gain.standard_error == pytest.approx(0.01 * (1 / 3 + 100 / 400) ** 0.5)
    assert (gain.pairs, gain.freedom, gain.image_error) == (3, 2, None)
    bare = result.bare
    assert bare is not None
    # The means of the splits are 0.505, 0.605 and 0.705.
    assert bare.standard_error == pytest.approx(0.1 * (1 / 3 + 100 / 400) ** 0.5)
    assert "(3 splits, " in conclusion(result)
    assert any("the search has trained or selected on" in w for w in confirmation_warnings(result))


def test_at_chance_level_there_are_no_p_values() -> None:
    search = [trial(0, BARE, 0.5, role=BASELINE), trial(1, SPACE[0], 0.55)]
    accuracies = {BARE: [0.24, 0.25, 0.26, 0.25, 0.25], SPACE[0]: [0.28, 0.28, 0.29, 0.28, 0.28]}
    settings = {"test_images": 100, "majority_share": 0.25}
    result = example_confirmation(search, accuracies, **settings)
    gain = result.contenders[0].gain
    assert gain is not None
    assert (gain.p, gain.corrected, gain.claimed) == (None, None, False)
    assert gain.mean == pytest.approx(0.032)
    assert conclusion(result).startswith("Nothing can be claimed: no accuracy is above chance")
    assert "p <" not in conclusion(result)
    above = example_confirmation(search, accuracies, test_images=10**6, majority_share=0.25)
    assert above.contenders[0].gain.claimed
