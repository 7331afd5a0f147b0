"""The rungs: at which epochs trials are judged before they end."""

from __future__ import annotations

import pytest
from attentune.spaces.search_space.space import load_space
from attentune.studies.config import Pruning, StudyConfig
from attentune.studies.estimator.rungs import rung_epochs, study_rungs


def study_config(pruning, recipe):
    return StudyConfig(
        backbone="test_resnet",
        num_classes=10,
        stages=4,
        space=load_space("quick"),
        recipe={"data": "digits", "image_size": 32, **recipe},
        pruning=pruning,
    )


@pytest.mark.parametrize(
    ("epochs", "first", "eta", "expected"),
    [
        (8, 0.25, 3, (2,)),  # from 6 there would be little left to save
        (8, 0.25, 2, (2, 4)),
        (27, 1 / 27, 3, (2, 6)),  # never after the first epoch
        (8, 0.375, 3, (3,)),
        (3, 0.25, 3, (2,)),
        (1, 0.25, 3, ()),
        (2, 0.5, 3, ()),
    ],
)
def test_rungs_lie_between_the_first_epoch_and_the_last(epochs, first, eta, expected):
    assert rung_epochs(epochs, first, eta) == expected


@pytest.mark.parametrize(
    ("pruner", "epochs", "expected"),
    [
        ("front", 8, (1,)),
        ("front", 20, (3,)),
        ("asha", 8, (2,)),
        ("asha", 3, (2,)),
        ("none", 8, ()),
    ],
)
def test_each_pruner_has_its_first_rung_where_it_knows_enough(pruner, epochs, expected):
    pruning = Pruning.model_validate(Pruning.parse_fields(pruner))
    assert study_rungs(epochs, pruning) == expected


def test_a_first_rung_that_is_asked_for_stays():
    pruning = Pruning.model_validate(Pruning.parse_fields("front:first=0.5"))
    config = study_config(pruning=pruning, recipe={"epochs": 8})
    assert study_rungs(8, config.pruning) == (4,)
    again = type(config).model_validate(config.model_dump(mode="json"))
    assert study_rungs(8, again.pruning) == (4,)
