"""The images that accuracies were measured on, as far as they are known."""

from __future__ import annotations

from dataclasses import dataclass

from .chance import is_above_chance


@dataclass(frozen=True)
class EvaluationImages:
    """The images of a validation or test split.

    Attributes:
        count: their number; None if it is not known.
        predictions_kept: whether it is known which of them each trial judges correctly.
        majority_share: of the most frequent class; one divided by the number of classes if that is
            not known, and None if nothing is.
    """

    count: int | None = None
    predictions_kept: bool = False
    majority_share: float | None = None

    def at_chance(self, accuracy: float, architectures: int) -> bool:
        """Whether the highest accuracy is not above chance; False if the images are not known.

        Args:
            accuracy: the highest one.
            architectures: from which it was taken.
        """
        if self.count is None or self.majority_share is None:
            return False
        return not is_above_chance(accuracy, self.count, self.majority_share, architectures)
