"""Accuracies on several splits of one data set into training and test images.

The test images of two splits overlap, and so do their training images. So the variance between
splits is smaller than between new data sets. Nadeau and Bengio (2003, Machine Learning 52:239, doi
10.1023/A:1024068626366) correct the variance of a mean over K splits from S²/K to
(1/K + test/train)·S², where test and train are the numbers of images of a split.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

from ..stored_config import ConfirmPlan
from .paired_comparisons import BlockDesign

Key = TypeVar("Key", bound=Hashable)

USUAL_TEST_RATIO = 0.2 / 0.64
"""Test images per training image with the default `val_fraction`, where a plan does not say."""


def mean_by_split(
    accuracies: Mapping[Key, Mapping[int, float]], split_of: Callable[[int], int]
) -> dict[Key, dict[int, float]]:
    """The accuracy of each architecture on each split, at equal seeds.

    Args:
        accuracies: for each architecture, its accuracies by seed.
        split_of: the split of a seed.
    """
    splits = sorted({split_of(seed) for by_seed in accuracies.values() for seed in by_seed})
    means: dict[Key, dict[int, float]] = {key: {} for key in accuracies}
    for split in splits:
        inside = {
            key: {seed: value for seed, value in by_seed.items() if split_of(seed) == split}
            for key, by_seed in accuracies.items()
        }
        for key, mean in BlockDesign(inside).means().items():
            means[key][split] = mean
    return means


def overlap_ratio(plan: ConfirmPlan) -> float:
    """The ratio of Nadeau and Bengio, by which the variance between splits is too small."""
    if plan.test_images and plan.train_images:
        return plan.test_images / plan.train_images
    return USUAL_TEST_RATIO
