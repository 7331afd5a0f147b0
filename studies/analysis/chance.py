"""Whether a result is above that of guessing.

Guessing is independent of the images' contents. It may know how frequent the classes are, so the
best guess is a high hurdle where one class is frequent: it names the most frequent class, or gives
the frequencies as probabilities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import scipy

from ...runners.metrics import TOP
from .least_squares import LEVEL


def chance_level(metric: str, counts: Sequence[int]) -> float:
    """The highest expected score of guessing.

    Args:
        metric: its key.
        counts: images of each class.
    """
    shares = np.sort(np.array([n for n in counts if n], dtype=float))[::-1] / sum(counts)
    match metric:
        case "accuracy":
            return float(shares[0])
        case "top5":
            return float(shares[:TOP].sum())
        case "auroc":
            return 0.5
        case "log_loss":
            return float((shares * np.log(shares)).sum())
    # Of all guesses, those with the frequencies of the classes have the highest mean F1, 1/K, and
    # every guess has a mean recall of 1/K.
    return 1 / len(shares)


def is_above_chance(share: float, images: int, chance: float, architectures: int = 1) -> bool:
    """Whether the highest of some shares of images is above that of guessing.

    The binomial test is one-sided, and corrected for the number of architectures (Bonferroni).

    Args:
        share: the highest one, such as an accuracy; a mean over seeds counts as one classifier.
        images: on which it was measured.
        chance: the share that guessing reaches: for the accuracy, that of the most frequent class.
        architectures: from which the highest share was taken.
    """
    p = scipy.stats.binom.sf(round(share * images) - 1, images, chance)
    return bool(p <= LEVEL / max(1, architectures))


def is_score_above_chance(
    metric: str, score: float, counts: Sequence[int], architectures: int = 1
) -> bool:
    """Whether the highest of some scores of a metric is above that of guessing.

    Args:
        metric: its key.
        score: the highest one; a mean over seeds counts as one classifier.
        counts: images of each class among those on which it was measured.
        architectures: from which the highest score was taken.
    """
    images, chance = sum(counts), chance_level(metric, counts)
    if metric in ("accuracy", "top5"):
        return is_above_chance(score, images, chance, architectures)
    threshold = float(scipy.stats.norm.isf(LEVEL / max(1, architectures)))
    if metric == "log_loss":
        # Twice the gain in log-likelihood has a chi-squared distribution (Wilks 1938).
        return bool(score > chance and 2 * images * (score - chance) >= threshold**2)
    return bool(score - chance >= threshold * _standard_error(metric, counts))


def _standard_error(metric: str, counts: Sequence[int]) -> float:
    """The largest standard deviation that a guess can have: of a mean over classes."""
    images = np.sort(np.array([n for n in counts if n], dtype=float))
    if metric == "auroc":
        # Mann and Whitney 1947, for each class against the rest.
        rest = images.sum() - images
        with np.errstate(divide="ignore"):
            return float(np.sqrt((images.sum() + 1) / (12 * images * rest)).mean())
    # The recall of a class that is named with probability q has the variance q (1 - q) / n. It is
    # largest if the two rarest classes are named equally often.
    return math.sqrt(float((0.25 / images[:2]).sum())) / len(images)
