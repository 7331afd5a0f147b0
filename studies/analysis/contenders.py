"""The architectures that a confirmation compares, and the differences between them.

A difference has the error that new seeds and new images would have: see `paired_comparisons` for
the seeds, `image_sampling` for the images of one test split, and `split_means` for several splits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...runners.image_scores import JudgedImages
from ...runners.metrics import Metric
from ...spaces.architecture import Architecture
from ..stored_config import ConfirmPlan
from .evaluation_images import EvaluationImages
from .findings import ArchitectureSummary, standard_error
from .image_sampling import (
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
        numbers, seeds: of its complete confirming trials.
        scores, accuracies: of these trials, on the test split; see `findings`.
        gain: over the bare backbone; None for the bare backbone, and while there are too few seeds.
        image_error: the part of the standard error that is due to the choice of test images, or of
            splits; None if the number of images is not known.
    """

    architecture: Architecture
    finalist: bool
    searched: ArchitectureSummary | None
    numbers: tuple[int, ...]
    seeds: tuple[int, ...]
    scores: tuple[float, ...]
    accuracies: tuple[float, ...]
    gain: Difference | None = None
    image_error: float | None = None

    @property
    def score(self) -> float:
        """The mean over seeds; NaN before the first trial is complete."""
        return float(np.mean(self.scores)) if self.scores else float("nan")

    @property
    def standard_error(self) -> float | None:
        """The standard error of the score, over seeds and images; None with one seed."""
        of_seeds = standard_error(self.scores)
        return None if of_seeds is None else math.hypot(of_seeds, self.image_error or 0.0)


class ContenderDifferences:
    """The differences between contenders, with the error that new seeds and images would have.

    Attributes:
        blocks: the scores by seed, or by split if there are several.
        images: that the contenders are judged on.
        at_chance: as in a `Confirmation`.
    """

    def __init__(
        self,
        contenders: Sequence[Contender],
        plan: ConfirmPlan,
        judged: Mapping[int, JudgedImages],
        metric: Metric,
        num_classes: int | None,
    ) -> None:
        """Fit the scores.

        Args:
            contenders: with their scores by seed.
            plan: the splits, and the number of images.
            judged: as in `analyse_confirming_trials`.
            metric: of the scores.
            num_classes: of the data, if it is known.
        """
        self._plan, self._metric = plan, metric
        self._contenders = {c.architecture: c for c in contenders}
        self._judged = _of_one_split(judged)
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
        kept = sorted(pair for pair in shared if all(number in self._judged for number in pair))
        if len(kept) > 1:
            judged = [[self._judged[pair[side]] for pair in kept] for side in (0, 1)]
            if (measured := _measured_error(*judged)) is not None:
                return measured
        if self.images.count is None or not self._metric.is_share:
            return None
        share, reference = self._contenders[first].score, self._contenders[second].score
        return assume_image_error(share, reference, self.images.count)

    def image_error_of(self, contender: Contender) -> float | None:
        """What the choice of images adds to the standard error of a score."""
        if self._splits > 1:
            return self._split_error_of(contender)
        if self.images.count is None:
            return None
        kept = [self._judged[n].scores for n in contender.numbers if n in self._judged]
        if len(kept) > 1:
            table = np.stack(kept)
            if (measured := measure_image_error(table, np.zeros_like(table))) is not None:
                return math.sqrt(measured.squared)
        if not self._metric.is_share:
            return None
        return math.sqrt(assume_image_error(contender.score, 0.0, self.images.count).squared)

    def _split_error_of(self, contender: Contender) -> float | None:
        """What the choice of splits adds to the standard error over all trials."""
        by_split: dict[int, list[float]] = {}
        for seed, score in zip(contender.seeds, contender.scores, strict=True):
            by_split.setdefault(self._plan.split_of(seed), []).append(score)
        of_trials = standard_error(contender.scores)
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
        kept = bool(numbers) and all(number in self._judged for number in numbers)
        count = next((len(images) for images in self._judged.values()), plan.test_images)
        if count is None:
            accuracies = [a for c in self._contenders.values() for a in c.accuracies]
            count = count_images(accuracies)
        share = plan.majority_share
        if share is None and num_classes:
            share = 1 / num_classes
        is_counted = plan.majority_share is not None
        return EvaluationImages(count, kept, share, plan.class_counts, is_counted)

    def _is_at_chance(self) -> bool:
        scores = [c.score for c in self._contenders.values()]
        return bool(scores) and self.images.at_chance(self._metric.key, max(scores), len(scores))


def _measured_error(
    first: Sequence[JudgedImages], second: Sequence[JudgedImages]
) -> ImageError | None:
    """The image error of paired trials: those of one architecture, and those of the other."""
    pairs = zip(first, second, strict=True)
    shares = [
        float((one.correct != other.correct).mean())
        for one, other in pairs
        if one.correct is not None and other.correct is not None
    ]
    disagreement = float(np.mean(shares)) if shares else None
    tables = [np.stack([images.scores for images in side]) for side in (first, second)]
    return measure_image_error(tables[0], tables[1], disagreement)


def _of_one_split(judged: Mapping[int, JudgedImages]) -> dict[int, JudgedImages]:
    """Those with as many images as most: the others were judged on other images."""
    lengths = [len(images) for images in judged.values()]
    usual = max(set(lengths), key=lengths.count, default=0)
    return {number: images for number, images in judged.items() if len(images) == usual}


def _by_seed(contender: Contender) -> dict[int, float]:
    return dict(zip(contender.seeds, contender.scores, strict=True))
