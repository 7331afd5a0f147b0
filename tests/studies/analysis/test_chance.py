"""Whether an accuracy is above chance, against exact binomial probabilities."""

from __future__ import annotations

import pytest
from attentune.studies.analysis.chance import is_above_chance


@pytest.mark.parametrize(
    ("correct", "images", "share", "architectures", "expected"),
    [
        (15, 20, 0.5, 1, True),  # P(X ≥ 15) = 0.021
        (14, 20, 0.5, 1, False),  # P(X ≥ 14) = 0.058
        (15, 20, 0.5, 10, False),  # The highest of ten.
        (10, 29, 0.25, 1, False),
        (450, 500, 0.9, 1, False),  # Always naming the most frequent class.
        (470, 500, 0.9, 1, True),
        (29, 29, 1.0, 1, False),  # There is one class.
    ],
)
def test_an_accuracy_is_above_chance_if_the_binomial_test_says_so(
    correct: int, images: int, share: float, architectures: int, expected: bool
) -> None:
    assert is_above_chance(correct / images, images, share, architectures) is expected
