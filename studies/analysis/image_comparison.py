"""Which images an attention fixes and which it breaks, compared with the bare backbone.

Two networks of one seed classify the same images. An image is *fixed* in that pair if only the
network with attention recognises it, and *broken* if only the bare backbone does. Over several
seeds the differences of an image are averaged, and images are the units of the test: networks
misjudge the same images again and again, so the pairs of one image are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...runners.predictions import Predictions
from .chance import is_above_chance

Floats = npt.NDArray[np.float64]
MAX_EXACT_IMAGES = 1000
"""Up to this many images that are judged differently, the test of one pair is exact."""


@dataclass(frozen=True, eq=False)
class ImageComparison:
    """Networks with an attention compared with bare ones, image by image.

    Attributes:
        pairs: pairs of networks; the two of a pair have one seed.
        fixed: in how many pairs each image is fixed, (N,).
        broken: in how many pairs each image is broken, (N,).
        right: in how many pairs both recognise each image, (N,).
        labels: the true class of each image, (N,).
        predicted: the class for which each network with attention took each image, (pairs, N).
        bare_predicted: the same of the bare networks.
        p: two-sided probability of a difference this large if attention changed nothing; 1 if no
            image is judged differently.
    """

    pairs: int
    fixed: npt.NDArray[np.int64]
    broken: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    bare_predicted: npt.NDArray[np.int64]
    p: float

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def above_chance(self) -> bool:
        """Whether the better of the two is above always naming the most frequent class."""
        recognised = self.right.sum() + max(self.fixed.sum(), self.broken.sum())
        accuracy = float(recognised / (self.pairs * len(self)))
        majority_share = float(np.bincount(self.labels).max() / len(self))
        return is_above_chance(accuracy, len(self), majority_share, architectures=2)

    @property
    def mean_fixed(self) -> float:
        """Images that are fixed, the mean over pairs."""
        return float(self.fixed.sum() / self.pairs)

    @property
    def mean_broken(self) -> float:
        """Images that are broken, the mean over pairs."""
        return float(self.broken.sum() / self.pairs)

    @property
    def difference(self) -> float:
        """Accuracy with attention minus accuracy without, the mean over pairs; a fraction."""
        return (self.mean_fixed - self.mean_broken) / len(self)

    @property
    def standard_error(self) -> float:
        """The sampling error of the difference: of other images of this kind; a fraction."""
        if len(self) < 2:
            return 0.0
        return float(np.std(self._differences, ddof=1) / math.sqrt(len(self)))

    @property
    def _differences(self) -> Floats:
        return np.asarray((self.fixed - self.broken) / self.pairs)

    def most_fixed(self, count: int) -> list[int]:
        """The images that are fixed in the most pairs and broken in the fewest, best first."""
        return _highest(self.fixed - self.broken, count)

    def most_broken(self, count: int) -> list[int]:
        """The images that are broken in the most pairs and fixed in the fewest, worst first."""
        return _highest(self.broken - self.fixed, count)

    @property
    def fixed_images(self) -> int:
        """Images that are fixed in more pairs than they are broken."""
        return int((self.fixed > self.broken).sum())

    @property
    def broken_images(self) -> int:
        """Images that are broken in more pairs than they are fixed."""
        return int((self.broken > self.fixed).sum())


def compare_predictions(
    pairs: Sequence[tuple[Predictions, Predictions]],
) -> ImageComparison:
    """Compare networks pair by pair.

    Args:
        pairs: the predictions of a network with attention, and of a bare one of the same seed; at
            least one pair.

    Raises:
        ValueError: they are not all for the same images.
    """
    labels = pairs[0][0].labels
    for predictions in (network for pair in pairs for network in pair):
        same_images = predictions.data_key == pairs[0][0].data_key
        if not same_images or not np.array_equal(predictions.labels, labels):
            raise ValueError("the predictions are for other images")
    counts = np.zeros((3, len(labels)), np.int64)
    for attentive, bare in pairs:
        counts[0] += attentive.correct & ~bare.correct
        counts[1] += bare.correct & ~attentive.correct
        counts[2] += attentive.correct & bare.correct
    predicted = np.array([[network.predicted for network in pair] for pair in pairs])
    return ImageComparison(
        pairs=len(pairs),
        fixed=counts[0],
        broken=counts[1],
        right=counts[2],
        labels=labels,
        predicted=predicted[:, 0],
        bare_predicted=predicted[:, 1],
        p=_mcnemar(counts[0] - counts[1], len(pairs)),
    )


def _mcnemar(differences: npt.NDArray[np.int64], pairs: int) -> float:
    """McNemar's test, with images as the units.

    For one pair it is the exact binomial test of McNemar (1947). For several it is that of
    Durkalski et al. (Statistics in Medicine 22, 2003), in which the pairs of an image form a
    cluster. For one pair and many images the two agree.

    Args:
        differences: pairs in which an image is fixed minus those in which it is broken, (N,).
        pairs: of networks.
    """
    fixed, broken = int((differences > 0).sum()), int((differences < 0).sum())
    if not fixed + broken:
        return 1.0
    if pairs == 1 and fixed + broken <= MAX_EXACT_IMAGES:
        return _two_sided_binomial(min(fixed, broken), fixed + broken)
    statistic = float(differences.sum() / math.sqrt(float(np.square(differences).sum())))
    return math.erfc(abs(statistic) / math.sqrt(2))


def _two_sided_binomial(fewer: int, total: int) -> float:
    """The probability of a split at least as uneven, if both sides are equally likely."""
    tail = sum(math.comb(total, k) for k in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**total))


def _highest(values: npt.NDArray[np.int64], count: int) -> list[int]:
    """The indices of the highest positive values, highest first, then by index."""
    order = np.argsort(-values, kind="stable")
    return [int(index) for index in order[:count] if values[index] > 0]
