"""What a report shows of predictions: metrics, and the images that attention fixes and breaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...runners.metrics import in_order, recorded_metric
from ...spaces.architecture import Architecture
from ..analysis.classification import mean_metrics
from ..analysis.findings import ArchitectureSummary, Findings
from ..analysis.recommendation import recommend
from ..database.store import Store
from ..records import StudyRecord, TrialRecord
from ..text.metric_format import MetricFormat
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
    def of(cls, findings: Findings, recorded: Mapping[int, Mapping[str, float]]) -> MetricsTable:
        """The metrics of the front, the best architecture and the baselines.

        The metric that is searched for is as estimated, the others are means over seeds.

        Args:
            findings: of the study.
            recorded: the metrics of trials besides their accuracy, by number.
        """
        best = [findings.best] if findings.best else []
        listed = {s.number: s for s in (*findings.front, *best, *findings.baselines)}
        summaries = list(listed.values())[:MAX_METRIC_ROWS]
        means = [mean_metrics(s, recorded) for s in summaries]
        searched = findings.metric
        keys = in_order(key for row in means for key in row)
        shown = [key for key in keys if key != searched.key]
        if not shown:
            return cls()
        rows = [
            MetricsRow(
                summary.architecture,
                summary.number,
                (
                    MetricFormat(searched).value(summary.score, summary.standard_error),
                    *(metric_value(recorded_metric(key), row.get(key)) for key in shown),
                ),
            )
            for summary, row in zip(summaries, means, strict=True)
        ]
        return cls((searched.heading, *(recorded_metric(key).title for key in shown)), tuple(rows))


def compare_best_with_bare(
    store: Store, study: StudyRecord, findings: Findings, trials: Sequence[TrialRecord]
) -> BareComparison | None:
    """The recommended architecture with attention, compared with the bare backbone by image.

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
    """The trial of the architecture with attention that is recommended, or else the best one.

    None if no architecture with attention is complete.
    """
    recommendation = recommend(findings)
    pick = None if recommendation is None else recommendation.pick
    ranked = sorted(findings.architectures, key=_score, reverse=True)
    candidates = (pick, findings.best, *ranked)
    attentive = (s for s in candidates if s is not None and not s.architecture.bare)
    chosen = next(attentive, None)
    return None if chosen is None else chosen.number


def _score(summary: ArchitectureSummary) -> float:
    return summary.score
