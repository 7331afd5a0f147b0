"""Which architectures a study has tried, with which seeds, and what came of it."""

from __future__ import annotations

from collections import Counter, defaultdict

from ...studies.records import TrialRecord

MAX_BASELINE_ATTEMPTS = 2
"""A baseline that fails is tried again until it has failed so often."""


class ProposalHistory:
    """Seeds that have run, rejected architectures, and baselines that have to run again.

    Attributes:
        seeds: by the architecture's key.
        rejected: keys of the architectures that exceed a limit.
    """

    def __init__(self) -> None:
        self.seeds: dict[str, set[int]] = defaultdict(set)
        self.rejected: set[str] = set()
        self._failures: Counter[tuple[str, int]] = Counter()
        self._failed_last: set[tuple[str, int]] = set()
        self._any_complete = False

    def record_start(self, key: str, seed: int) -> None:
        """A trial of this architecture begins with this seed."""
        self.seeds[key].add(seed)
        self._failed_last.discard((key, seed))

    def record_state(self, trial: TrialRecord) -> None:
        """Take in how a trial ended; one that still runs changes nothing."""
        self._any_complete |= trial.state == "complete"
        if trial.state == "failed":
            self._failures[trial.key, trial.seed] += 1
            self._failed_last.add((trial.key, trial.seed))

    def lacks(self, key: str, seed: int) -> bool:
        """Whether a baseline has to run with this seed: it has not, or it failed.

        `MAX_BASELINE_ATTEMPTS` failures are enough, unless no trial of the study has completed.
        """
        if seed not in self.seeds[key]:
            return True
        tried_enough = self._any_complete and self._failures[key, seed] >= MAX_BASELINE_ATTEMPTS
        return (key, seed) in self._failed_last and not tried_enough
