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
        higher_is_better: False for a loss.
        needs_probabilities: whether predicted classes do not suffice.
    """

    key: str
    title: str
    higher_is_better: bool = True
    needs_probabilities: bool = False

    @property
    def is_fraction(self) -> bool:
        """Whether it lies between 0 and 1 and is printed in percent."""
        return self.higher_is_better


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric("accuracy", "Accuracy"),
        Metric("top5", "Top-5 accuracy", needs_probabilities=True),
        Metric("balanced_accuracy", "Balanced accuracy"),
        Metric("macro_f1", "Macro F1"),
        Metric("auroc", "AUROC", needs_probabilities=True),
        Metric("log_loss", "Log loss", higher_is_better=False, needs_probabilities=True),
    )
}
"""By key, in the order of tables."""
