"""Importances: how much the attention of each stage explains."""

from __future__ import annotations

import pytest
from attentune.studies.analysis.importance import estimate_importances
from example_records import trial
from planted_accuracies import STAGES, every_architecture, points, points_of


def test_importances_point_at_the_stage_that_matters() -> None:
    shares = estimate_importances(points(), STAGES)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert max(shares, key=shares.__getitem__) == "s3"
    assert estimate_importances(points(take=4), STAGES) == {}
    equal = points_of(trial(i, text, 0.7) for i, text in enumerate(every_architecture()))
    assert estimate_importances(equal, STAGES) == {}
