"""Follow a study: read from its database what is new, and log it to a tracker.

The follower is not part of the search. It reads committed rows, as the dashboard does, so a search
neither waits for it nor knows it; the database is the queue, which loses nothing and has no limit.
The same code logs a search that runs in this process or in another one, and a study that ended
long ago.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

from ..analysis.analyse import analyse
from ..database.store import Store
from ..outputs.read_findings import read_model
from ..records import EpochRecord, StudyRecord, TrialRecord
from .logged_values import (
    TrialEnd,
    logged_epochs,
    study_progress,
    trial_end,
    trial_start,
)
from .tracker import Tracker

TRIALS_PER_READING = 100
"""Trials whose epochs are read at once."""
MAX_PROGRESS_STEPS = 20
"""Steps of the study's own curves that are logged at once for trials that ended before."""
MAX_TRIALS_FOR_STEPS = 1000
"""Of a longer study, only the last step is logged: each analyses all of its trials."""


class StudyFollower:
    """Logs a study to one tracker."""

    def __init__(
        self, store: Store, name: str, open_tracker: Callable[[StudyRecord], Tracker]
    ) -> None:
        """Follow a study from where the tracker is.

        Args:
            store: the database, which is only read.
            name: of the study.
            open_tracker: opens the tracker; called again after an error.
        """
        self._store, self._name, self._open_tracker = store, name, open_tracker
        self._tracker: Tracker | None = None
        self._complete: set[int] = set()
        self._started: dict[int, int] = {}
        self._analysed = -1

    def is_running(self) -> bool:
        """Whether a process runs the study now."""
        return self._store.leases.holder(self._name) is not None

    @property
    def complete(self) -> int:
        """The number of trials of which everything is logged."""
        return len(self._complete)

    def update(self, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Log what is new. After an error, the next call begins with what the tracker has.

        Args:
            should_stop: asked between two trials, for a study that is long.

        Raises:
            StudyError: there is no such study.
            Exception: what the tracker raises.
        """
        study = self._store.studies.get(self._name)
        if study.config.is_being_set_up:
            return
        try:
            if self._tracker is None:
                self._tracker = self._open_tracker(study)
            self._update_trials(study, self._tracker, should_stop)
            if not should_stop():
                self._update_progress(study, self._tracker)
        except BaseException:
            tracker, self._tracker = self._tracker, None
            self._complete, self._started, self._analysed = set(), {}, -1
            if tracker is not None:
                with contextlib.suppress(Exception):
                    tracker.close()
            raise

    def close(self) -> None:
        """Close the tracker."""
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            tracker.close()

    def _update_trials(
        self, study: StudyRecord, tracker: Tracker, should_stop: Callable[[], bool]
    ) -> None:
        trials = [*self._store.trials.read(study), *self._store.trials.read_outside_search(study)]
        pending = []
        for trial in trials:
            if trial.number in self._complete:
                continue
            if trial.number not in self._started and tracker.is_complete(trial.number):
                self._complete.add(trial.number)
            else:
                pending.append(trial)
        metrics = reached = None
        for trial, epochs in self._with_epochs(study, pending):
            if should_stop():
                return
            last = self._started.get(trial.number)
            if last is None:
                if reached is None:
                    facts, _ = self._store.insertions.read(study)
                    reached = {text: recorded.shares.keys() for text, recorded in facts.items()}
                last = tracker.start_trial(trial_start(study, trial, reached))
            new = [e for e in logged_epochs(study.metric, trial, epochs) if e.epoch > last]
            if new:
                tracker.log_epochs(trial.number, new)
                last = new[-1].epoch
            self._started[trial.number] = last
            if trial.state == "running":
                continue
            if metrics is None:
                metrics = self._store.metrics.read(study)
            end = trial_end(trial, metrics.get(trial.number, {}))
            assert end is not None
            self._end(tracker, trial.number, end)
        self._end_rejected(study, tracker, {trial.number for trial in trials})

    def _with_epochs(
        self, study: StudyRecord, trials: Sequence[TrialRecord]
    ) -> Iterator[tuple[TrialRecord, list[EpochRecord]]]:
        """Trials with their epochs, which are read in parts.

        The epochs of a trial are read after its state, so those of a trial that has ended are all
        of them.
        """
        for first in range(0, len(trials), TRIALS_PER_READING):
            part = trials[first : first + TRIALS_PER_READING]
            epochs: dict[int, list[EpochRecord]] = {trial.number: [] for trial in part}
            for epoch in self._store.epochs.read_of_trials(study, list(epochs)):
                epochs[epoch.number].append(epoch)
            yield from ((trial, epochs[trial.number]) for trial in part)

    def _end_rejected(self, study: StudyRecord, tracker: Tracker, present: set[int]) -> None:
        """End the runs of trials that a cost limit has rejected: they leave no record."""
        missing = self._started.keys() - present
        if not missing:
            return
        reasons = {r.number: r for r in self._store.trials.read_rejections(study)}
        for number in sorted(missing):
            rejection = reasons.get(number)
            facts = {} if rejection is None else {"note": rejection.reason}
            ended = time.time() if rejection is None else rejection.rejected_at.timestamp()
            self._end(tracker, number, TrialEnd("rejected", {}, facts, ended))

    def _end(self, tracker: Tracker, number: int, end: TrialEnd) -> None:
        tracker.end_trial(number, end)
        self._started.pop(number, None)
        self._complete.add(number)

    def _update_progress(self, study: StudyRecord, tracker: Tracker) -> None:
        """Log what the search had concluded after the trials that have ended since."""
        trials = self._store.trials.read(study)
        ended = sorted(
            (trial for trial in trials if trial.state != "running"),
            key=lambda trial: (trial.finished_at or trial.started_at, trial.number),
        )
        if len(ended) == self._analysed:
            return
        for count in progress_steps(tracker.last_progress(), len(ended)):
            findings = analyse(study, ended[:count], read_model(self._store, study))
            tracker.log_progress(study_progress(findings, ended[:count]))
        self._analysed = len(ended)


def progress_steps(logged: int, ended: int) -> list[int]:
    """After how many trials the conclusions of a study are logged.

    Args:
        logged: the last such number that was logged.
        ended: the number of trials that have ended.

    Returns:
        At most `MAX_PROGRESS_STEPS` numbers, the last of which is `ended`.
    """
    new = ended - logged
    if new <= 0:
        return []
    steps = 1 if ended > MAX_TRIALS_FOR_STEPS else min(new, MAX_PROGRESS_STEPS)
    return [logged + (new * (i + 1)) // steps for i in range(steps)]
