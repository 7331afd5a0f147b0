"""The architectures that a confirmation compares, and the differences between them.

A difference has the error that new seeds and new images would have: see `paired_comparisons` for
the seeds, `image_sampling` for the images of one test split, and `split_means` for several splits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...spaces.architecture import Architecture
from ..stored_config import ConfirmPlan
from .evaluation_images import EvaluationImages
from .findings import ArchitectureSummary, standard_error
from .image_sampling import (
    Bools,
    ImageError,
    Precision,
    assume_image_error,
    count_images,
    measure_image_error,
)
from .least_squares import LEVEL
from .paired_comparisons import (
    POWER,
    BlockDesign,
    Difference,
    correct_family,
    without_p_values,
)
from .split_means import mean_by_split, overlap_ratio


@dataclass(frozen=True)
class Contender:
    """An architecture that is being confirmed.

    Attributes:
        finalist: whether the search proposed it; otherwise it is one of the study's baselines.
        searched: its summary in the search; None if it has no complete trial there.
        numbers, seeds, accuracies: of its complete confirming trials, on the test split.
        gain: over the bare backbone; None for the bare backbone, and while there are too few seeds.
        image_error: the part of the standard error that is due to the choice of test images, or of
            splits; None if the number of images is not known.
    """

    architecture: Architecture
    finalist: bool
    searched: ArchitectureSummary | None
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    accuracies: tuple[float, ...]
    gain: Difference | None = None
    image_error: float | None = None

    @property
    def accuracy(self) -> float:
        """The mean over seeds, a fraction; NaN before the first trial is complete."""
        return float(np.mean(self.accuracies)) if self.accuracies else float("nan")

    @property
    def standard_error(self) -> float | None:
        """The standard error of the mean accuracy, over seeds and images; None with one seed."""
        of_seeds = standard_error(self.accuracies)
        return None if of_seeds is None else math.hypot(of_seeds, self.image_error or 0.0)


class ContenderDifferences:
    """The differences between contenders, with the error that new seeds and images would have.

    Attributes:
        blocks: the accuracies by seed, or by split if there are several.
        images: that the contenders are judged on.
        at_chance: as in a `Confirmation`.
    """

    def __init__(
        self,
        contenders: Sequence[Contender],
        plan: ConfirmPlan,
        correct: Mapping[int, Bools],
        num_classes: int | None,
    ) -> None:
        """Fit the accuracies.

        Args:
            contenders: with their accuracies by seed.
            plan: the splits, and the number of images.
            correct: as in `analyse_confirming_trials`.
            num_classes: of the data, if it is known.
        """
        self._plan = plan
        self._contenders = {c.architecture: c for c in contenders}
        self._correct = _of_one_split(correct)
        splits = {plan.split_of(seed) for c in contenders for seed in c.seeds}
        by_seed = {c.architecture: _by_seed(c) for c in contenders}
        self._splits = len(splits)
        self.blocks = BlockDesign(
            mean_by_split(by_seed, plan.split_of) if self._splits > 1 else by_seed
        )
        self.images = self._describe_images(num_classes)
        self.at_chance = self._is_at_chance()

    def family(
        self,
        pairs: Iterable[tuple[Architecture, Architecture]],
        weights: Mapping[Architecture, float] | None = None,
    ) -> dict[tuple[Architecture, Architecture], Difference]:
        """The differences of pairs, corrected as a family.

        Args:
            pairs: of architectures, first minus second.
            weights: the weight of a pair is that of its first architecture; None: all are equal.
        """
        differences = {
            (first, second): difference
            for first, second in pairs
            if first != second and (difference := self._difference(first, second)) is not None
        }
        pair_weights = (
            None
            if weights is None
            else {(first, second): weights[first] for first, second in differences}
        )
        family = correct_family(differences, pair_weights)
        if self.at_chance:
            return {pair: without_p_values(difference) for pair, difference in family.items()}
        return family

    def precision(
        self, pair: tuple[Architecture, Architecture], gain: Difference, comparisons: float
    ) -> Precision | None:
        """How precise the difference of a pair is; None if its noise is not known.

        Args:
            pair: the architectures.
            gain: their difference.
            comparisons: the sum of the weights of all comparisons.
        """
        if not self.blocks.deviation:
            return None
        return Precision(
            trial_variance=self.blocks.deviation**2,
            error=self._image_error(*pair) if self._splits == 1 else self._overlap_error(),
            seeds=gain.pairs or 1,
            architectures=len(self._contenders),
            freedom=self.blocks.freedom,
            level=LEVEL / comparisons,
            power=POWER,
        )

    def _difference(self, first: Architecture, second: Architecture) -> Difference | None:
        if self._splits == 1:
            return self.blocks.difference(first, second, self._image_error(first, second))
        inflation = 1 + self._splits * overlap_ratio(self._plan)
        return self.blocks.difference(first, second, inflation=inflation)

    def _overlap_error(self) -> ImageError:
        """The part of the variance that more splits do not make smaller, as one of images."""
        images = self.images.count or 2
        overlap = overlap_ratio(self._plan)
        return ImageError(images, 2 * self.blocks.deviation**2 * overlap * images, 0.0, None)

    def _image_error(self, first: Architecture, second: Architecture) -> ImageError | None:
        """What the choice of images adds; None if their number is not known."""
        numbers = [
            dict(zip(self._contenders[a].seeds, self._contenders[a].numbers, strict=True))
            for a in (first, second)
        ]
        shared = [(numbers[0][seed], numbers[1][seed]) for seed in numbers[0].keys() & numbers[1]]
        kept = sorted(pair for pair in shared if all(number in self._correct for number in pair))
        if len(kept) > 1:
            tables = [np.stack([self._correct[pair[side]] for pair in kept]) for side in (0, 1)]
            if (measured := measure_image_error(*tables)) is not None:
                return measured
        if self.images.count is None:
            return None
        accuracy, reference = self._contenders[first].accuracy, self._contenders[second].accuracy
        return assume_image_error(accuracy, reference, self.images.count)

    def image_error_of(self, contender: Contender) -> float | None:
        """What the choice of images adds to the standard error of an accuracy."""
        if self._splits > 1:
            return self._split_error_of(contender)
        if self.images.count is None:
            return None
        kept = [self._correct[n] for n in contender.numbers if n in self._correct]
        if len(kept) > 1:
            table = np.stack(kept)
            if (measured := measure_image_error(table, np.zeros_like(table))) is not None:
                return math.sqrt(measured.squared)
        return math.sqrt(assume_image_error(contender.accuracy, 0.0, self.images.count).squared)

    def _split_error_of(self, contender: Contender) -> float | None:
        """What the choice of splits adds to the standard error over all trials."""
        by_split: dict[int, list[float]] = {}
        for seed, accuracy in zip(contender.seeds, contender.accuracies, strict=True):
            by_split.setdefault(self._plan.split_of(seed), []).append(accuracy)
        of_trials = standard_error(contender.accuracies)
        if len(by_split) < 2 or of_trials is None:
            return None
        variance = float(np.var([np.mean(split) for split in by_split.values()], ddof=1))
        total = variance * (1 / len(by_split) + overlap_ratio(self._plan))
        return math.sqrt(max(0.0, total - of_trials**2))

    def _describe_images(self, num_classes: int | None) -> EvaluationImages:
        plan = self._plan
        numbers = [
            number
            for c in self._contenders.values()
            for number, seed in zip(c.numbers, c.seeds, strict=True)
            if plan.split_of(seed) == 0
        ]
        kept = bool(numbers) and all(number in self._correct for number in numbers)
        count = next((len(row) for row in self._correct.values()), plan.test_images)
        if count is None:
            accuracies = [a for c in self._contenders.values() for a in c.accuracies]
            count = count_images(accuracies)
        share = plan.majority_share
        if share is None and num_classes:
            share = 1 / num_classes
        return EvaluationImages(count, kept, share)

    def _is_at_chance(self) -> bool:
        accuracies = [c.accuracy for c in self._contenders.values()]
        return bool(accuracies) and self.images.at_chance(max(accuracies), len(accuracies))


def _of_one_split(correct: Mapping[int, Bools]) -> dict[int, Bools]:
    """Those with as many images as most: the others were judged on other images."""
    lengths = [len(row) for row in correct.values()]
    usual = max(set(lengths), key=lengths.count, default=0)
    return {number: row for number, row in correct.items() if len(row) == usual}


def _by_seed(contender: Contender) -> dict[int, float]:
    return dict(zip(contender.seeds, contender.accuracies, strict=True))
