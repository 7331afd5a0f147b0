"""Records what workers report of running trials, several reports in one transaction.

With hundreds of workers, tens of reports arrive while one is handled. A transaction for each would
take longer than all that follows from it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...errors import AttentuneError
from ...runners.events import EpochDone, Event, Finished, Measured, Started
from ...runners.results import Costs
from ...studies.database.store import Store
from ...studies.records import StudyRecord, TrialRecord
from .callback import RunningTrial
from .study_jobs import StudyJobs

MAX_REPORTS_TOGETHER = 200
"""Reports in one transaction; old versions of SQLite take 999 values in a statement."""

Report = Started | Measured | EpochDone | Finished
logger = logging.getLogger(__name__)


class ReportRecorder:
    """Records the reports of one study's trials: their workers, costs, epochs and results.

    Args:
        store: the database.
        record: the study in it.
        jobs: know the latencies that the study has measured.
    """

    def __init__(self, store: Store, record: StudyRecord, jobs: StudyJobs) -> None:
        self._store, self._record, self._jobs = store, record, jobs
        self._recorded: dict[int, tuple[Report, bool]] = {}
        self._ended: dict[int, TrialRecord] = {}

    def record_together(self, events: Sequence[Event], trials: Mapping[int, RunningTrial]) -> None:
        """Record what has been reported, before anything of it is handled.

        If that fails, nothing is recorded. `record` then records each report by itself, so that one
        that cannot be recorded concerns its own trial alone.

        Args:
            events: from the workers.
            trials: that are running, by number; reports of others are left out.
        """
        self._recorded.clear()
        self._ended.clear()
        reports = [e for e in events if isinstance(e, Report) and e.number in trials]
        if len(reports) < 2:
            return
        for begin in range(0, len(reports), MAX_REPORTS_TOGETHER):
            part = reports[begin : begin + MAX_REPORTS_TOGETHER]
            try:
                new = self._write(part, trials)
            except AttentuneError as error:
                logger.debug("%d reports are recorded one by one: %r", len(part), error)
                return
            for report in part:
                self._recorded[id(report)] = (report, _is_new(report, new))
        ended = [report.number for report in reports if isinstance(report, Finished)]
        if len(ended) > 1:
            records = self._store.trials.get_many(self._record, ended)
            self._ended = {record.number: record for record in records}

    def ended_trial(self, number: int) -> TrialRecord:
        """The record of a trial that has ended."""
        return self._ended.pop(number, None) or self._store.trials.get(self._record, number)

    def record(self, report: Report, trial: RunningTrial) -> bool:
        """Record a report of a running trial, unless it is recorded.

        Returns:
            Whether it is new; an epoch is not if it was repeated after an interruption.
        """
        if (recorded := self._recorded.pop(id(report), None)) is not None:
            return recorded[1]
        return _is_new(report, self._write([report], {report.number: trial}))

    def _write(
        self, reports: Sequence[Report], trials: Mapping[int, RunningTrial]
    ) -> set[tuple[int, int]]:
        """Write reports in one transaction; return the epochs that are new, by trial and epoch."""
        epochs = [(e.number, e.report) for e in reports if isinstance(e, EpochDone)]

        ends = any(isinstance(report, Finished) for report in reports)

        def write() -> set[tuple[int, int]]:
            with self._store.begin("commit" if ends else "write"):
                for report in reports:
                    self._write_facts(report, trials[report.number])
                return self._store.epochs.record_all(self._record, epochs) if epochs else set()

        return self._store.retry(write)

    def _write_facts(self, report: Report, trial: RunningTrial) -> None:
        """Write what is no epoch."""
        trials, number = self._store.trials, report.number
        match report:
            case Started():
                trials.set_worker(self._record, number, report.worker)
            case Measured():
                trials.set_costs(self._record, number, self._share_latency(trial, report.costs))
            case Finished():
                costs = self._share_latency(trial, report.result.costs)
                trials.finish(self._record, number, replace(report.result, costs=costs))

    def _share_latency(self, trial: RunningTrial, costs: Costs) -> Costs:
        """Costs of a trial; their latency is that of the architecture's first trial."""
        trial.costs = self._jobs.share_latency(trial.architecture, trial.role, costs)
        return trial.costs


def _is_new(report: Report, new_epochs: set[tuple[int, int]]) -> bool:
    if isinstance(report, EpochDone):
        return (report.number, report.report.epoch) in new_epochs
    return True
