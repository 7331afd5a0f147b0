"""The part of a difference's error that comes from the choice of images, and what more would do.

Two architectures are compared on a sample of images, with a sample of seeds. What image i adds to
the score of each of them with seed s is a crossed design with two random factors; for the accuracy
it is whether the image is judged correctly, for other metrics see `runners.image_scores`. The
paired difference is

    d[s, i] = difference + seed[s] + image[i] + residual[s, i]

and the variance of its mean over S seeds and n images is V_seed/S + V_image/n + V_residual/(S·n).
This is the multi-reader, multi-case design of diagnostic imaging, with seeds as readers (Dorfman,
Berbaum and Metz 1992, Invest. Radiol. 27:723; Gallas 2006, doi 10.1016/j.acra.2005.11.030). The
first and the third term are the noise of a trial, which `paired_comparisons` pools over all
architectures. The second one is estimated here. It is negligible only if the test split is large:
neither more seeds nor longer training make it smaller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import scipy.special

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

MAX_COUNTED_IMAGES = 100_000
"""`count_images` recognises the accuracies of at most so many images. With more of them, two
fractions are so close to each other that any number is almost one."""
FRACTION_TOLERANCE = 1e-13
"""How far a stored accuracy may be from a fraction of the number of images: a rounding error."""
MAX_SUGGESTED_SEEDS, MAX_SUGGESTED_IMAGES = 1000, 10_000_000
"""With more than these, `Precision` says that no number would do."""


@dataclass(frozen=True)
class ImageError:
    """What the choice of images contributes to the error of one paired difference.

    Attributes:
        images: their number n.
        variance: V_image, by image; the mean over n images has the n-th part.
        residual: V_residual, by image and seed.
        disagreement: the share of images that only one of two networks of the same seed judges
            correctly; None if no predictions were kept, and independent judgements were assumed,
            and for metrics that do not judge an image either right or wrong.
    """

    images: int
    variance: float
    residual: float
    disagreement: float | None

    @property
    def squared(self) -> float:
        """The variance of the mean difference that is due to the choice of images."""
        return self.variance / self.images


def measure_image_error(
    first: Floats | Bools, second: Floats | Bools, disagreement: float | None = None
) -> ImageError | None:
    """Estimate the variance components of d[s, i] by the method of moments.

    Args:
        first: (seeds, images), what an image adds to the score of a network: whether it is judged
            correctly, for the accuracy.
        second: the same for the other architecture, with the same seeds and images.
        disagreement: see `ImageError`.

    Returns:
        None with fewer than two seeds or images: the components cannot be told apart.
    """
    seeds, images = first.shape
    if min(seeds, images) < 2:
        return None
    # With the accuracy, d is -1, 0 or 1, and float64 only rounds the divisions.
    d = first.astype(np.float64) - second.astype(np.float64)
    by_image, by_seed, mean = d.mean(0), d.mean(1), float(d.mean())
    total = float((d**2).sum()) - d.size * mean**2
    squares_seed = images * float(((by_seed - mean) ** 2).sum())
    squares_image = seeds * float(((by_image - mean) ** 2).sum())
    residual = max(0.0, total - squares_seed - squares_image) / ((seeds - 1) * (images - 1))
    variance = max(0.0, squares_image / (images - 1) - residual) / seeds
    return ImageError(images, variance, residual, disagreement)


def assume_image_error(first: float, second: float, images: int) -> ImageError:
    """The sampling error of a difference whose predictions were not kept.

    The share of images that are judged differently is unknown. Two networks that err independently
    judge more of them differently than two that were trained on the same images, so the error is
    rather too large than too small.

    Args:
        first, second: the mean share of images that each judges correctly.
        images: on which both were evaluated.
    """
    return ImageError(images, first * (1 - first) + second * (1 - second), 0.0, None)


def count_images(accuracies: Iterable[float]) -> int | None:
    """The number of images of which all these accuracies can be fractions.

    It is that number, or a divisor of it if there are few accuracies. None if they are no fractions
    of at most `MAX_COUNTED_IMAGES`, such as those of another metric.
    """
    images = 1
    for accuracy in set(accuracies):
        if math.isnan(accuracy):  # A user's own evaluation does not report it.
            return None
        fraction = Fraction(accuracy).limit_denominator(MAX_COUNTED_IMAGES)
        if abs(fraction - Fraction(accuracy)) > FRACTION_TOLERANCE:
            return None
        images = math.lcm(images, fraction.denominator)
        if images > MAX_COUNTED_IMAGES:
            return None
    return images if images > 1 else None


@dataclass(frozen=True)
class Precision:
    """How precise a paired difference is, as a function of the number of seeds and images.

    Attributes:
        trial_variance: of a single trial with `error.images` images, beyond its seed effect.
        error: of the difference; None if the images are not part of the claim.
        seeds: of each architecture.
        architectures: that were trained, so that seeds can be turned into degrees of freedom.
        freedom: degrees of freedom of `trial_variance`.
        level: of the test of this difference, two-sided, after the correction.
        power: with which a detectable difference is detected.
    """

    trial_variance: float
    error: ImageError | None
    seeds: int
    architectures: int
    freedom: int
    level: float
    power: float

    @property
    def detectable(self) -> float:
        """The difference, a fraction, that is detected with probability `power`."""
        return self._detectable(self.seeds, None if self.error is None else self.error.images)

    def seeds_for(self, difference: float) -> int | None:
        """The number of seeds that detects a difference on these images; None: no number does."""
        images = None if self.error is None else self.error.images
        return _smallest(
            lambda seeds: self._detectable(seeds, images) <= abs(difference), 2, MAX_SUGGESTED_SEEDS
        )

    def images_for(self, difference: float) -> int | None:
        """The number of images that detects a difference with these seeds; None: no number does."""
        if self.error is None:
            return None
        return _smallest(
            lambda images: self._detectable(self.seeds, images) <= abs(difference),
            2,
            MAX_SUGGESTED_IMAGES,
        )

    def _detectable(self, seeds: int, images: int | None) -> float:
        trials = 2 * self.trial_variance / seeds
        sampled = 0.0
        if self.error is not None and images is not None:
            # The noise of a trial includes its own share of the sampling of images.
            by_images = min(2 * self.trial_variance, self.error.residual / self.error.images)
            scaled = by_images * self.error.images / images
            trials = (2 * self.trial_variance - by_images + scaled) / seeds
            sampled = self.error.variance / images
        freedom = self.freedom
        if seeds != self.seeds:
            freedom = max(1, (self.architectures - 1) * (seeds - 1))
        freedom_of_sum = combined_freedom(trials, freedom, sampled, images)
        critical = scipy.special.stdtrit(freedom_of_sum, 1 - self.level / 2)
        margin = scipy.special.stdtrit(freedom_of_sum, self.power)
        return float((critical + margin) * math.sqrt(trials + sampled))


def combined_freedom(trials: float, freedom: float, sampled: float, images: int | None) -> float:
    """Degrees of freedom of the sum of two variances (Satterthwaite 1946, doi 10.2307/3002019).

    For crossed readers and cases, Hillis (2007, doi 10.1002/sim.2532) shows that this holds the
    level if the second variance is not allowed to be negative.

    Args:
        trials: the variance that is due to the noise of trials.
        freedom: its degrees of freedom.
        sampled: the variance that is due to the choice of images.
        images: their number; None if `sampled` is 0.
    """
    if not sampled or not images:
        return freedom
    squares = trials**2 / freedom + sampled**2 / max(1, images - 1)
    return (trials + sampled) ** 2 / squares


def _smallest(suffices: Callable[[int], bool], low: int, high: int) -> int | None:
    """The smallest number from `low` to `high` that suffices, by bisection; None if none does."""
    if not suffices(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if suffices(middle) else (middle + 1, high)
    return low
