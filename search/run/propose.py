"""Proposes the next trial of a search.

The order of proposals is fixed:

1. the baselines;
2. the bare backbone with every seed that another architecture has used, so that each result has a
   paired baseline;
3. the architectures that the sampler proposes. One that has run before gets its next seed.

Every proposal depends on the study's seed, the trial's number and what has been recorded, never on
how often the process was started. An architecture above a cost limit is rejected before anything is
built, and so is one with an attention that cannot be used at its site, or that has failed before.
A rejected architecture is no trial of the plan.

A trial is written in a fixed order, and each of these writes is a transaction of its own:

1. to Optuna's tables: the trial with its parameters, and the architecture, seed and role;
2. to attentune's: its start (`record_starts`), its epochs, and its result or rejection;
3. to Optuna's: the end of the trial. For a rejection, the costs were added before 2.

So a crash leaves at most the last write of a trial undone, and `recover` does it at the next start:

- after 1, Optuna alone has the trial: its start, or its rejection, is recorded from what Optuna
  holds, and it runs under the number that it has;
- after 2, Optuna does not know the end yet, and is told.

Before 1, nothing is known of the trial, and it is proposed again. SQLite writes to one log in this
order, so a loss of power also leaves one of these states.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import cast

import optuna
from optuna.trial import FrozenTrial, TrialState

from ...errors import SpaceError
from ...runners.results import Costs, EpochReport, Job
from ...spaces.architecture import Architecture
from ...spaces.attentions.entry import Value
from ...spaces.search_space.bound_space import BoundSpace, Chooser
from ...studies.config import StudyConfig
from ...studies.estimator.rungs import observed_epochs
from ...studies.estimator.study_model import StudyModel
from ...studies.records import BASELINE, SEARCH, StudyRecord, TrialRecord
from ...studies.stored_config import ExpectedGain
from ..samplers.base import SamplerContext
from ..samplers.registry import make_sampler
from ..trial_source import (
    CostLookup,
    Proposal,
    RecordedSearch,
    record_starts,
)
from .admission import Admission
from .baselines import study_baselines
from .gain_forecasts import GainForecasts
from .insertion_recorder import InsertionRecorder
from .optuna_study import OptunaStudy
from .proposal_history import ProposalHistory
from .proposal_store import ProposalStore
from .unfruitful_proposals import UnfruitfulProposals

logger = logging.getLogger(__name__)

ARCHITECTURE_ATTRIBUTE, SEED_ATTRIBUTE, ROLE_ATTRIBUTE = "architecture", "seed", "role"
"""User attributes of a trial in Optuna, from which its start can be recorded after a crash."""


class Proposer:
    """The trial source of a search. Only it calls Optuna's ask and tell for the study."""

    verb = "resume"

    def __init__(
        self,
        store: ProposalStore,
        record: StudyRecord,
        config: StudyConfig,
        space: BoundSpace,
        costs: CostLookup,
        study: OptunaStudy,
        *,
        forecasts: bool = True,
    ) -> None:
        """Read what the study has recorded so far.

        Args:
            store: where proposals and rejections are recorded.
            record: the study in that store.
            config: its sampler, objectives, limits and seed.
            space: its search space on its backbone.
            costs: parameters and MACs of any architecture.
            study: its trials in Optuna.
            forecasts: whether to forecast what more trials will add, and to record it.
        """
        self.store, self.record, self.config = store, record, config
        self.space, self.costs, self.study = space, costs, study
        self.history = ProposalHistory(space.site_map)
        recorded = RecordedSearch(store, record)
        for trial in recorded.trials:
            self.history.record_start(trial.key, trial.seed)
            self.history.record_state(trial)
        self.history.rejected.update(
            {rejection.key: rejection.reason for rejection in store.trials.read_rejections(record)}
        )
        self.bare = Architecture(config.backbone)
        self.baselines = study_baselines(config.backbone, space)
        self._selection_of = lru_cache(maxsize=1000)(space.selection_of)
        self._pending: list[Proposal] = []
        observed = observed_epochs(config.recipe.epochs, config.pruning)
        self.model = StudyModel(config.stages, observed, config.pruning.signal)
        self.model.add_epochs(recorded.epochs)
        self._insertions = InsertionRecorder(store.insertions, record, space.site_map, self.model)
        context = SamplerContext(config, space, costs, self.history)
        self.sampler = make_sampler(context)
        self.sampler.replay(recorded)
        self._forecasts: GainForecasts | None = None
        if forecasts:
            self._forecasts = GainForecasts(store.studies, record, context, self.sampler)
            self._forecasts.histories.replay(recorded.trials, recorded.epochs)
        self._admission = Admission(costs, config.limits, self.history)
        self._unfruitful = UnfruitfulProposals(space, config.limits, costs, self.history)

    def expected_gain(self) -> ExpectedGain | None:
        """What more trials will add, as last forecast; None if that is unknown."""
        return self._forecasts.update() if self._forecasts else None

    def next_trial(self) -> Proposal:
        """The next trial. `write_pending` must be called once a worker has it.

        Raises:
            SpaceError: nothing is left to propose, or a thousand proposals in a row are rejected.
        """
        for architecture, seed in self._missing_baselines():
            if proposal := self._propose_baseline(architecture, seed):
                return proposal
        while True:
            if proposal := self._propose_sampled():
                return proposal

    def _missing_baselines(self) -> Iterator[tuple[Architecture, int]]:
        """Baselines that have not run, then the bare backbone with seeds that others have used."""
        for architecture in self.baselines:
            key = architecture.key
            if key not in self.history.rejected and self.history.lacks(key, self.config.seed):
                yield architecture, self.config.seed
        for seed in self.history.lacking_seeds(self.bare.key):
            yield self.bare, seed

    def lacks_baselines(self) -> bool:
        """Whether a baseline still has to start."""
        return any(self._missing_baselines())

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Tell the sampler about an epoch of trial `number`."""
        self._unfruitful.on_epoch(number)
        self.model.on_epoch(number, report)
        self.sampler.on_epoch(number, report)
        if self._forecasts:
            self._forecasts.histories.on_epoch(number, report)

    def job(self, job: Job) -> Job:
        """The job unchanged: all trials of a search have the study's recipe and data."""
        return job

    def ask_ahead(self, job: Job, score: float) -> None:
        """Let the sampler select the next architecture, unless a baseline comes first."""
        if not self.lacks_baselines():
            self.sampler.ask_ahead(self.study.count, job, score)

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Tell the sampler how a trial ended, and Optuna unless it was told before."""
        self.history.record_state(trial)
        self.sampler.on_trial_end(trial)
        if self._forecasts:
            self._forecasts.histories.on_trial_end(trial)
        if not self.study.trial(trial.number).state.is_finished():
            self._tell_end(trial)

    def _tell_end(self, trial: TrialRecord) -> None:
        """Tell Optuna how a trial ended; nothing happens if it is running."""
        if trial.state == "complete":
            values = trial.values
            self.study.tell(trial.number, [float(values[key]) for key in self.config.keys])
        elif trial.state == "pruned":
            self.study.tell(trial.number, state=TrialState.PRUNED)
        elif trial.state == "failed":
            self.study.tell(trial.number, state=TrialState.FAIL)

    def reject(self, number: int, architecture: Architecture, costs: Costs, reason: str) -> None:
        """Record that a cost exceeds its limit; for Optuna's samplers it is a constraint.

        Args:
            number: of the trial.
            architecture: that the trial would have trained.
            costs: its costs, as far as they are known.
            reason: which limit is exceeded, as a sentence.

        Raises:
            SpaceError: it is the bare backbone, so no architecture is within the limits.
        """
        self._record_rejection(number, architecture, self._admission.constraints(costs), reason)
        if architecture == self.bare:
            raise SpaceError(f"the bare {architecture} exceeds a limit itself: {reason}")
        self._unfruitful.on_measured_rejection(reason)

    def _record_rejection(
        self, number: int, architecture: Architecture, constraints: Mapping[str, float], reason: str
    ) -> None:
        self.study.constrain(number, constraints)
        self.study.write()  # Only Optuna keeps these costs, so they are written first.
        self.store.trials.reject(self.record, architecture, reason, number=number)
        seed = self.study.trial(number).user_attrs[SEED_ATTRIBUTE]
        self.history.record_rejection(architecture.key, seed, reason)
        self.study.tell(number, state=TrialState.PRUNED)

    def recover(self) -> list[TrialRecord]:
        """Do the writes that a crash has left undone, see above; return all trials by number."""
        trials = self.store.trials.read(self.record)
        self._insertions.record(trial.parsed for trial in trials)
        recorded = {trial.number: trial for trial in trials}
        rejected = {
            rejection.number: rejection.architecture
            for rejection in self.store.trials.read_rejections(self.record)
        }
        self._restore_missing(recorded, rejected)
        for trial in list(self.study.trials):
            if trial.state.is_finished():
                continue
            if trial.number in recorded:
                self._tell_end(recorded[trial.number])
            elif trial.number in rejected:
                self.study.tell(trial.number, state=TrialState.PRUNED)
            else:
                self._recover_start(trial)
        self.study.write()
        if self._pending:
            self._insertions.record(proposal.architecture for proposal in self._pending)
            record_starts(self.store.trials, self.record, self._pending)
            trials = self.store.trials.read(self.record)
        return trials

    def _restore_missing(
        self, recorded: Mapping[int, TrialRecord], rejected: Mapping[int | None, str]
    ) -> None:
        """Add to Optuna the recorded trials that it lacks, because somebody removed its study.

        Args:
            recorded: the trials of the study by number.
            rejected: the architectures that exceeded a limit, by number.
        """
        known, last = self.study.count, max(recorded, default=-1)
        if known <= last:
            logger.warning(
                "Optuna's part of the study %r lacks the trials from %d to %d; they are added "
                "again from attentune's records",
                self.record.name,
                known,
                last,
            )
        for number in range(known, last + 1):
            record = recorded.get(number)
            text = record.architecture if record else rejected.get(number)
            architecture = self.bare if text is None else Architecture.parse(text)
            trial = self._ask_for(architecture)
            costs, _ = self._admission.examine(architecture, BASELINE)
            if record is not None:
                self._save(trial, architecture, record.seed, record.role, costs)
            else:  # It was rejected, or nothing is known about it.
                self._save(trial, architecture, self.config.seed, SEARCH, costs)
                self.study.tell(number, state=TrialState.PRUNED if text else TrialState.FAIL)

    def _recover_start(self, trial: FrozenTrial) -> None:
        """Record the start, or the rejection, of a trial that only Optuna has.

        A trial that another program has added, or that cannot run, counts as failed.
        """
        attributes = trial.user_attrs
        try:
            architecture = Architecture.parse(attributes[ARCHITECTURE_ATTRIBUTE])
            seed, role = int(attributes[SEED_ATTRIBUTE]), str(attributes[ROLE_ATTRIBUTE])
            costs, reason = self._admission.examine(architecture, role)
        except (KeyError, TypeError, ValueError):
            self.study.tell(trial.number, state=TrialState.FAIL)
            return
        if seed in self.history.seeds[architecture.key]:
            self.study.tell(trial.number, state=TrialState.FAIL)
            return
        proposal = Proposal(trial.number, architecture, seed, role, costs)
        if reason is None:
            self._start(proposal)
        else:
            self._reject_unbuilt(proposal, reason)

    def _propose_baseline(self, architecture: Architecture, seed: int) -> Proposal | None:
        return self._accept(self._ask_for(architecture), architecture, seed, BASELINE)

    def _ask_for(self, architecture: Architecture) -> optuna.Trial:
        """A new trial of this architecture, without parameters if the space does not hold it."""
        selection = self._selection_of(architecture)
        trial = self.study.ask(fixed=selection)
        if selection is not None:
            self.space.choose_architecture(_suggest(trial))
        return trial

    def _propose_sampled(self) -> Proposal | None:
        number = self.study.count
        sampler = self.sampler.optuna_sampler(number)
        trial = self.study.ask(sampler, fixed=self.sampler.select(number))
        architecture = self.space.choose_architecture(_suggest(trial))
        seed = self.history.unused_seed(architecture.key, self.config.seed)
        return self._accept(trial, architecture, seed, SEARCH)

    def _accept(
        self, trial: optuna.Trial, architecture: Architecture, seed: int, role: str
    ) -> Proposal | None:
        """The proposal; None if the architecture was rejected."""
        costs, reason = self._admission.examine(architecture, role)
        if reason is None and role == SEARCH:
            self._unfruitful.on_proposal(trial.number, architecture)
        self._save(trial, architecture, seed, role, costs)
        proposal = Proposal(trial.number, architecture, seed, role, costs)
        if reason is None:
            return self._start(proposal)
        self._reject_unbuilt(proposal, reason)
        if role == SEARCH:
            self._unfruitful.on_rejection(reason)
        return None

    def _save(
        self,
        trial: optuna.Trial,
        architecture: Architecture,
        seed: int,
        role: str,
        costs: Costs | None,
    ) -> None:
        """Queue a new trial for Optuna's tables, with the attributes of attentune's trials."""
        trial.set_user_attr(ARCHITECTURE_ATTRIBUTE, str(architecture))
        trial.set_user_attr("key", architecture.key)
        trial.set_user_attr(SEED_ATTRIBUTE, seed)
        trial.set_user_attr(ROLE_ATTRIBUTE, role)
        self.study.save(trial, self._admission.constraints(costs))

    def _reject_unbuilt(self, proposal: Proposal, reason: str) -> None:
        """Reject a trial that Optuna has, without building its network.

        Raises:
            SpaceError: it is the bare backbone, so no architecture is within the limits.
        """
        constraints = self._admission.constraints(proposal.costs)
        self._record_rejection(proposal.number, proposal.architecture, constraints, reason)
        if proposal.architecture == self.bare:
            raise SpaceError(f"the bare {self.bare} exceeds a limit itself: {reason}")

    def _start(self, proposal: Proposal) -> Proposal:
        self.history.record_start(proposal.architecture.key, proposal.seed)
        self._pending.append(proposal)
        return proposal

    def write_pending(self) -> None:
        """Write to the database the proposals, and to Optuna's tables the results, since the last
        call.

        After a crash before that, the same trials are proposed again, and `recover` does the rest.
        """
        self.study.write()
        self._insertions.record(proposal.architecture for proposal in self._pending)
        record_starts(self.store.trials, self.record, self._pending)
        self.sampler.prepare()
        self.expected_gain()


def _suggest(trial: optuna.Trial) -> Chooser:
    """A function that makes the decisions of an architecture with an Optuna trial."""

    def choose(name: str, choices: Sequence[Value]) -> Value:
        return cast(Value, trial.suggest_categorical(name, list(choices)))

    return choose
