"""An experiment tracker as a follower sees it, and how one is opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..records import StudyRecord
from .logged_values import LoggedEpoch, LoggedStart, StudyProgress, TrialEnd
from .target import TrackerTarget


class Tracker(Protocol):
    """Where one study is logged: one run for each trial, and one for the study.

    What is there already is asked from the tracker, so that a study is continued where an earlier
    follower has stopped, and nothing is logged twice. Every method may raise what the tool raises.
    """

    def is_complete(self, number: int) -> bool:
        """Whether all of a trial is logged, its end included."""

    def start_trial(self, trial: LoggedStart) -> int:
        """Begin the run of a trial, or continue it; the last epoch that it has, or 0."""

    def log_epochs(self, number: int, epochs: Sequence[LoggedEpoch]) -> None:
        """Log epochs of a trial whose run was started here.

        Args:
            number: of the trial.
            epochs: later than those that the run has.
        """

    def end_trial(self, number: int, end: TrialEnd) -> None:
        """Log the result of a trial whose run was started here, and end the run."""

    def last_progress(self) -> int:
        """`StudyProgress.ended` of what was logged last of the study; 0 before."""

    def log_progress(self, progress: StudyProgress) -> None:
        """Log what the search has concluded."""

    def close(self) -> None:
        """Write what is pending. The runs of unfinished trials stay as they are."""


def open_tracker(target: TrackerTarget, study: StudyRecord) -> Tracker:
    """Open a tracker for a study.

    Args:
        target: which one, and where.
        study: to be logged; its random `folder` identifies it.

    Raises:
        UsageError: the package is not installed.
        Exception: what the tool raises, for example if its server cannot be reached.
    """
    target.require_package()
    match target.tool:
        case "tensorboard":
            from .tensorboard_tracker import TensorBoardTracker

            return TensorBoardTracker(study, target.place)
        case "mlflow":
            from .mlflow_tracker import MLflowTracker

            return MLflowTracker(study, target.place)
        case "wandb":
            from .wandb_tracker import WandbTracker

            return WandbTracker(study, target.place)
