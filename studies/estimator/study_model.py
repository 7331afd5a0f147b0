"""The model of one study, from what its database holds: the estimate behind every number shown."""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np

from ...errors import StoreError, StudyError
from ...runners.recipe import Recipe
from ...runners.results import EpochReport
from ...spaces.architecture import Architecture, Insertion
from ..config import Pruning
from ..insertion_facts import InsertionFacts
from ..records import EpochRecord, StudyRecord
from . import modelled_trials
from .features import ArchitectureFeatures
from .find_insertion_facts import facts_of_text
from .history import TrialHistory
from .hyperparameters import CurrentFit
from .long_study import EndedTrials, LongStudy
from .mixed_model import MixedModel
from .observations import Array
from .rungs import observed_epochs, signal_strength
from .study_estimate import StudyEstimate, estimate_study
from .threads import one_thread

DEFAULT_STAGES = 4
"""Stages of a backbone if the study does not say."""


class StudyModel:
    """The trials of a study as its model sees them, and its hyperparameters.

    Trials and epochs are added as they are recorded, in any order. The estimate depends on what was
    added, not on when.
    """

    def __init__(
        self,
        stages: int,
        observed_epochs: Sequence[int] = (),
        signal: str = "",
        insertions: Mapping[str, InsertionFacts] | None = None,
    ) -> None:
        """Start without trials.

        Args:
            stages: of the backbone.
            observed_epochs: the epochs whose signal is used.
            signal: of the study's pruning.
            insertions: the facts of insertions that are known already, by their text.
        """
        self.stages, self.observed_epochs, self.signal = stages, tuple(observed_epochs), signal
        self._insertions: dict[str, InsertionFacts] = dict(insertions or {})
        self._assumed: set[str] = set()
        self._rungs: defaultdict[int, dict[int, float]] = defaultdict(dict)
        self._histories: dict[int, TrialHistory] = {}
        self._numbers: list[int] = []
        self._index: dict[str, int] = {}
        self._architectures: list[Architecture] = []

    @classmethod
    def of(
        cls,
        study: StudyRecord,
        epochs: Iterable[EpochRecord] = (),
        insertions: Mapping[str, InsertionFacts] | None = None,
    ) -> StudyModel:
        """The model of a recorded study, without its trials.

        Args:
            study: its recipe and pruning say which epochs are used.
            epochs: of its trials; those at other epochs are left out.
            insertions: the facts of insertions, by their text.
        """
        observed, signal = observed_by(study)
        model = cls(study.config.stages or DEFAULT_STAGES, observed, signal, insertions)
        model.add_epochs(epochs)
        return model

    def without_trials(self) -> StudyModel:
        """A model of the same study for the values of another metric, which has no epochs."""
        return StudyModel(self.stages, insertions=self._insertions)

    def add_epochs(self, epochs: Iterable[EpochRecord]) -> None:
        """Add epochs of any trials; those that the model does not use are left out."""
        for epoch in epochs:
            self.on_epoch(epoch.number, epoch.report)

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Add an epoch of trial `number`."""
        if report.epoch in self.observed_epochs:
            self._rungs[number][report.epoch] = signal_strength(report, self.signal)

    def add_insertions(self, insertions: Mapping[str, InsertionFacts]) -> None:
        """Add the facts of insertions by their text.

        A search records them before the first trial that has them. Those of a study of an earlier
        version are recorded when it is resumed; what was assumed of them until then is forgotten.
        """
        self._insertions.update(insertions)
        if not self._assumed.isdisjoint(insertions):
            self._assumed.clear()
            for name in ("fits", "_long_study"):
                self.__dict__.pop(name, None)

    def add_trial(
        self, number: int, architecture: Architecture, seed: int, end: float | None
    ) -> None:
        """Add a trial that has ended; nothing changes if it is known.

        Args:
            number: in the study.
            architecture: that was trained.
            seed: of the trial.
            end: the final accuracy, a fraction; None if the trial was pruned.
        """
        if number not in self._histories:
            history = TrialHistory(architecture, seed, end, self._rungs[number])
            self._histories[number] = history
            insort(self._numbers, number)
            if architecture.key not in self._index:
                self._index[architecture.key] = len(self._architectures)
                self._architectures.append(architecture)

    def unknown(self, numbers: Sequence[int]) -> list[int]:
        """The indices of those trials, by number, that were not added yet."""
        return [index for index, number in enumerate(numbers) if number not in self._histories]

    def estimate(self, keys: Sequence[str], bare: int | None) -> StudyEstimate:
        """The estimate of the accuracies of some architectures, from all trials.

        Args:
            keys: (n,) of architectures that have trials.
            bare: the index of the bare backbone; None if it is not among them.
        """
        try:
            indices = [self._index[key] for key in keys]
        except KeyError as error:
            raise StoreError(
                f"the database is damaged: {error} is not the key of any of its architectures. "
                "Restore a copy of it."
            ) from None
        with one_thread():
            if len(self._numbers) > modelled_trials.MAX_TRIALS:
                return self._long_study.estimate(self._ended_trials(), np.array(indices))
            architectures = [self._architectures[index] for index in indices]
            return estimate_study(self.fits, self.histories, architectures, bare)

    def _ended_trials(self) -> EndedTrials:
        histories = self.histories
        index = np.array([self._index[history.architecture.key] for history in histories])
        bare = (index for index, a in enumerate(self._architectures) if a.bare)
        return EndedTrials(histories, index, self._architectures, next(bare, None))

    def draw_accuracies(self, architectures: Sequence[Architecture], count: int) -> Array:
        """(count, n) draws of accuracies from their joint posterior; the same at each call.

        Args:
            architectures: (n,) of the study.
            count: the number of draws.
        """
        histories = self.histories
        with one_thread():
            model = MixedModel(
                self.fits.features, histories, architectures, self.fits.fit(histories)
            )
            return model.draw_samples(np.random.default_rng(0), count)

    @property
    def insertion_facts(self) -> Mapping[str, InsertionFacts]:
        """The facts of insertions that were recorded, by their text."""
        return self._insertions

    @property
    def histories(self) -> list[TrialHistory]:
        """The histories of the trials that have ended, by number."""
        return [self._histories[number] for number in self._numbers]

    @cached_property
    def fits(self) -> CurrentFit:
        """The hyperparameters of the study, and the features of its architectures."""
        return CurrentFit(ArchitectureFeatures(range(1, self.stages + 1), self.facts_of))

    @cached_property
    def _long_study(self) -> LongStudy:
        return LongStudy(self.fits)

    def facts_of(self, insertion: Insertion) -> InsertionFacts:
        """The facts of an insertion; what its text says if they were not recorded."""
        text = str(insertion)
        if text not in self._insertions:
            self._assumed.add(text)
            return facts_of_text(insertion, self.stages)
        return self._insertions[text]


def observed_by(study: StudyRecord) -> tuple[tuple[int, ...], str]:
    """The epochs whose signal the model of a study uses, and the name of that signal.

    No epochs if another version of attentune wrote the study in another form.
    """
    try:
        recipe: Recipe = study.config.recipe
        pruning: Pruning = study.config.pruning
    except StudyError:
        return (), ""
    return observed_epochs(recipe.epochs, pruning), pruning.signal
