"""What a report shows of predictions: metrics, and the images that attention fixes and breaks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...runners.metrics import METRICS
from ...spaces.architecture import Architecture
from ..analysis.classification import mean_metrics
from ..analysis.findings import ArchitectureSummary, Findings
from ..database.store import Store
from ..records import StudyRecord, TrialRecord
from ..text.predictions import metric_value
from .trial_predictions import BareComparison, compare_with_bare

MAX_IMAGES = 12
"""Images of either kind."""
MAX_METRIC_ROWS = 60


@dataclass(frozen=True)
class MetricsRow:
    """The metrics of one architecture as texts."""

    architecture: Architecture
    number: int
    metric_values: tuple[str, ...]


@dataclass(frozen=True)
class MetricsTable:
    """The metrics of the architectures that a report lists; without rows if none were recorded."""

    titles: tuple[str, ...] = ()
    rows: tuple[MetricsRow, ...] = ()

    @classmethod
    def of(
        cls,
        findings: Findings,
        trials: Sequence[TrialRecord],
        recorded: Mapping[int, Mapping[str, float]],
    ) -> MetricsTable:
        """The metrics of the front, the best architecture and the baselines: means over seeds.

        Args:
            findings: of the study.
            trials: all trials of the search.
            recorded: the metrics of trials besides their accuracy, by number.
        """
        values: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
        for trial in trials:
            if trial.state == "complete" and trial.accuracy is not None:
                metrics = recorded.get(trial.number, {})
                values[trial.key].append({"accuracy": trial.accuracy, **metrics})
        best = [findings.best] if findings.best else []
        listed = {s.number: s for s in (*findings.front, *best, *findings.baselines)}
        means = {n: mean_metrics(values[s.architecture.key]) for n, s in listed.items()}
        shown = [key for key in METRICS if any(key in row for row in means.values())]
        if len(shown) < 2:
            return cls()
        rows = [
            MetricsRow(
                listed[number].architecture,
                number,
                tuple(metric_value(METRICS[key], row.get(key)) for key in shown),
            )
            for number, row in list(means.items())[:MAX_METRIC_ROWS]
        ]
        return cls(tuple(METRICS[key].title for key in shown), tuple(rows))


def compare_best_with_bare(
    store: Store, study: StudyRecord, findings: Findings, trials: Sequence[TrialRecord]
) -> BareComparison | None:
    """The best architecture with attention, compared with the bare backbone image by image.

    Args:
        store: the database.
        study: the study.
        findings: of the study.
        trials: all trials of the search.

    Returns:
        None if no architecture with attention is complete.
    """
    number = best_with_attention(findings)
    trial = next((t for t in trials if t.number == number), None)
    return None if trial is None else compare_with_bare(store, study, trial, trials, MAX_IMAGES)


def best_with_attention(findings: Findings) -> int | None:
    """The trial of the best architecture that has an attention; None if there is none.

    It is the study's best unless that is the bare backbone; then it is the one of the front with
    the highest accuracy, or of all.
    """
    ranked = sorted(findings.front, key=_accuracy, reverse=True)
    rest = sorted(findings.architectures, key=_accuracy, reverse=True)
    candidates = (findings.best, *ranked, *rest)
    attentive = (s for s in candidates if s is not None and not s.architecture.bare)
    chosen = next(attentive, None)
    return None if chosen is None else chosen.number


def _accuracy(summary: ArchitectureSummary) -> float:
    return summary.accuracy
