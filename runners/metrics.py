"""The metrics of a classification: their names, keys in JSON, and which way is better.

`classification_metrics` computes them. This module imports no NumPy, since options are made from
it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        key: in JSON and in the database.
        title: as tables and figures print it.
        short_title: where there is little space, on a terminal.
        higher_is_better: False for a loss.
        needs_probabilities: whether predicted classes do not suffice.
        in_percent: whether it is a fraction of images, which is printed in percent.
    """

    key: str
    title: str
    short_title: str
    higher_is_better: bool = True
    needs_probabilities: bool = False
    in_percent: bool = True

    def score_of(self, value: float) -> float:
        """The value as a score, of which more is always better: a loss changes its sign."""
        return value if self.higher_is_better else -value

    def value_of(self, score: float) -> float:
        """The inverse of `score_of`."""
        return score if self.higher_is_better else -score


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("accuracy", "Accuracy", "accuracy"),
        Metric("top5", "Top-5 accuracy", "top-5", needs_probabilities=True),
        Metric("balanced_accuracy", "Balanced accuracy", "balanced"),
        Metric("macro_f1", "Macro F1", "macro F1"),
        Metric("auroc", "AUROC", "AUROC", needs_probabilities=True, in_percent=False),
        Metric(
            "log_loss",
            "Log loss",
            "log loss",
            higher_is_better=False,
            needs_probabilities=True,
            in_percent=False,
        ),
    )
}
"""By key, in the order of tables."""
