"""Which images are fixed and broken, and whether chance could do that."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attentune.runners.predictions import Predictions
from attentune.studies.analysis.image_comparison import compare_predictions
from scipy.stats import binomtest

LABELS = np.array([0, 1, 2, 0, 1, 2])


def predictions(*predicted, labels=LABELS):
    return Predictions(labels, np.array(predicted), 3)


def test_images_are_fixed_and_broken():
    bare = predictions(0, 0, 0, 0, 1, 1)  # recognises images 0, 3 and 4
    attentive = predictions(0, 1, 2, 1, 1, 0)  # recognises images 0, 1, 2 and 4
    comparison = compare_predictions([(attentive, bare)])
    assert comparison.most_fixed(9) == [1, 2]
    assert comparison.most_broken(9) == [3]
    assert (comparison.fixed_images, comparison.broken_images) == (2, 1)
    assert comparison.right.tolist() == [1, 0, 0, 0, 1, 0]
    assert comparison.difference == pytest.approx(attentive.accuracy - bare.accuracy)
    assert comparison.predicted[:, 3].tolist() == [1]
    assert comparison.bare_predicted[:, 3].tolist() == [0]


def test_over_seeds_the_images_that_are_fixed_most_often_come_first():
    bare = predictions(1, 0, 0, 0, 1, 2)
    first = predictions(0, 0, 2, 1, 1, 2)
    second = predictions(0, 1, 0, 1, 0, 2)
    comparison = compare_predictions([(first, bare), (second, bare)])
    assert comparison.most_fixed(9) == [0, 1, 2]
    assert comparison.most_broken(9) == [3, 4]
    assert comparison.most_fixed(1) == [0]
    assert (comparison.mean_fixed, comparison.mean_broken) == (2, 1.5)
    gains = [p.accuracy - bare.accuracy for p in (first, second)]
    assert comparison.difference == pytest.approx(np.mean(gains))


def flips(fixed, broken, same=10):
    """A pair that judges so many images differently."""
    labels = np.zeros(fixed + broken + same, np.int64)
    bare, attentive = labels.copy(), labels.copy()
    bare[:fixed] = 1
    attentive[fixed : fixed + broken] = 1
    return Predictions(labels, attentive, 2), Predictions(labels, bare, 2)


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (3, 0), (7, 2), (5, 5), (40, 25)])
def test_one_pair_is_judged_by_mcnemars_exact_test(fixed, broken):
    expected = binomtest(fixed, fixed + broken).pvalue if fixed + broken else 1.0
    assert compare_predictions([flips(fixed, broken)]).p == pytest.approx(expected)


def test_many_images_and_several_pairs_are_judged_by_the_normal_approximation():
    p = compare_predictions([flips(700, 600)]).p
    assert p == pytest.approx(math.erfc(100 / math.sqrt(1300) / math.sqrt(2)))
    assert p == pytest.approx(binomtest(700, 1300).pvalue, rel=0.1)
    pair = flips(700, 600)
    assert compare_predictions([pair, pair]).p == pytest.approx(p), "a copy is no evidence"


def test_without_an_effect_few_comparisons_are_significant():
    draw = np.random.default_rng(0)
    labels = np.zeros(400, np.int64)
    hardness = draw.beta(0.4, 0.4, size=400)  # The same images are hard for all networks.

    def network():
        return Predictions(labels, (draw.random(400) < hardness).astype(np.int64), 2)

    significant = 0
    for _ in range(400):
        pairs = [(network(), network()) for _ in range(3)]
        significant += compare_predictions(pairs).p < 0.05
    assert 8 <= significant <= 32


def test_predictions_for_other_images_are_not_compared():
    other = predictions(0, 0, 0, 0, 0, 0, labels=LABELS[::-1])
    with pytest.raises(ValueError, match="other images"):
        compare_predictions([(predictions(0, 0, 0, 0, 0, 0), other)])
