"""The trials of a study's alternatives to attention, which run beside the search.

An alternative (`studies/alternatives.py`) is no architecture of the space. So its trials are not
proposals: the sampler, the pruner and Optuna never learn of them, they have numbers of their own
from `FIRST_ALTERNATIVE_NUMBER`, and they do not count as trials of the plan. Their time counts.

Once no baseline is missing, each alternative is trained with every seed with which the bare
backbone is complete, so that the two are paired. These trials are never pruned, and no cost limit
applies to them. One that was interrupted resumes as any other does. If one fails, its alternative
is not trained again in this run, and the search goes on; the next run tries that seed once more.

The only write before a trial runs is its start. Before that, nothing is known of it, and the same
trial is the next one again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from ...errors import AttentuneError
from ...machine_faults import machine_fault
from ...runners.recipe import Recipe
from ...runners.results import Job
from ...sanitize import clean_error
from ...spaces.architecture import Architecture
from ...studies.alternatives import (
    ALTERNATIVE_ROLES,
    CONFIRMING_ALTERNATIVE_ROLES,
    Alternative,
    AlternativeKind,
    AlternativesPlan,
)
from ...studies.records import (
    FIRST_ALTERNATIVE_NUMBER,
    FIRST_CONFIRMING_ALTERNATIVE_NUMBER,
    TrialRecord,
)
from ...studies.stored_config import ConfirmPlan
from ...studies.text.alternatives import KIND_TITLES
from ..trial_source import Proposal, record_starts
from .study_run import StudyRun

logger = logging.getLogger(__name__)


class ExtraTrials(Protocol):
    """Trials that a coordinator runs beside those of its trial source, and does not count."""

    def recover(self) -> list[TrialRecord]:
        """The trials that an earlier run has left unfinished, by number."""

    def next_trial(self, *, only_these_left: bool) -> Proposal | None:
        """The next trial that should run now; None if there is none.

        Args:
            only_these_left: whether all trials of the trial source have started.
        """

    def job(self, job: Job, role: str) -> Job:
        """A job as the coordinator would give it to an architecture, changed for a trial."""

    def write_pending(self) -> None:
        """Record the trials that have started since the last call."""

    def on_trial_end(self, trial: TrialRecord) -> None:
        """A trial has ended: one of these, or one of the trial source."""


class NoExtraTrials:
    """Nothing runs beside the trials of the trial source."""

    def recover(self) -> list[TrialRecord]:
        """No trials."""
        return []

    def next_trial(self, *, only_these_left: bool) -> Proposal | None:
        """No trial."""
        del only_these_left
        return None

    def job(self, job: Job, role: str) -> Job:
        """The job as it is."""
        del role
        return job

    def write_pending(self) -> None:
        """Do nothing."""

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Do nothing."""


