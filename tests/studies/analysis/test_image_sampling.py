"""The error that a sample of images adds to a difference: exact values, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from attentune.benchmarks.claims import USUAL, SimulatedImages
from attentune.studies.analysis.image_sampling import (
    ImageError,
    Precision,
    assume_image_error,
    combined_freedom,
    count_images,
    measure_image_error,
)


def test_if_every_seed_judges_alike_all_of_the_variance_is_that_of_images() -> None:
    first = np.zeros((5, 500), bool)
    first[:, :30] = True  # 6 % of the images are judged differently, by every seed.
    error = measure_image_error(first, np.zeros((5, 500), bool), 0.06)
    assert error is not None
    assert error.disagreement == 0.06
    assert error.residual == pytest.approx(0, abs=1e-12)
    assert math.sqrt(error.squared) == pytest.approx(math.sqrt(0.06 * 0.94 / 499), rel=1e-6)


def test_images_that_are_judged_at_random_add_nothing_beyond_the_noise_of_trials() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 8, 4000)) < 0.8
    error = measure_image_error(first, second)
    assert error is not None
    assert error.residual == pytest.approx(2 * 0.8 * 0.2, rel=0.05)
    assert error.variance < 0.01


def test_the_estimated_error_is_the_scatter_of_the_difference_over_new_seeds_and_images() -> None:
    rng = np.random.default_rng(0)
    squared = []
    for _ in range(60):
        images = SimulatedImages(USUAL, rng)
        seeds = {0: list(range(5))}
        first, second = (np.stack([*images.judge(0.85, seeds).values()]) for _ in range(2))
        error = measure_image_error(first, second)
        assert error is not None
        by_seed = first.mean(1) - second.mean(1)
        squared.append(by_seed.var(ddof=1) / 5 + error.squared)
    assert math.sqrt(np.mean(squared)) == pytest.approx(0.0118, rel=0.1)


@pytest.mark.parametrize("shape", [(1, 10), (5, 1)])
def test_one_seed_or_one_image_cannot_tell_the_components_apart(shape: tuple[int, int]) -> None:
    judged = np.ones(shape, bool)
    assert measure_image_error(judged, judged) is None


def test_without_predictions_the_networks_are_taken_to_err_independently() -> None:
    error = assume_image_error(0.9, 0.8, 500)
    assert math.sqrt(error.squared) == pytest.approx(math.sqrt((0.09 + 0.16) / 500))
    assert error.disagreement is None


def test_the_number_of_images_follows_from_the_accuracies() -> None:
    assert count_images([k / 500 for k in (411, 423, 437)]) == 500
    assert count_images([k / 29 for k in (3, 7)]) == 29
    assert count_images([0.0, 1.0]) is None
    assert count_images([math.sqrt(0.5), 0.25]) is None
    assert count_images([]) is None


def test_a_sum_of_variances_has_the_degrees_of_freedom_of_its_larger_part() -> None:
    assert combined_freedom(1.0, 28, 0.0, None) == 28
    assert combined_freedom(1.0, 28, 1e-9, 500) == pytest.approx(28, rel=1e-6)
    assert combined_freedom(1e-9, 28, 1.0, 500) == pytest.approx(499, rel=1e-6)


def precision(error: ImageError | None) -> Precision:
    """That of 5 seeds with a noise of one point."""
    return Precision(0.01**2, error, 5, 8, 28, level=0.05, power=0.8)


def test_with_the_needed_seeds_or_images_the_difference_is_detected_and_with_one_less_not() -> None:
    error = ImageError(500, variance=0.02, residual=0.05, disagreement=0.06)
    now = precision(error)
    seeds, images = now.seeds_for(0.022), now.images_for(0.022)
    assert seeds is not None
    assert images is not None
    assert seeds > 5
    assert images > 500
    assert now._detectable(seeds, 500) <= 0.022 < now._detectable(seeds - 1, 500)
    assert now._detectable(5, images) <= 0.022 < now._detectable(5, images - 1)


def test_no_number_of_seeds_makes_up_for_too_few_images_and_the_other_way_round() -> None:
    few_images = precision(ImageError(29, variance=0.06, residual=0.0, disagreement=0.06))
    assert few_images.seeds_for(0.01) is None
    assert few_images.images_for(0.05) is not None
    few_seeds = precision(ImageError(500, variance=0.0001, residual=0.0, disagreement=0.06))
    assert few_seeds.images_for(0.01) is None
    assert few_seeds.seeds_for(0.01) is not None
    assert precision(None).images_for(0.01) is None
