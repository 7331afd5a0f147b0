"""Callbacks that log a study to an experiment tracker while it runs.

They only start and end a process. It reads the database (`studies/followers/`), so that nothing
that a tracker does can slow or end the search.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from ...studies.database.store import Store
from ...studies.followers.child_process import SEARCH, STUDY
from ...studies.followers.follower_process import FollowerProcess
from ...studies.followers.target import TrackerTarget
from .callback import Callback, RunningStudy, RunOutcome

END_SECONDS = 30.0
"""Time at the end of a run in which a tracker takes in what is left."""


class Follower(Callback):
    """Logs a study to an experiment tracker: one run for each trial, and one for the study."""

    def __init__(self, target: str | TrackerTarget, *, end_seconds: float = END_SECONDS) -> None:
        """Check that the tracker can be used here.

        Args:
            target: such as `tensorboard:runs`, `mlflow` or `wandb:my-project`.
            end_seconds: how long the end of a run waits for what is not logged yet.

        Raises:
            UsageError: the target is unknown, or its package is not installed.
        """
        self.target = TrackerTarget.parse(target) if isinstance(target, str) else target
        self.target.require_package()
        self.end_seconds = end_seconds
        self._process: FollowerProcess | None = None

    def __repr__(self) -> str:
        return f"Follower({self.target.shown!r})"

    def on_study_start(self, study: RunningStudy) -> None:
        """Start the process that logs the study."""
        self._process = FollowerProcess(study.record.name, study.database, self.target, SEARCH)

    def on_study_end(self, _outcome: RunOutcome) -> None:
        """Give the process some time for the rest, then end it."""
        process, self._process = self._process, None
        if process is not None:
            process.end(self.end_seconds)


class TensorBoard(Follower):
    """Logs a study to event files: `tensorboard --logdir FOLDER` shows them."""

    def __init__(self, folder: str | Path = "runs") -> None:
        """Log to a folder.

        Args:
            folder: of the event files; the study gets a folder in it.
        """
        super().__init__(TrackerTarget("tensorboard", str(folder)))


class MLflow(Follower):
    """Logs a study to MLflow: an experiment with one run for each trial."""

    def __init__(self, uri: str | None = None) -> None:
        """Log to a server or a local store.

        Args:
            uri: tracking URI; None: $MLFLOW_TRACKING_URI, else MLflow's default.
        """
        super().__init__(TrackerTarget("mlflow", uri))


class WandB(Follower):
    """Logs a study to Weights & Biases: a group with one run for each trial."""

    def __init__(self, project: str | None = None) -> None:
        """Log to a project.

        Args:
            project: or `entity/project`; None: `attentune`.
        """
        super().__init__(TrackerTarget("wandb", project))


def follow(study: str, targets: str | Sequence[str], db: str | Path | None = None) -> bool:
    """Log a recorded study to experiment trackers; one that runs, until it ends.

    What was logged before is not logged again.

    Args:
        study: its name.
        targets: such as `tensorboard:runs`, `mlflow` or `wandb:my-project`.
        db: path or URL of the database; by default $ATTENTUNE_DB, else `attentune.db`.

    Returns:
        Whether everything is logged; if not, the log says why.

    Raises:
        UsageError: a target is unknown, or its package is not installed.
        StudyError: there is no study of that name.
        KeyboardInterrupt: interrupted; another call goes on from there.
    """
    texts = [targets] if isinstance(targets, str) else targets
    parsed = [TrackerTarget.parse(text) for text in dict.fromkeys(texts)]
    for target in parsed:
        target.require_package()
    with Store.open(db, read_only=True) as store:
        name, url = store.studies.get(study).name, store.url
    with contextlib.ExitStack() as stack:
        processes = []
        for target in parsed:
            processes.append(FollowerProcess(name, url, target, STUDY))
            stack.callback(processes[-1].end, END_SECONDS)
        logged = [process.wait() for process in processes]
    return all(logged)
