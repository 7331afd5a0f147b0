"""How the trials of a study have gone so far, and what the model of effects expects of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np

from ...runners.results import EpochReport, Job
from ...spaces.architecture import Architecture
from ..analysis.analyse import Matrix
from ..config import StudyConfig
from ..records import EpochRecord, TrialRecord
from .features import ArchitectureFeatures
from .hyperparameters import HyperparameterFits
from .mixed_model import MixedModel, TrialHistory
from .rungs import glimpses_of, strength
from .threads import one_thread

TRUTHS = 200
"""Possible truths by which odds are told: to three hundredths, where they are even."""


class TrialHistories:
    """What every trial showed at its rungs, or half way, and how it ended."""

    def __init__(self, config: StudyConfig) -> None:
        self.glimpses, self.signal = glimpses_of(config), config.pruning.signal
        self._ended: dict[int, TrialRecord] = {}
        self._signals: defaultdict[int, dict[int, float]] = defaultdict(dict)

    def remember(self, trials: Iterable[TrialRecord], epochs: Iterable[EpochRecord]) -> None:
        """Take in what happened before this process."""
        for trial in trials:
            self.settle(trial)
        for epoch in epochs:
            self.note(epoch.number, epoch.report)

    def note(self, number: int, report: EpochReport) -> None:
        """An epoch of a trial."""
        if report.epoch in self.glimpses:
            self._signals[number][report.epoch] = strength(report, self.signal)

    def settle(self, trial: TrialRecord) -> None:
        """How a trial ended; one that runs or failed counts for nothing."""
        if trial.state in ("complete", "pruned"):
            self._ended[trial.number] = trial

    def complete(self, number: int) -> bool:
        """Whether a trial has reached its end."""
        return number in self._ended and self._ended[number].state == "complete"

    def ended(self, ending: Job | None = None, accuracy: float | None = None) -> list[TrialHistory]:
        """Of the trials that have ended, by number; and of one that is about to, so."""
        found = {
            number: TrialHistory(
                trial.parsed,
                trial.seed,
                trial.accuracy if trial.state == "complete" else None,
                self._signals[number],
            )
            for number, trial in self._ended.items()
        }
        if ending:
            signals = self._signals[ending.number]
            found[ending.number] = TrialHistory(ending.architecture, ending.seed, accuracy, signals)
        return [found[number] for number in sorted(found)]

    def under_way(self, number: int, architecture: Architecture, seed: int) -> TrialHistory | None:
        """Of a trial that has not ended; None if it has."""
        if number in self._ended:
            return None
        return TrialHistory(architecture, seed, None, self._signals[number])


class Forecaster:
    """What the model of additive effects (`mixed_model.MixedModel`) expects of trials at a rung.

    One trial's loss at an early rung says little by itself. Together with the losses and the final
    accuracies of all architectures that share something with it, it says more.
    """

    def __init__(self, config: StudyConfig) -> None:
        self.config, self.histories = config, TrialHistories(config)

    @cached_property
    def effects(self) -> ArchitectureFeatures:
        """Of the study's backbone."""
        from ...spaces.backbones.discover import find_sites

        recipe = self.config.recipe
        found = find_sites(self.config.backbone, image_size=recipe.image_size, stem=recipe.stem)
        return ArchitectureFeatures(found)

    @cached_property
    def _fits(self) -> HyperparameterFits:
        return HyperparameterFits(self.effects)

    def expected(self, going: Sequence[TrialHistory], asked: Sequence[Architecture]) -> list[float]:
        """The final accuracy to expect of architectures, given also trials that are under way."""
        with one_thread():
            found: list[float] = self._model(going, asked).expected().tolist()
            return found

    def sampled(
        self, going: Sequence[TrialHistory], asked: Sequence[Architecture], rng: np.random.Generator
    ) -> Matrix:
        """Possible final accuracies of architectures (`TRUTHS`, n), in the light of the same."""
        with one_thread():
            return self._model(going, asked).samples(rng, TRUTHS)

    def _model(self, going: Sequence[TrialHistory], asked: Sequence[Architecture]) -> MixedModel:
        ended = self.histories.ended()
        return MixedModel(self.effects, [*ended, *going], asked, self._fits.of(ended))
