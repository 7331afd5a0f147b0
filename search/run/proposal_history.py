"""Which architectures a study has tried, with which seeds, and with which results."""

from __future__ import annotations

from collections import Counter, defaultdict

from ...spaces.architecture import Architecture
from ...spaces.backbones.sites import SiteMap
from ...studies.records import TrialRecord
from .failure_history import FailureHistory

MAX_BASELINE_ATTEMPTS = 2
"""A baseline that fails is repeated until it has failed this many times."""


class ProposalHistory:
    """Seeds that have run, rejected architectures, and baselines that have to run again.

    Attributes:
        seeds: the seeds that have run, by the architecture's key.
        rejected: why an architecture was rejected, by its key.
        failures: the failed trials.
    """

    def __init__(self, site_map: SiteMap) -> None:
        self.seeds: dict[str, set[int]] = defaultdict(set)
        self._seeds: Counter[int] = Counter()
        self._unpaired: dict[str, set[int]] = {}
        """Of each architecture that `lacking_seeds` was asked about, the seeds of others alone."""
        self._unused_from: dict[str, int] = {}
        self.rejected: dict[str, str] = {}
        self.failures = FailureHistory(site_map)
        self._failures: Counter[tuple[str, int]] = Counter()
        self._failed_last: set[tuple[str, int]] = set()
        self._any_complete = False

    def record_start(self, key: str, seed: int) -> None:
        """A trial of this architecture begins with this seed."""
        if seed not in self.seeds[key]:
            self.seeds[key].add(seed)
            self._seeds[seed] += 1
            for other, unpaired in self._unpaired.items():
                if seed not in self.seeds[other]:
                    unpaired.add(seed)
                elif other == key:
                    unpaired.discard(seed)
        self._failed_last.discard((key, seed))

    def record_rejection(self, key: str, seed: int, reason: str) -> None:
        """An architecture is rejected, so its trial does not run.

        Args:
            key: of the architecture.
            seed: of the trial.
            reason: why, as a sentence.
        """
        self.rejected[key] = reason
        if seed in self.seeds[key]:
            self.seeds[key].discard(seed)
            self._unused_from.pop(key, None)
            self._seeds[seed] -= 1
            if not self._seeds[seed]:
                del self._seeds[seed]
            self._unpaired.clear()  # That is rare.

    def unused_seed(self, key: str, first: int) -> int:
        """The first seed, from `first` on, with which an architecture has not run.

        Args:
            key: of the architecture.
            first: the study's seed.
        """
        used = self.seeds[key]
        seed = self._unused_from.get(key, first)
        while seed in used:
            seed += 1
        self._unused_from[key] = seed
        return seed

    def lacking_seeds(self, key: str) -> list[int]:
        """The seeds that others have used and with which a baseline has to run, see `lacks`."""
        used = self._unpaired.get(key)
        if used is None:
            used = self._unpaired[key] = self._seeds.keys() - self.seeds[key]
        failed = {seed for failed, seed in self._failed_last if failed == key}
        return sorted(seed for seed in used | failed if self.lacks(key, seed))

    def record_state(self, trial: TrialRecord) -> None:
        """Record the state of a trial; a running one changes nothing."""
        self._any_complete |= trial.state == "complete"
        self.failures.record_state(trial)
        if trial.state == "failed":
            self._failures[trial.key, trial.seed] += 1
            self._failed_last.add((trial.key, trial.seed))

    @property
    def exclusions(self) -> int:
        """Changes whenever an architecture may not be proposed any more."""
        return len(self.rejected) + self.failures.count

    def reason_against(self, architecture: Architecture) -> str | None:
        """Why an architecture is not proposed again, as a sentence; None if it may be."""
        if not self.exclusions:
            return None
        reason = self.rejected.get(architecture.key)
        return reason or self.failures.reason_against(architecture)

    def lacks(self, key: str, seed: int) -> bool:
        """Whether a baseline still has to run with this seed, because it has not run or failed.

        After `MAX_BASELINE_ATTEMPTS` failures it is not repeated, unless no trial is complete yet.
        """
        if seed not in self.seeds[key]:
            return True
        tried_enough = self._any_complete and self._failures[key, seed] >= MAX_BASELINE_ATTEMPTS
        return (key, seed) in self._failed_last and not tried_enough
