"""A space in which the effects of attentions add up, and histories of trials in it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from attentune.spaces.architecture import Architecture
from attentune.spaces.backbones.discover import find_sites
from attentune.spaces.search_space.bound_space import BoundSpace, bind_space
from attentune.spaces.search_space.space import Space
from attentune.studies.estimator.history import TrialHistory

SPACE = Space.of(attentions=("none", "se", "eca", "ca"), ratios=(4, 16), stages=(1, 2, 3))
GAIN_PER_STAGE = {"se": 0.03, "ca": -0.02}
"""Gain of an attention in a stage; twice that in stage 2, nothing for the others."""


@cache
def planted_space() -> BoundSpace:
    """The space on the smallest ResNet."""
    return bind_space(SPACE, find_sites("test_resnet", image_size=36))


def true_accuracy(architecture: Architecture) -> float:
    """What an architecture is worth."""
    gain = 0.0
    for insertion in architecture.insertions:
        for place in insertion.places:
            stages = range(place.first, place.last + 1) if place.first else (1, 2, 3, 4)
            gain += sum(
                GAIN_PER_STAGE.get(insertion.attention, 0.0) * (1 + (s == 2)) for s in stages
            )
    return 0.7 + gain


def random_histories(
    space: BoundSpace, count: int, seed: int = 0, noise: float = 0.01
) -> list[TrialHistory]:
    """Complete trials of different random architectures, with noise in their accuracy."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(space.count(), count, replace=False)
    architectures = [space.architecture_at(int(i)) for i in chosen]
    return [
        ended_history(a, true_accuracy(a) + noise * rng.standard_normal()) for a in architectures
    ]


def ended_history(architecture: Architecture, accuracy: float, seed: int = 0) -> TrialHistory:
    """A complete trial without rungs."""
    return TrialHistory(architecture, seed, accuracy, {})


def unexplained_variance(hyperparameters: Mapping[str, float]) -> float:
    """The variance between the seeds of one architecture."""
    return hyperparameters["noise at the end"] + hyperparameters["trial"]
