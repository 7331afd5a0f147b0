"""What guessing reaches stands beside what a study reaches, once the classes are counted."""

from __future__ import annotations

import pytest
from attentune.studies.analysis.evaluation_images import EvaluationImages
from attentune.studies.analysis.score_json import images_json
from attentune.studies.objectives import ACCURACY, OBJECTIVES, Objective
from attentune.studies.text.chance import chance_and_reason, chance_line

COUNTED = EvaluationImages(40, True, 0.95, (38, 2), True)
ASSUMED = EvaluationImages(40, False, 0.5)


@pytest.mark.parametrize(
    ("metric", "line", "chance"),
    [
        (
            ACCURACY,
            "Guessing reaches 95.0 %: always naming the most frequent class, which has 95.0 % of "
            "40 validation images.",
            0.95,
        ),
        (
            OBJECTIVES["balanced-accuracy"],
            "Guessing reaches 50.0 %: the most frequent class has 95.0 % of 40 validation images.",
            0.5,
        ),
        (
            OBJECTIVES["log-loss"],
            "Guessing reaches 0.199: the most frequent class has 95.0 % of 40 validation images.",
            pytest.approx(0.1985, abs=1e-3),
        ),
    ],
)
def test_the_share_of_the_majority_and_what_guessing_reaches(
    metric: Objective, line: str, chance: object
) -> None:
    assert chance_line(COUNTED, "validation", metric) == line
    printed = images_json(COUNTED, metric)
    assert printed["chance"] == chance
    assert (printed["count"], printed["majority_share"], printed["majority_is_counted"]) == (
        40,
        0.95,
        True,
    )


def test_nothing_is_said_of_classes_that_were_not_counted() -> None:
    assert chance_and_reason(ASSUMED, "validation", ACCURACY) is None
    assert chance_line(EvaluationImages(), "test", ACCURACY) is None
    assert images_json(ASSUMED, ACCURACY)["majority_is_counted"] is False
