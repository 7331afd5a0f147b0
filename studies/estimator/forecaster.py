"""Predicts the final accuracies of the trials of a running study."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from ...spaces.architecture import Architecture
from ..config import StudyConfig
from .features import ArchitectureFeatures
from .history import TrialHistories, TrialHistory
from .hyperparameters import HyperparameterFits
from .mixed_model import MixedModel
from .threads import one_thread

POSTERIOR_SAMPLES = 200
"""Draws from which the probability of an architecture is estimated. A probability of one half has a
standard error of about 0.03."""


class Forecaster:
    """Predicts the final accuracies of trials at a rung by the mixed model of their study.

    The loss of one trial at an early rung says little by itself. Together with the losses and the
    final accuracies of all architectures that share a feature with it, it says more.
    """

    def __init__(self, config: StudyConfig) -> None:
        self.config, self.histories = config, TrialHistories(config.recipe.epochs, config.pruning)

    @cached_property
    def features(self) -> ArchitectureFeatures:
        """The features of architectures of the study's backbone."""
        from ...spaces.backbones.discover import find_sites

        recipe = self.config.recipe
        site_map = find_sites(self.config.backbone, image_size=recipe.image_size, stem=recipe.stem)
        return ArchitectureFeatures.of_backbone(site_map)

    @cached_property
    def _fits(self) -> HyperparameterFits:
        return HyperparameterFits(self.features)

    def predict_accuracies(
        self, unfinished: Sequence[TrialHistory], architectures: Sequence[Architecture]
    ) -> list[float]:
        """The expected final accuracies of architectures, fractions.

        Args:
            unfinished: histories of running trials, used in addition to those that have ended.
            architectures: whose accuracies to predict.
        """
        with one_thread():
            means: list[float] = self._model(unfinished, architectures).predict_mean().tolist()
            return means

    def sample_accuracies(
        self,
        unfinished: Sequence[TrialHistory],
        architectures: Sequence[Architecture],
        rng: np.random.Generator,
    ) -> npt.NDArray[np.float64]:
        """Draws from the posterior of final accuracies, (`POSTERIOR_SAMPLES`, architectures).

        Args:
            unfinished: histories of running trials, used in addition to those that have ended.
            architectures: whose accuracies to sample.
            rng: source of the draws.
        """
        with one_thread():
            return self._model(unfinished, architectures).draw_samples(rng, POSTERIOR_SAMPLES)

    def _model(
        self, unfinished: Sequence[TrialHistory], architectures: Sequence[Architecture]
    ) -> MixedModel:
        ended = self.histories.ended_histories()
        return MixedModel(
            self.features, [*ended, *unfinished], architectures, self._fits.fit(ended)
        )
