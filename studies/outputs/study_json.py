"""Studies and trials as plain values for programs: what `list --json` and `show --json` print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..analysis import analyse
from ..analysis.classification import mean_metrics
from ..analysis.confirmation import confirmation_json
from ..analysis.findings import Findings
from ..analysis.recommendation import Recommendation, recommend
from ..analysis.score_json import images_json, score_json
from ..database.store import Store
from ..records import StudyRecord, TrialRecord
from ..stored_config import StoredConfig
from ..text.confirmation import conclusion, confirmation_warnings
from ..text.recommendation import recommendation_sentence
from ..text.summary import summary_sentence
from .alternatives import (
    describe_alternatives,
    read_alternatives,
    read_confirmed_alternatives,
)
from .judged_images import read_confirmation, read_study_warnings
from .read_findings import read_findings
from .study_list import ListedStudy
from .trial_predictions import read_classification, trial_metrics


def trial_json(store: Store, record: StudyRecord, trial: TrialRecord) -> dict[str, Any]:
    """One trial for programs, with its learning curve and its environment.

    Args:
        store: the database.
        record: the study.
        trial: the trial.
    """
    fields = analyse.trial_json(trial)
    epochs = [asdict(epoch.report) for epoch in store.epochs.read(record, trial.number)]
    environment = store.trials.read_environments(record).get(trial.environment or "")
    result = read_classification(store, record, trial)
    details: dict[str, Any] = dict.fromkeys(("classes", "confusion", "calibration"))
    return {
        **fields,
        "curve": epochs,
        "environment": environment,
        "metrics": trial_metrics(store, record, trial),
        **(details if isinstance(result, str) else result.to_json()),
        "predictions_missing": result if isinstance(result, str) else None,
    }


def study_json(store: Store, record: StudyRecord) -> dict[str, Any]:
    """A study for programs: the contract of `show --json`, and its confirmation."""
    trials = store.trials.read(record)
    rejections = store.trials.read_rejections(record)
    findings = read_findings(store, record, trials)
    listed = analyse.show_json(record, trials, findings, rejected=len(rejections))
    _add_metrics(listed, findings, store.metrics.read(record))
    judged = read_confirmation(store, record, findings)
    confirmation = judged and {
        **confirmation_json(judged, conclusion(judged), confirmation_warnings(judged)),
        "alternatives": [a.to_json() for a in read_confirmed_alternatives(store, record, judged)],
    }
    reasons = [
        {"architecture": r.architecture, "key": r.key, "reason": r.reason} for r in rejections
    ]
    return {
        **listed,
        "summary": summary_sentence(record, findings, judged),
        "recommendation": _recommendation_json(recommend(findings, judged), findings),
        "images": images_json(findings.images, findings.metric),
        "being_set_up": record.config.is_being_set_up,
        "rejections": reasons,
        "warnings": list(read_study_warnings(store, record, findings)),
        "confirmation": confirmation,
        "alternatives": _alternatives_json(store, record, findings, trials),
        "expected_gain": _expected_gain_json(record.config),
    }


def _alternatives_json(
    store: Store, record: StudyRecord, findings: Findings, trials: list[TrialRecord]
) -> dict[str, Any] | None:
    """What the alternatives to attention show; None if none were asked for."""
    summary = read_alternatives(store, record, findings, trials)
    if summary is None:
        return None
    return {**summary.to_json(), "sentence": describe_alternatives(summary, findings)}


def _expected_gain_json(config: StoredConfig) -> dict[str, Any] | None:
    """The latest forecast of the gain of more trials, and all of them; None without any."""
    forecasts = [asdict(forecast) for forecast in config.expected_gains]
    return {**forecasts[-1], "history": forecasts} if forecasts else None


def _add_metrics(
    listed: dict[str, Any], findings: Findings, metrics: Mapping[int, Mapping[str, float]]
) -> None:
    """Add the metrics of each trial, and their means over the complete trials of an architecture.

    Args:
        listed: the JSON of a study, changed in place.
        findings: of the study, whose architectures are listed.
        metrics: besides the accuracy, by the trial's number.
    """
    for trial in listed["trials"]:
        trial["metrics"] = dict(metrics.get(trial["number"], {}))
    for entry, summary in zip(listed["architectures"], findings.architectures, strict=True):
        means = mean_metrics(summary, metrics)
        entry["metrics"] = {key: mean for key, mean in means.items() if key != "accuracy"}


def _recommendation_json(
    recommendation: Recommendation | None, findings: Findings
) -> dict[str, Any] | None:
    if recommendation is None:
        return None
    return {
        "number": recommendation.pick.number,
        "architecture": str(recommendation.pick.architecture),
        "bare": recommendation.keeps_bare,
        "basis": recommendation.basis,
        "sentence": recommendation_sentence(recommendation, findings),
    }


def listed_study_json(listed: ListedStudy) -> dict[str, Any]:
    """One line of `attentune list --json`."""
    summary, study = listed.summary, listed.summary.study
    return {
        "study": study.name,
        "backbone": study.backbone,
        "objectives": list(study.objectives),
        "being_set_up": study.config.is_being_set_up,
        "counts": dict(summary.counts),
        "metric": study.metric.key,
        **_best_json(listed),
        "created": study.created_at.isoformat(),
        "last_activity": summary.last_activity.isoformat(),
    }


def _best_json(listed: ListedStudy) -> dict[str, float | None]:
    """The best result so far: `best` in the unit of the metric, and the accuracy with it."""
    best = listed.best
    values = score_json(
        listed.summary.study.metric,
        best.score if best else None,
        best.scores if best else (),
        best.accuracies if best else (),
    )
    return {"best": values["value"], "best_accuracy": values["accuracy"]}
