"""Metrics on the terminal: of all architectures, and of the classes of one trial."""

from __future__ import annotations

from rich.text import Text

from ...runners.metrics import METRICS, in_order, recorded_metric
from ...studies.analysis.classification import Classification, ClassResult, mean_metrics
from ...studies.database.store import Store
from ...studies.outputs.read_findings import read_findings
from ...studies.outputs.trial_predictions import read_classification
from ...studies.records import StudyRecord, TrialRecord
from ...studies.text import formatting
from ...studies.text.metric_format import MetricFormat
from ...studies.text.predictions import describe_calibration, metric_value
from .shared import out, plain_table, print_line

MAX_ARCHITECTURES = 40
"""Rows of the table of all architectures; the best ones are shown."""
MAX_CLASSES = 20
"""Rows of the table of classes; those with the lowest recall are shown."""
MAX_CONFUSIONS = 5


def print_metrics(store: Store, record: StudyRecord) -> None:
    """Print the metrics of every architecture, the best first."""
    findings = read_findings(store, record)
    recorded = store.metrics.read(record)
    summaries = sorted(findings.architectures, key=lambda summary: -summary.score)
    if not summaries:
        print_line(f"{record.name} has no complete trial yet.")
        return
    rows = [(s, mean_metrics(s, recorded)) for s in summaries]
    searched = findings.metric
    keys = in_order(key for _, means in rows for key in means)
    shown = [key for key in keys if key != searched.key]
    titles = (f">{recorded_metric(key).short_title}" for key in shown)
    table = plain_table(">trial", f">{searched.noun}", *titles, "architecture")
    for summary, means in rows[:MAX_ARCHITECTURES]:
        table.add_row(
            f"#{summary.number}",
            MetricFormat(searched).value(summary.score, summary.standard_error),
            *(metric_value(recorded_metric(key), means.get(key)) for key in shown),
            Text(formatting.short_architecture(summary.architecture)),
        )
    print_line(
        f"{record.name}: {searched.noun} as estimated; the other metrics are means over seeds"
    )
    out.print(table)
    if len(rows) > MAX_ARCHITECTURES:
        print_line(f"… and {len(rows) - MAX_ARCHITECTURES} more; --json lists all of them")
    if not shown:
        print_line("The trials have recorded no further metrics.")


def print_classification(store: Store, record: StudyRecord, trial: TrialRecord) -> None:
    """Print how a complete trial classifies: classes, confusions and calibration.

    Args:
        store: the database.
        record: the study.
        trial: of the study.
    """
    if trial.state != "complete":
        return
    result = read_classification(store, record, trial)
    out.print()
    if isinstance(result, str):
        print_line(f"No classes are shown: {result}")
        return
    _print_classes(result)
    confusions = [f"{a} as {b} ({count})" for a, b, count in result.confused_pairs(MAX_CONFUSIONS)]
    if confusions:
        print_line(f"Most frequent confusions: {', '.join(confusions)}.")
    if result.calibration is not None:
        print_line(describe_calibration(result.calibration, result.metrics["accuracy"]))


def _print_classes(result: Classification) -> None:
    classes = sorted(result.classes, key=_worst_first) if _is_cut(result) else result.classes
    table = plain_table("class", ">images", ">recall", ">precision", ">F1", ">AUROC")
    for entry in classes[:MAX_CLASSES]:
        fractions = [formatting.percent(v) for v in (entry.recall, entry.precision, entry.f1)]
        auroc = metric_value(METRICS["auroc"], entry.auroc)
        table.add_row(Text(entry.name), formatting.integer(entry.images), *fractions, auroc)
    out.print(table)
    if _is_cut(result):
        print_line(
            f"The {MAX_CLASSES} classes of {len(result.classes)} with the lowest recall; --json "
            "lists all of them."
        )


def _is_cut(result: Classification) -> bool:
    return len(result.classes) > MAX_CLASSES


def _worst_first(entry: ClassResult) -> float:
    return 2.0 if entry.recall is None else entry.recall
