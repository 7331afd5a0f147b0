"""Which architectures a study has tried, with which seeds, and with which results."""

from __future__ import annotations

from collections import Counter, defaultdict

from ...studies.records import TrialRecord

MAX_BASELINE_ATTEMPTS = 2
"""A baseline that fails is repeated until it has failed this many times."""


class ProposalHistory:
    """Seeds that have run, rejected architectures, and baselines that have to run again.

    Attributes:
        seeds: the seeds that have run, by the architecture's key.
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

    def record_rejection(self, key: str, seed: int) -> None:
        """An architecture exceeds a limit, so its trial with this seed does not run."""
        self.rejected.add(key)
        self.seeds[key].discard(seed)

    def record_state(self, trial: TrialRecord) -> None:
        """Record the state of a trial; a running one changes nothing."""
        self._any_complete |= trial.state == "complete"
        if trial.state == "failed":
            self._failures[trial.key, trial.seed] += 1
            self._failed_last.add((trial.key, trial.seed))

    def lacks(self, key: str, seed: int) -> bool:
        """Whether a baseline still has to run with this seed, because it has not run or failed.

        After `MAX_BASELINE_ATTEMPTS` failures it is not repeated, unless no trial is complete yet.
        """
        if seed not in self.seeds[key]:
            return True
        tried_enough = self._any_complete and self._failures[key, seed] >= MAX_BASELINE_ATTEMPTS
        return (key, seed) in self._failed_last and not tried_enough
