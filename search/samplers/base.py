"""What every sampler is: an answer to "which architecture should trial `number` train?".

The proposer opens each trial in Optuna's study. A sampler has two ways to decide about it:

- it returns a selection from `select`, a value for every decision of the architecture; or
- it returns None there, and Optuna draws the decisions one by one with `optuna_sampler`.

Optuna stores the random state of its samplers nowhere. So they are made anew for each trial, with a
seed derived from the study's seed and the trial's number. A proposal therefore depends on those two
and on what has been recorded, and a resumed study proposes what it would have without the
interruption. A new sampler must keep this; `tests/search/samplers/test_sampler_contract.py` checks.
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
from ...spaces.attentions.entry import Value
from ...spaces.search_space.bound_space import BoundSpace
from ...studies.config import StudyConfig
from ...studies.records import TrialRecord
from ..trial_source import CostLookup, RecordedSearch

Selection = dict[str, Value]
"""A value for every decision that leads to one architecture, by the decision's name."""


class TriedArchitectures(Protocol):
    """Which architectures a study has tried; the proposer's history is one."""

    @property
    def seeds(self) -> Mapping[str, Set[int]]:
        """The seeds that have run, by the architecture's key."""

    @property
    def rejected(self) -> Set[str]:
        """Keys of the architectures that exceed a limit."""


@dataclass(frozen=True)
class SamplerContext:
    """What samplers are made from.

    Attributes:
        config: the study's objectives, limits, seed and recipe.
        space: the search space on the study's backbone.
        costs: parameters and MACs of any architecture.
        tried: what has run or was rejected so far; it grows with the study.
    """

    config: StudyConfig
    space: BoundSpace
    costs: CostLookup
    tried: TriedArchitectures


class Sampler:
    """Proposes architectures of one space; by itself uniformly at random.

    A sampler overrides `select`, or `make_optuna_sampler`; and the other methods if it learns from
    more than Optuna's own record of the trials.
    """

    def __init__(self, context: SamplerContext) -> None:
        self.space, self.seed = context.space, context.config.seed

    def select(self, number: int) -> Selection | None:
        """The selection for trial `number`, or None to let Optuna's sampler draw it."""
        del number
        return None

    def optuna_sampler(self, number: int) -> BaseSampler:
        """Optuna's sampler for trial `number`, seeded for it."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return self.make_optuna_sampler(derive_seed(self.seed, number))

    def make_optuna_sampler(self, seed: int) -> BaseSampler:
        """A new sampler of Optuna's with this seed."""
        return RandomSampler(seed=seed)

    def replay(self, recorded: RecordedSearch) -> None:
        """Learn from what was recorded before this process started."""

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Trial `number` has finished an epoch."""

    def on_trial_end(self, trial: TrialRecord) -> None:
        """A trial is complete, pruned or failed."""

    def ask_ahead(self, number: int, ending: Job, accuracy: float) -> None:
        """Compute the selection for trial `number` in advance.

        Args:
            number: the trial that will be proposed next, if nothing else happens before.
            ending: a trial that is about to end.
            accuracy: its final accuracy, a fraction in [0, 1].
        """

    def prepare(self) -> None:
        """Compute what later selections will need; called while all workers are busy."""


def derive_seed(*parts: int) -> int:
    """A 32-bit seed from whole numbers, the same on every machine."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big")
