"""One latency for each architecture of a study: that of its first measurement.

All trials of an architecture train the same network with different seeds. If each trial kept its
own measurement, noise would make them differ in a cost that they share.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ...runners.results import Costs
from ...studies.alternatives import alternative_kind
from ...studies.records import TrialRecord


class SharedLatencies:
    """The latencies that a study has measured, by the key of the architecture.

    Args:
        trials: of the study. Latencies without an error, from an earlier version, do not count.
    """

    def __init__(self, trials: Iterable[TrialRecord]) -> None:
        self._costs: dict[str, Costs] = {}
        for trial in trials:
            if trial.costs is not None:
                self.share(trial.key, trial.role, trial.costs)

    def share(self, key: str, role: str, costs: Costs) -> Costs:
        """Costs of a trial, with the first latency that was measured for its architecture.

        Alternatives keep their own costs: they train the bare backbone, but with larger images, for
        example.

        Args:
            key: of the architecture.
            role: of the trial.
            costs: as far as they are known. A latency among them is remembered if it is the first.
        """
        if alternative_kind(role) is not None:
            return costs
        if costs.latency_ratio_error is not None:
            self._costs.setdefault(key, costs)
        first = self._costs.get(key)
        if first is None:
            return costs
        return replace(
            costs,
            latency_ms=first.latency_ms,
            latency_ms_error=first.latency_ms_error,
            latency_ratio=first.latency_ratio,
            latency_ratio_error=first.latency_ratio_error,
        )
