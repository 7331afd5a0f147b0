"""Why a trial has no weights, and which trials have some."""

from __future__ import annotations

from ...errors import StudyError
from ...runners.results import WEIGHTS_FILE
from ..database.store import Store
from ..records import StudyRecord, TrialRecord
from ..text.formatting import enumeration

MAX_LISTED_TRIALS = 12
"""Numbers of trials that a message lists."""


def explain_missing_weights(store: Store, study: StudyRecord, trial: TrialRecord) -> str:
    """One sentence: why a trial has no weights, and what can be done.

    Args:
        store: the database.
        study: the trial's study.
        trial: has no weights.
    """
    label = f"trial {trial.number} of {study.name!r}"
    if (target := study.config.evaluation) is not None:
        return (
            f"{label} was trained by {target}, and only that code can run its network; "
            f"`attentune export {study.name} --pick {trial.number} -o DIR` writes the files that "
            "it has kept."
        )
    if trial.state == "running":
        return f"{label} has saved no weights yet; try again after some epochs."
    if trial.state != "complete":
        ended = "was pruned" if trial.state == "pruned" else "failed"
        return f"{label} {ended} and has left no weights; choose a complete trial."
    return f"{_describe_loss(store, study, label)}; {_describe_choice(store, study)}."


def _describe_loss(store: Store, study: StudyRecord, label: str) -> str:
    try:
        plan = study.config.plan
    except StudyError:
        plan = None
    if plan is not None and plan.keep_weights == "none":
        return f"the weights of {label} were not kept (--keep-weights none)"
    if plan is not None and plan.keep_weights == "front":
        return f"the weights of {label} were not kept, as it is not on the front (--keep-weights)"
    return (
        f"the weights of {label} are missing in {store.artifacts_of(study).name}, where they were "
        "deleted or exceeded --max-weights-size"
    )


def _describe_choice(store: Store, study: StudyRecord) -> str:
    trials = store.trials.read(study) + store.trials.read_outside_search(study)
    kept = [
        str(trial.number)
        for trial in trials
        if trial.state == "complete"
        and store.trial_file(study, trial.number, WEIGHTS_FILE).is_file()
    ]
    if not kept:
        return "no trial of the study has weights, so search again with --keep-weights all"
    shown = [*kept[:MAX_LISTED_TRIALS], "others"] if len(kept) > MAX_LISTED_TRIALS else kept
    return f"choose a trial that has weights: {enumeration(shown)}"