class AlternativeTrials:
    """Trains the alternatives of a study with the seeds of its bare backbone.

    Args:
        run: the study, with the recipe of the bare backbone.
        plan: its alternatives.
        data_keys: of the prepared data of each alternative, by kind. An alternative without one
            cannot be trained in this run.
        is_due: whether alternatives may start now, in a search: no baseline should be missing.
        confirmation: the plan of the confirmation to which the trials belong; None: they belong to
            the search. They confirm on the first split, once everything else has started.
    """

    def __init__(
        self,
        run: StudyRun,
        plan: AlternativesPlan,
        data_keys: Mapping[AlternativeKind, str],
        is_due: Callable[[], bool] = lambda: False,
        confirmation: ConfirmPlan | None = None,
    ) -> None:
        self._trials, self._record, self._recipe = run.store.trials, run.record, run.config.recipe
        self._plan, self.data_keys, self._is_due = plan, data_keys, is_due
        self._confirmation, confirms = confirmation, confirmation is not None
        self._roles = CONFIRMING_ALTERNATIVE_ROLES if confirms else ALTERNATIVE_ROLES
        first_number = FIRST_CONFIRMING_ALTERNATIVE_NUMBER if confirms else FIRST_ALTERNATIVE_NUMBER
        self._bare = str(Architecture(run.config.backbone))
        self._seeds: set[int] = set()
        self._started: set[tuple[AlternativeKind, int]] = set()
        self._failed: set[AlternativeKind] = set()
        self._pending: list[Proposal] = []
        self._earlier = self._trials.read_alternatives(self._record, confirming=confirms)
        self._number = max((trial.number for trial in self._earlier), default=first_number - 1)
        for trial in self._earlier:
            if trial.alternative is not None and trial.state != "failed":
                self._started.add((trial.alternative, trial.seed))
        for trial in self._trials.read(self._record, state="complete", confirming=confirms):
            self.on_trial_end(trial)

    def recover(self) -> list[TrialRecord]:
        """The unfinished trials of alternatives that can be trained in this run."""
        running = (trial for trial in self._earlier if trial.state == "running")
        return [trial for trial in running if trial.alternative in self.data_keys]

    def next_trial(self, *, only_these_left: bool) -> Proposal | None:
        """The next alternative and seed, seed by seed; see `ExtraTrials.next_trial`."""
        if not (only_these_left or self._is_due()):
            return None
        for seed in sorted(self._seeds):
            for alternative in self._plan.alternatives:
                kind = alternative.kind
                can_run = kind in self.data_keys and kind not in self._failed
                if can_run and (kind, seed) not in self._started:
                    return self._propose(alternative, seed)
        return None

    def _propose(self, alternative: Alternative, seed: int) -> Proposal:
        self._started.add((alternative.kind, seed))
        self._number += 1
        role = self._roles[alternative.kind]
        architecture = Architecture(alternative.backbone)
        proposal = Proposal(self._number, architecture, seed, role, alternative.costs)
        self._pending.append(proposal)
        return proposal

    def job(self, job: Job, role: str) -> Job:
        """A job with the recipe, data and costs of the alternative, and without limits."""
        alternative = next(a for a in self._plan.alternatives if self._roles[a.kind] == role)
        return alternative_job(job, alternative, self._recipe, self.data_keys[alternative.kind])

    def write_pending(self) -> None:
        """Record the trials that have started since the last call."""
        record_starts(self._trials, self._record, self._pending)

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Note a seed of the bare backbone, or that an alternative cannot be trained."""
        kind = trial.alternative
        if kind is None:
            if trial.state == "complete" and self._is_paired(trial):
                self._seeds.add(trial.seed)
        elif trial.failure is not None:
            self._failed.add(kind)
            logger.warning(
                "The alternative with %s failed (%s) and is not trained again in this run; the "
                "search goes on.",
                KIND_TITLES[kind],
                trial.failure.kind,
            )

    def _is_paired(self, trial: TrialRecord) -> bool:
        """Whether alternatives are trained with the seed of this trial of the search."""
        if trial.architecture != self._bare:
            return False
        return self._confirmation is None or self._confirmation.split_of(trial.seed) == 0


def lack_confirmation(
    plan: AlternativesPlan,
    confirmation: ConfirmPlan,
    confirming: Iterable[TrialRecord],
    trials: Iterable[TrialRecord],
    backbone: str,
) -> bool:
    """Whether an alternative lacks a complete trial with a seed that it should be confirmed with.

    Args:
        plan: the alternatives.
        confirmation: the plan of the confirmation.
        confirming: its trials of architectures.
        trials: its trials of alternatives.
        backbone: that of the study.
    """
    complete = {(t.alternative, t.seed) for t in trials if t.state == "complete"}
    seeds = {
        trial.seed
        for trial in confirming
        if trial.state == "complete" and trial.architecture == backbone
    }
    return any(
        (alternative.kind, seed) not in complete
        for alternative in plan.alternatives
        for seed in seeds
        if confirmation.split_of(seed) == 0
    )


def alternative_job(
    job: Job, alternative: Alternative, recipe: Recipe, data_key: str | None
) -> Job:
    """The job of an alternative's trial, from what an architecture's would be.

    The costs are known already, and are measured against the study's bare backbone, with which a
    worker would not compare it. No cost limit applies.

    Args:
        job: with its number, seed and folder.
        alternative: what to train.
        recipe: that of the bare backbone, from which the alternative's is made.
        data_key: changes with the prepared images.
    """
    return replace(
        job,
        recipe=alternative.recipe(recipe),
        measure=(),
        limits={},
        costs=alternative.costs,
        data_key=data_key,
    )


def prepare_alternatives(
    plan: AlternativesPlan, recipe: Recipe, prepare: Callable[[Recipe], str]
) -> tuple[dict[AlternativeKind, str], dict[AlternativeKind, str]]:
    """Prepare the data of all alternatives.

    Args:
        plan: the alternatives.
        recipe: of the bare backbone.
        prepare: prepares the data of an alternative's recipe and returns their key.

    Returns:
        The keys of the prepared data by kind, and why the other data could not be prepared.
    """
    keys: dict[AlternativeKind, str] = {}
    reasons: dict[AlternativeKind, str] = {}
    for alternative in plan.alternatives:
        try:
            keys[alternative.kind] = prepare(alternative.recipe(recipe))
        except (AttentuneError, OSError) as error:
            reason = machine_fault(error) or clean_error(error)
            reasons[alternative.kind] = reason.partition("\n")[0]
    return keys, reasons
