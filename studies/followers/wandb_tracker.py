"""Weights & Biases: a group for the study, with one run for each trial and one for the study.

The identity of a run follows from the study and the number of the trial, so that a resumed trial
continues its run. What is logged is remembered in a small file in the `wandb` folder, because runs
that were made offline cannot be asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import wandb

from ...errors import StoreError
from ...files import atomic_write
from ...sanitize import clean_error
from ..records import StudyRecord
from .logged_values import (
    STUDY_RUN_PREFIX,
    LoggedEpoch,
    LoggedStart,
    StudyProgress,
    TrialEnd,
    study_parameters,
)
from .target import DEFAULT_PROJECT

STATE_FILE = "attentune-{study}-{project}.json"
"""In the `wandb` folder: the last epoch of each trial that was logged, or "ended"."""
ENDED = "ended"
STUDY_KEY = "study"


class WandbTracker:
    """A study at Weights & Biases; see `Tracker`."""

    def __init__(self, study: StudyRecord, place: str | None) -> None:
        """Read what was logged from this folder before.

        Args:
            study: to be logged.
            place: a project, or `entity/project`; None: `attentune`.
        """
        self._study = study
        entity, _, self._project = (place or DEFAULT_PROJECT).rpartition("/")
        self._entity = entity or None
        self._runs: dict[int, Any] = {}
        self._study_run: Any = None
        folder = Path(wandb.Settings().wandb_dir)
        self._file = folder / STATE_FILE.format(
            study=study.folder, project=(place or DEFAULT_PROJECT).replace("/", "-")
        )
        self._logged: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            self._logged = dict(json.loads(self._file.read_text("utf-8")))

    def is_complete(self, number: int) -> bool:
        """Whether all of a trial is logged, its end included."""
        return self._logged.get(str(number)) == ENDED

    def start_trial(self, trial: LoggedStart) -> int:
        """Begin the run of a trial, or continue it; the last epoch that it has, or 0."""
        run = self._init(
            f"{self._study.folder}-{trial.number}",
            trial.name,
            trial.role,
            dict(trial.parameters),
            [trial.role],
        )
        self._runs[trial.number] = run
        # The step that comes next; 0 in a new run, and in every run that is made offline.
        on_server = int(run.step) - 1 if run.resumed else 0
        known = self._logged.get(str(trial.number), 0)
        return max(on_server, known if isinstance(known, int) else 0)

    def log_epochs(self, number: int, epochs: Sequence[LoggedEpoch]) -> None:
        """Log epochs of a trial whose run was started here.

        Args:
            number: of the trial.
            epochs: later than those that the run has.
        """
        for epoch in epochs:
            row = {"epoch": epoch.epoch, **epoch.metrics}
            self._runs[number].log(row, step=epoch.epoch)
            self._logged[str(number)] = epoch.epoch
        self._save()

    def end_trial(self, number: int, end: TrialEnd) -> None:
        """Log the result of a trial whose run was started here, and end the run."""
        run = self._runs.pop(number)
        run.summary.update({**end.metrics, "state": end.state, **end.facts})
        run.finish(exit_code=0 if end.succeeded else 1)
        self._logged[str(number)] = ENDED
        self._save()

    def last_progress(self) -> int:
        """`StudyProgress.ended` of what was logged last of the study; 0 before."""
        known = self._logged.get(STUDY_KEY, 0)
        return known if isinstance(known, int) else 0

    def log_progress(self, progress: StudyProgress) -> None:
        """Log what the search has concluded."""
        if self._study_run is None:
            self._study_run = self._init(
                f"{self._study.folder}-{STUDY_RUN_PREFIX}",
                self._study.name,
                STUDY_RUN_PREFIX,
                study_parameters(self._study),
                [],
            )
        self._study_run.log({"ended": progress.ended, **progress.metrics}, step=progress.ended)
        self._study_run.summary.update(dict(progress.facts))
        self._logged[STUDY_KEY] = progress.ended
        self._save()

    def close(self) -> None:
        """Send what is pending. The runs of unfinished trials can be continued."""
        runs, self._runs = list(self._runs.values()), {}
        for run in [*runs, self._study_run]:
            if run is not None:
                run.finish()
        self._study_run = None
        wandb.teardown()  # Waits until its service has written or sent everything.

    def _init(
        self, identity: str, name: str, kind: str, config: dict[str, Any], tags: list[str]
    ) -> Any:
        try:
            return self._init_run(identity, name, kind, config, tags)
        except wandb.errors.UsageError as error:  # There is no key.
            raise StoreError(
                f"{clean_error(error).rstrip('.')}; or set WANDB_MODE=offline, and upload the runs "
                "later with `wandb sync`"
            ) from error

    def _init_run(
        self, identity: str, name: str, kind: str, config: dict[str, Any], tags: list[str]
    ) -> Any:
        return wandb.init(
            project=self._project,
            entity=self._entity,
            id=identity,
            name=name,
            group=self._study.name,
            job_type=kind,
            tags=tags,
            config=config,
            resume="allow",
            reinit="create_new",  # Several trials run at the same time.
            # What is logged is the study, and not this process.
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                x_disable_stats=True,
                x_disable_meta=True,
            ),
        )

    def _save(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(self._file) as draft:
            draft.write_text(json.dumps(self._logged), encoding="utf-8")
