"""MLflow: an experiment called as the study, one parent run for it, and a nested run a trial."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.tracking import MlflowClient

from ...errors import StoreError
from ..records import StudyRecord
from .logged_values import (
    LoggedEpoch,
    LoggedStart,
    Parameter,
    StudyProgress,
    TrialEnd,
    study_parameters,
)

STUDY_TAG, NUMBER_TAG = "attentune.study", "attentune.trial"
"""Tags by which the runs of a study are recognised; that of the study itself has no number."""
EPOCH_METRIC = "train/loss"
PROGRESS_METRIC = "front/size"
MAX_METRICS_PER_CALL = 1000
MAX_PARAMETERS_PER_CALL = 100
MAX_TAG_LENGTH = 5000
"""Limits of MLflow's server."""
_NOT_IN_NAMES = re.compile(r"[^\w\-./ ]")
_ENDED = ("FINISHED", "FAILED", "KILLED")


class MLflowTracker:
    """A study in MLflow; see `Tracker`."""

    def __init__(self, study: StudyRecord, place: str | None) -> None:
        """Create the experiment and the study's run, or continue them.

        Args:
            study: to be logged.
            place: a tracking URI; None: $MLFLOW_TRACKING_URI, else MLflow's default.
        """
        self._study, self._client = study, MlflowClient(tracking_uri=place)
        self._experiment = self._find_experiment()
        self._runs: dict[int, str] = {}
        self._complete: set[int] = set()
        self._parent: str | None = None
        for run in self._read_runs():
            number = run.data.tags.get(NUMBER_TAG)
            if number is None:
                self._parent = run.info.run_id
                continue
            self._runs[int(number)] = run.info.run_id
            if run.info.status in _ENDED:
                self._complete.add(int(number))
        if self._parent is None:
            self._parent = self._create_run(study.name, study.created_at.timestamp(), {})
            self._log_parameters(self._parent, study_parameters(study))
        else:
            self._client.update_run(self._parent, status="RUNNING")
        self._progress: int | None = None

    def is_complete(self, number: int) -> bool:
        """Whether all of a trial is logged, its end included."""
        return number in self._complete

    def start_trial(self, trial: LoggedStart) -> int:
        """Begin the run of a trial, or continue it; the last epoch that it has, or 0."""
        run = self._runs.get(trial.number)
        if run is not None:
            self._client.update_run(run, status="RUNNING")
            self._log_parameters(run, trial.parameters)
            return self._last_step(run, EPOCH_METRIC)
        assert self._parent is not None
        tags = {
            NUMBER_TAG: str(trial.number),
            "mlflow.parentRunId": self._parent,
            "role": trial.role,
        }
        run = self._create_run(trial.name, trial.started_at, tags)
        self._runs[trial.number] = run
        self._log_parameters(run, trial.parameters)
        return 0

    def log_epochs(self, number: int, epochs: Sequence[LoggedEpoch]) -> None:
        """Log epochs of a trial whose run was started here.

        Args:
            number: of the trial.
            epochs: later than those that the run has.
        """
        metrics = [m for epoch in epochs for m in _metrics(epoch.metrics, epoch.time, epoch.epoch)]
        for first in range(0, len(metrics), MAX_METRICS_PER_CALL):
            part = metrics[first : first + MAX_METRICS_PER_CALL]
            self._client.log_batch(self._runs[number], metrics=part)

    def end_trial(self, number: int, end: TrialEnd) -> None:
        """Log the result of a trial whose run was started here, and end the run."""
        step = int(end.metrics.get("epochs", 0))
        self._client.log_batch(
            self._runs[number],
            metrics=_metrics(end.metrics, end.ended_at, step),
            tags=_tags({"state": end.state, **end.facts}),
        )
        status = "FINISHED" if end.succeeded else "FAILED"
        self._client.set_terminated(self._runs[number], status, _milliseconds(end.ended_at))
        self._complete.add(number)

    def last_progress(self) -> int:
        """`StudyProgress.ended` of what was logged last of the study; 0 before."""
        assert self._parent is not None
        if self._progress is None:
            self._progress = self._last_step(self._parent, PROGRESS_METRIC)
        return self._progress

    def log_progress(self, progress: StudyProgress) -> None:
        """Log what the search has concluded."""
        assert self._parent is not None
        self._client.log_batch(
            self._parent,
            metrics=_metrics(progress.metrics, progress.time, progress.ended),
            tags=_tags(progress.facts),
        )
        self._progress = progress.ended

    def close(self) -> None:
        """End the run of the study. The runs of unfinished trials stay as they are."""
        if self._parent is not None:
            self._client.set_terminated(self._parent, "FINISHED")

    def _find_experiment(self) -> str:
        experiment = self._client.get_experiment_by_name(self._study.name)
        if experiment is None:
            created: str = self._client.create_experiment(self._study.name)
            return created
        if experiment.lifecycle_stage != "active":
            raise StoreError(
                f"the experiment {self._study.name!r} was deleted in MLflow; restore it there, or "
                "delete it for good"
            )
        identity: str = experiment.experiment_id
        return identity

    def _read_runs(self) -> Iterator[Any]:
        """The runs of this study that are not deleted."""
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                f"tags.`{STUDY_TAG}` = '{self._study.folder}'",
                ViewType.ACTIVE_ONLY,
                max_results=1000,
                page_token=token,
            )
            yield from page
            token = page.token
            if not token:
                return

    def _create_run(self, name: str, started_at: float, tags: Mapping[str, str]) -> str:
        run = self._client.create_run(
            self._experiment,
            start_time=_milliseconds(started_at),
            tags={STUDY_TAG: self._study.folder, **tags},
            run_name=name,
        )
        run_id: str = run.info.run_id
        return run_id

    def _log_parameters(self, run: str, parameters: Mapping[str, Parameter]) -> None:
        """Log parameters; MLflow accepts one twice if its value is the same."""
        params = [
            Param(_NOT_IN_NAMES.sub("_", name), str(value))
            for name, value in parameters.items()
            if value != ""
        ]
        for first in range(0, len(params), MAX_PARAMETERS_PER_CALL):
            part = params[first : first + MAX_PARAMETERS_PER_CALL]
            self._client.log_batch(run, params=part)

    def _last_step(self, run: str, metric: str) -> int:
        history = self._client.get_metric_history(run, metric)
        return max((entry.step for entry in history), default=0)


def _metrics(metrics: Mapping[str, float], time: float, step: int) -> list[Metric]:
    return [
        Metric(_NOT_IN_NAMES.sub("_", name), value, _milliseconds(time), step)
        for name, value in metrics.items()
    ]


def _tags(facts: Mapping[str, str]) -> list[RunTag]:
    return [RunTag(name, fact[:MAX_TAG_LENGTH]) for name, fact in facts.items()]


def _milliseconds(seconds: float) -> int:
    return round(1000 * seconds)
