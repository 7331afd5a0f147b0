"""Whether an accuracy is above that of guessing."""

from __future__ import annotations

import scipy

from .least_squares import LEVEL


def is_above_chance(
    accuracy: float, images: int, majority_share: float, architectures: int = 1
) -> bool:
    """Whether the highest of some accuracies is above that of naming the most frequent class.

    The binomial test is one-sided, and corrected for the number of architectures (Bonferroni).

    Args:
        accuracy: the highest one, a fraction; a mean over seeds counts as one classifier.
        images: on which it was measured.
        majority_share: of the most frequent class among them.
        architectures: from which the highest accuracy was taken.
    """
    correct = round(accuracy * images)
    p = scipy.stats.binom.sf(correct - 1, images, majority_share)
    return bool(p <= LEVEL / max(1, architectures))
