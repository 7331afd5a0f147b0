"""The images that results were measured on, as far as they are known."""

from __future__ import annotations

from dataclasses import dataclass

from .chance import chance_level, is_above_chance, is_score_above_chance


@dataclass(frozen=True)
class EvaluationImages:
    """The images of a validation or test split.

    Attributes:
        count: their number; None if it is not known.
        predictions_kept: whether it is known how each trial judges them.
        majority_share: of the most frequent class; one divided by the number of classes if that is
            not known, and None if nothing is.
        class_counts: images of each class; None if they are not known.
        majority_is_counted: whether the frequency of the most frequent class is known.
    """

    count: int | None = None
    predictions_kept: bool = False
    majority_share: float | None = None
    class_counts: tuple[int, ...] | None = None
    majority_is_counted: bool = False

    def at_chance(self, metric: str, score: float, architectures: int) -> bool:
        """Whether the highest score is not above chance; False if the images are not known.

        Args:
            metric: the key of the metric.
            score: the highest one.
            architectures: from which it was taken.
        """
        if metric == "accuracy" and self.count is not None and self.majority_share is not None:
            return not is_above_chance(score, self.count, self.majority_share, architectures)
        counts = self.class_counts
        return counts is not None and not is_score_above_chance(
            metric, score, counts, architectures
        )

    def chance_level(self, metric: str) -> float | None:
        """The score that guessing reaches; None if it is not known."""
        if metric == "accuracy":
            return self.majority_share
        return None if self.class_counts is None else chance_level(metric, self.class_counts)
