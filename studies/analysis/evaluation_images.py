"""The images that accuracies were measured on, as far as they are known."""

from __future__ import annotations

from dataclasses import dataclass


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
