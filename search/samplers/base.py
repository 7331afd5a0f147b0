"""The interface of samplers, which decide which architecture a trial trains.

The proposer opens each trial in Optuna's study. A sampler has two ways to decide:

- `select` returns a selection: a value for every decision of the architecture; or
- `select` returns None, and Optuna draws the decisions one by one with `optuna_sampler`.

Optuna does not store the random state of its samplers. So a new one is made for each trial, with a
seed derived from the study's seed and the trial's number. A proposal therefore depends on those two
and on the recorded trials, and a resumed study proposes what it would have proposed without the
interruption. Every sampler must do so; `tests/search/samplers/test_sampler_contract.py` checks it.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Protocol

from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, RandomSampler

from ...runners.results import EpochReport, Job
from ...spaces.architecture import Architecture
from ...spaces.attentions.entry import Value
from ...spaces.search_space.bound_space import BoundSpace
from ...studies.config import StudyConfig
from ...studies.records import TrialRecord
from ..trial_source import CostLookup, RecordedSearch

Selection = dict[str, Value]
"""The values of the decisions that define an architecture, by the decisions' names."""


class TriedArchitectures(Protocol):
    """The architectures that a study has tried; `ProposalHistory` implements it."""

    @property
    def seeds(self) -> Mapping[str, Set[int]]:
        """The seeds that have run, by the architecture's key."""

    @property
    def exclusions(self) -> int:
        """Changes whenever an architecture may not be proposed any more."""

    def reason_against(self, architecture: Architecture, /) -> str | None:
        """Why an architecture is not proposed again, because it was rejected or has failed; None if
        it may be."""


@dataclass(frozen=True)
class SamplerContext:
    """What a sampler may use.

    Attributes:
        config: the study's objectives, limits, seed and recipe.
        space: the search space on the study's backbone.
        costs: parameters and MACs of any architecture.
        tried: the architectures that have run, failed or were rejected; it grows with the study.
    """

    config: StudyConfig
    space: BoundSpace
    costs: CostLookup
    tried: TriedArchitectures


class Sampler:
    """Proposes architectures of one space; this base class draws them uniformly at random.

    A subclass overrides `select` or `make_optuna_sampler`, and the other methods if it learns from
    more than Optuna's record of the trials.
    """

    def __init__(self, context: SamplerContext) -> None:
        self.space, self.seed = context.space, context.config.seed

    def select(self, number: int) -> Selection | None:
        """The selection for trial `number`, or None to let Optuna's sampler draw it."""
        del number
        return None

    def optuna_sampler(self, number: int) -> BaseSampler:
        """The Optuna sampler for trial `number`, seeded by the study's seed and this number."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self.make_optuna_sampler(derive_seed(self.seed, number))

    def make_optuna_sampler(self, seed: int) -> BaseSampler:
        """A new Optuna sampler with this seed."""
        return RandomSampler(seed=seed)

    def replay(self, recorded: RecordedSearch) -> None:
        """Learn from what was recorded before this process started."""

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Trial `number` has finished an epoch."""

    def on_trial_end(self, trial: TrialRecord) -> None:
        """A trial is complete, pruned or failed."""

    def ask_ahead(self, number: int, ending: Job, score: float) -> None:
        """Compute the selection for trial `number` in advance.

        Args:
            number: the number of the next trial, if nothing else happens before.
            ending: a trial that is about to end.
            score: the final one of that trial; see `EpochReport.score`.
        """

    def prepare(self) -> None:
        """Compute what later selections will need; called while all workers are busy."""


def derive_seed(*parts: int) -> int:
    """A 32-bit seed from whole numbers, the same on every machine."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big")
