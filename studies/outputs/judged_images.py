"""How the trials of a study judge their images, read from their predictions."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import replace

import numpy as np

from ...errors import AttentuneError
from ...runners.image_scores import JudgedImages, judge_images
from ...runners.predictions import Predictions
from ...runners.results import EVALUATION_IMAGES, UNMOVED_ATTENTIONS
from ...spaces.architecture import Architecture
from ..analysis.confirmation import Confirmation, analyse_confirmation
from ..analysis.evaluation_images import EvaluationImages
from ..analysis.findings import Findings
from ..database.predictions import load_predictions
from ..database.store import Store
from ..records import StudyRecord, TrialRecord
from ..text.study_warnings import study_warnings

logger = logging.getLogger(__name__)

_RECORDED_IMAGES = re.compile(r"(\d{1,12}), (\d{1,12}) of one class(?:, by class ([\d ]+))?")

KnownImages = MutableMapping[int, tuple[JudgedImages, str | None] | None]
"""By the number of a complete trial, how it judges its images, and the key of the images; None if
that is not known."""


def read_confirmation(
    store: Store, study: StudyRecord, findings: Findings, known: KnownImages | None = None
) -> Confirmation | None:
    """What the confirming trials of a study show so far; None if no confirmation was begun.

    Args:
        store: the database.
        study: its config holds the plan.
        findings: of the search.
        known: what earlier calls have read; what is read now is added.
    """
    plan = study.config.confirmation
    if plan is None:
        return None
    trials = store.trials.read(study, confirming=True)
    # Several splits have different images, and their spread shows the error of sampling them.
    comparable = [trial for trial in trials if plan.split_of(trial.seed) == 0]
    judged = read_judged_images(store, study, comparable, known)
    confirmation = analyse_confirmation(study, findings, trials, judged)
    if confirmation is None:
        return None
    numbers = {c.numbers[0]: c.architecture for c in confirmation.challengers}
    return replace(confirmation, unmoved=read_unmoved_attentions(store, study, numbers))


def read_judged_images(
    store: Store,
    study: StudyRecord,
    trials: Iterable[TrialRecord],
    known: KnownImages | None = None,
) -> dict[int, JudgedImages]:
    """How each trial judges its images, by number; without those where it is not known.

    Args:
        store: the database.
        study: the trials' study.
        trials: with one role, so that their images are the same.
        known: as in `read_confirmation`.
    """
    known = {} if known is None else known
    for trial in trials:
        if trial.state == "complete" and trial.number not in known:
            predictions = _read_predictions(store, study, trial)
            known[trial.number] = _judge(predictions, study.metric.key)
    entries = {number: entry for number, entry in known.items() if entry is not None}
    # Trials from before the images changed were judged on others.
    keys = [key for _, key in entries.values()]
    usual = max(set(keys), key=keys.count, default=None)
    return {number: judged for number, (judged, key) in entries.items() if key == usual}


def read_validation_images(
    store: Store, study: StudyRecord, findings: Findings
) -> EvaluationImages:
    """The images that a search selects on: from what one trial has recorded, or the accuracies.

    What the database holds comes first, so that a copy of it says the same without its folder of
    artifacts.

    Args:
        store: the database.
        study: the study.
        findings: of its search.
    """
    architectures = sorted(findings.architectures, key=lambda a: not a.architecture.bare)
    numbers = architectures[0].numbers[:1] if architectures else ()
    for trial in store.trials.get_many(study, numbers):
        if (images := read_evaluation_images(store, study, trial)) is not None:
            return images
    return findings.images


def read_evaluation_images(
    store: Store, study: StudyRecord, trial: TrialRecord
) -> EvaluationImages | None:
    """The images that a trial was evaluated on; None if that is not known.

    Args:
        store: the database.
        study: the trial's study.
        trial: a complete one.
    """
    facts = store.trials.read_environments(study).get(trial.environment or "", {})
    if recorded := _RECORDED_IMAGES.fullmatch(facts.get(EVALUATION_IMAGES, "")):
        count, largest = int(recorded[1]), int(recorded[2])
        by_class = tuple(map(int, (recorded[3] or "").split()))
        if 0 < largest <= count:
            counts = by_class if sum(by_class) == count else None
            return EvaluationImages(count, True, largest / count, counts, True)
    if (predictions := _read_predictions(store, study, trial)) is not None:
        by_class = tuple(np.bincount(predictions.labels).tolist())
        share = max(by_class) / len(predictions)
        return EvaluationImages(len(predictions), True, share, by_class, True)
    return None


def read_study_warnings(store: Store, study: StudyRecord, findings: Findings) -> tuple[str, ...]:
    """What has to be known before believing any number of a study; see `study_warnings`.

    Args:
        store: the database.
        study: the study.
        findings: of its search.
    """
    shown = [*findings.front, *findings.baselines, findings.best, findings.knee]
    numbers = {summary.numbers[0]: summary.architecture for summary in shown if summary is not None}
    return study_warnings(
        study,
        findings,
        store.studies.spent_seconds(study),
        store.studies.device_seconds(study),
        read_unmoved_attentions(store, study, numbers),
    )


def read_unmoved_attentions(
    store: Store, study: StudyRecord, trials: Mapping[int, Architecture]
) -> dict[Architecture, str]:
    """How many attentions still are the identity after training, such as `3 of 8`.

    Args:
        store: the database.
        study: the trials' study.
        trials: architectures by the number of a complete trial; those without such an attention are
            left out of the result.
    """
    environments = store.trials.read_environments(study)
    if not any(UNMOVED_ATTENTIONS in facts for facts in environments.values()):
        return {}
    records = store.trials.get_many(study, list(trials))
    counts = {t.number: environments.get(t.environment or "", {}) for t in records}
    return {
        architecture: counts[number][UNMOVED_ATTENTIONS]
        for number, architecture in trials.items()
        if UNMOVED_ATTENTIONS in counts.get(number, {})
    }


def _judge(predictions: Predictions | None, metric: str) -> tuple[JudgedImages, str | None] | None:
    judged = None if predictions is None else judge_images(predictions, metric)
    return None if predictions is None or judged is None else (judged, predictions.data_key)


def _read_predictions(store: Store, study: StudyRecord, trial: TrialRecord) -> Predictions | None:
    try:
        return load_predictions(store, study, trial)
    except AttentuneError as error:
        logger.warning("%s", error)
        return None
