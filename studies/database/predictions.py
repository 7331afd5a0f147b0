"""The predictions of a trial, from the file beside its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import DamagedFileError
from ...runners.results import PREDICTIONS_FILE, Job
from ..records import StudyRecord, TrialRecord

if TYPE_CHECKING:
    from ...runners.predictions import Predictions
    from .store import Store


def load_predictions(store: Store, study: StudyRecord, trial: TrialRecord) -> Predictions | None:
    """The predictions of a complete trial for the images on which its accuracy was measured.

    Those are the validation images, or for a confirming trial the test images, in the order of the
    prepared data: the same for all trials of a role.

    Args:
        store: the database.
        study: the trial's study.
        trial: of the study.

    Returns:
        None if there are none: the trial is not complete, or the plan of its study kept none.

    Raises:
        DamagedFileError: the file is damaged, of another trial, or another accuracy follows from it
            than the trial has recorded.
        StoreError: the database names a folder that is not attentune's.
    """
    from ...runners.predictions import read_predictions  # NumPy, which `list` does without

    if trial.state != "complete":
        return None
    path = store.trial_file(study, trial.number, PREDICTIONS_FILE)
    try:
        predictions, facts = read_predictions(path)
    except FileNotFoundError:
        return None
    if facts.get("identity") != identity_of(study, trial):
        raise DamagedFileError(f"{path} holds the predictions of another trial.")
    if predictions.accuracy != trial.accuracy:
        raise DamagedFileError(
            f"{path} does not fit its trial, whose recorded accuracy is {trial.accuracy}."
        )
    return predictions


def identity_of(study: StudyRecord, trial: TrialRecord) -> str:
    """The identity of the job that has trained a complete trial.

    Raises:
        StudyError: the recipe of the study cannot be read.
    """
    recipe = study.config.recipe_of(trial.role, trial.epochs, trial.seed)
    job = Job(trial.number, trial.parsed, recipe, trial.seed, Path(), test=trial.confirms)
    return job.identity
