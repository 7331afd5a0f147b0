"""What workers have to do for the trials of a study: their jobs."""

from __future__ import annotations

from ...runners.results import Costs, Job
from ...spaces.architecture import Architecture
from ...studies.records import TrialRecord, is_confirming
from ..trial_source import Proposal
from .lost_workers import LostWorkers
from .shared_latencies import SharedLatencies
from .study_run import StudyRun


class StudyJobs:
    """Makes the jobs of a study, with its settings and the latencies that it has measured.

    Args:
        run: the study.
        lost_workers: says in how many micro-batches a trial is trained.
    """

    def __init__(self, run: StudyRun, lost_workers: LostWorkers) -> None:
        self._run, self._lost_workers = run, lost_workers
        trials: list[TrialRecord] = []
        if "latency_ms" in run.config.measured:
            repository = run.store.trials
            trials = repository.read(run.record) + repository.read(run.record, confirming=True)
        self._latencies = SharedLatencies(trials)

    def share_latency(self, architecture: Architecture, role: str, costs: Costs) -> Costs:
        """Costs of a trial with the first latency of its architecture; see `SharedLatencies`.

        Args:
            architecture: that the trial trains.
            role: of the trial.
            costs: as far as they are known.
        """
        return self._latencies.share(architecture.key, role, costs)

    def make_job(self, proposal: Proposal) -> Job:
        """What a worker has to do for a proposal, with the settings of the study."""
        config, plan, costs = self._run.config, self._run.plan, proposal.costs
        if costs is not None:
            costs = self.share_latency(proposal.architecture, proposal.role, costs)
        record, folders = self._run.record, self._run.store.artifact_folders
        key = folders.trial_key(record, proposal.number)
        return Job(
            number=proposal.number,
            architecture=proposal.architecture,
            recipe=config.recipe,
            seed=proposal.seed,
            folder=folders.of_trial(record, proposal.number),
            folder_url=folders.store_of(record).url_of(key),
            measure=config.measured,
            limits=config.limits,
            costs=costs,
            reference_latency_ms=config.reference_latency_ms,
            reference_latency_error_ms=config.reference_latency_error_ms,
            test=is_confirming(proposal.role),
            data_key=self._run.data_key,
            micro_batches=self._lost_workers.micro_batches(proposal.number),
            memory_limit_mib=plan.trial_memory,
            keep_predictions=plan.keep_predictions,
            max_predictions_mib=plan.predictions_limit_mib,
            metric=config.metric.key,
            evaluation=config.evaluation,
            num_classes=config.num_classes,
        )


def propose_resumed(trial: TrialRecord) -> Proposal:
    """The proposal of a recorded trial. Its costs are None if they were not recorded."""
    architecture = Architecture.parse(trial.architecture)
    return Proposal(
        trial.number,
        architecture,
        trial.seed,
        trial.role,
        trial.counted_costs,
        recorded_epochs=trial.epochs,
    )
