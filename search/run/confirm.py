"""Confirming a study: finalists and baselines again, longer, with fresh seeds, on the test split.

The coordinator of a search runs the trials, so they resume in the same way. They are planned once,
and the plan is kept with the study. A later call continues with it; finalists that a longer search
has found since are added. All finalists count in the correction for multiple comparisons.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ...errors import StudyError
from ...runners.results import Costs, EpochReport, Job
from ...spaces.architecture import Architecture
from ...studies.analysis.analyse import analyse
from ...studies.analysis.confirmation import Confirmation, analyse_confirmation, finalists
from ...studies.config import Pruning, RunPlan, validated
from ...studies.database.store import Store
from ...studies.records import CONFIRM, FIRST_CONFIRMING_NUMBER, StudyRecord, TrialRecord
from ...studies.stored_config import ConfirmPlan
from ...studies.text.formatting import duration, plural
from ..trial_source import Proposal, record_starts
from .study_run import StudyRun

DEFAULT_FINALISTS = 3
DEFAULT_SEEDS = 5
DEFAULT_EPOCH_FACTOR = 2.5
"""Epochs of a confirming trial, as a multiple of the search's."""
FRESH_SEED_OFFSET = 1_000_000
"""Seeds of a confirmation lie so far above the study's own, which the search counts up from."""


@dataclass(frozen=True)
class ConfirmRequest:
    """What to confirm and how; what is None stays as it was planned before, or is the default.

    Attributes:
        top: finalists, from the Pareto front.
        seeds: fresh seeds for each architecture.
        epochs: of a confirming trial.
        workers: trials at once.
        device: as in a `RunPlan`.
    """

    top: int | None = None
    seeds: int | None = None
    epochs: int | None = None
    workers: int | None = None
    device: str | None = None


@dataclass(frozen=True)
class StudyTrials:
    """A study's trials when a confirmation begins, by number; a large study is read only once.

    Attributes:
        searched: of the search, in whatever state.
        confirming: of earlier calls.
    """

    searched: list[TrialRecord]
    confirming: list[TrialRecord]

    @classmethod
    def read(cls, store: Store, record: StudyRecord) -> StudyTrials:
        """Those that the database holds now."""
        return cls(store.trials.read(record), store.trials.read(record, confirming=True))


def plan_confirmation(
    run: StudyRun, trials: StudyTrials, request: ConfirmRequest
) -> tuple[StudyRun, ConfirmPlan]:
    """Decide which architectures to confirm and how; the plan is kept with the study.

    Args:
        run: the study.
        trials: what it has recorded.
        request: what is asked for.

    Raises:
        StudyError: the bare backbone is not complete yet, or confirming trials have run with
            another number of epochs.
    """
    record = run.record
    earlier_plan = record.config.confirmation
    if earlier_plan and trials.confirming and request.epochs not in (None, earlier_plan.epochs):
        raise _confirmed_already(record, earlier_plan, request.epochs)
    findings = analyse(record, trials.searched)
    if findings.bare is None:
        raise StudyError(
            f"the bare backbone of {record.name!r} is not complete yet, so there is nothing to "
            f"compare with; continue with `attentune resume`."
        )
    searched_epochs = run.config.recipe.epochs
    epochs = math.ceil(DEFAULT_EPOCH_FACTOR * searched_epochs)
    plan = earlier_plan or ConfirmPlan(
        (), DEFAULT_FINALISTS, DEFAULT_SEEDS, epochs, searched_epochs
    )
    plan = replace(
        plan,
        top=plan.top if request.top is None else request.top,
        seeds=plan.seeds if request.seeds is None else request.seeds,
        epochs=plan.epochs if request.epochs is None else request.epochs,
    )
    chosen = [*findings.baselines, *finalists(findings, plan.top)]
    kept = plan.architectures if trials.confirming else ()
    texts = dict.fromkeys([*kept, *(str(summary.architecture) for summary in chosen)])
    plan = replace(plan, architectures=tuple(texts))
    if plan != earlier_plan:
        record = run.store.studies.update_config(record, record.config.with_confirmation(plan))
    return replace(run, record=record), plan


def read_confirmation(store: Store, study: str) -> Confirmation | None:
    """What a study's confirming trials show so far; None if no confirmation was begun."""
    record = store.studies.get(study)
    findings = analyse(record, store.trials.read(record))
    return analyse_confirmation(record, findings, store.trials.read(record, confirming=True))


def _confirmed_already(record: StudyRecord, plan: ConfirmPlan, epochs: int | None) -> StudyError:
    return StudyError(
        f"the finalists of {record.name!r} are confirmed with {plan.epochs} epochs already; "
        f"judging them on the test split a second time would be no confirmation. Leave --epochs "
        f"out to continue, or start a new search with --epochs {epochs}."
    )


class ConfirmationSource:
    """The trial source of a confirmation: every architecture with one seed, then with the next.

    So an interrupted confirmation has whole rounds to compare. Trials that failed are tried again
    by the next call.
    """

    def __init__(self, run: StudyRun, plan: ConfirmPlan, trials: StudyTrials) -> None:
        """Find out what is left to do.

        Args:
            run: the study, as it was searched.
            plan: what to confirm.
            trials: what has been recorded.
        """
        self.store, self.record, self.plan = run.store, run.record, plan
        self._first_seed = run.config.seed + FRESH_SEED_OFFSET
        self._searched = [trial for trial in trials.searched if trial.state == "complete"]
        self._trials = trials.confirming
        self._number = max(
            (trial.number for trial in self._trials), default=FIRST_CONFIRMING_NUMBER - 1
        )
        self._pending: list[Proposal] = []
        self.missing = list(self._missing())

    def _missing(self) -> Iterator[tuple[Architecture, int]]:
        """Architectures and seeds that have not run."""
        known = {(trial.architecture, trial.seed) for trial in self._trials if not trial.failure}
        for seed in range(self._first_seed, self._first_seed + self.plan.seeds):
            for text in self.plan.architectures:
                if (text, seed) not in known:
                    yield Architecture.parse(text), seed

    @property
    def total(self) -> int:
        """Trials in all, those that have run or failed included."""
        return len(self._trials) + len(self.missing)

    @property
    def unfinished(self) -> int:
        """Trials that have to start or to resume."""
        return len(self.missing) + sum(trial.state == "running" for trial in self._trials)

    def announcement(self, workers: int) -> str:
        """What is going to happen, and how long it may take at the pace of the search."""
        plan = self.plan
        line = (
            f"{len(plan.architectures)} architectures × {plan.seeds} fresh seeds × "
            f"{plural(plan.epochs, 'epoch')}, judged on the test split; "
            f"{plural(self.unfinished, 'trial')} to run"
        )
        epochs = sum(trial.epochs for trial in self._searched)
        seconds = sum(trial.seconds or 0.0 for trial in self._searched)
        if epochs and seconds:
            rounds = math.ceil(self.unfinished / workers)
            line += f", about {duration(rounds * plan.epochs * seconds / epochs)}"
        return line

    def recover(self) -> list[TrialRecord]:
        """All confirming trials so far, by number; nothing needs repair."""
        return self._trials

    def next_trial(self) -> Proposal:
        """The next architecture and seed."""
        architecture, seed = self.missing.pop(0)
        self._number += 1
        costs = self._known_costs(architecture)
        proposal = Proposal(self._number, architecture, seed, CONFIRM, costs)
        self._pending.append(proposal)
        return proposal

    def _known_costs(self, architecture: Architecture) -> Costs | None:
        same = (trial for trial in self._searched if trial.key == architecture.key)
        trial = next(same, None)
        return None if trial is None else trial.counted_costs

    def write_pending(self) -> None:
        """Record the trials that have started since the last call."""
        record_starts(self.store.trials, self.record, self._pending)

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Nothing depends on an epoch."""

    def ask_ahead(self, job: Job, accuracy: float) -> None:
        """All trials are planned already."""

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Nothing depends on how a trial ended."""

    def reject(self, _number: int, architecture: Architecture, _costs: Costs, reason: str) -> None:
        """Cannot happen: a confirmation has no limits."""
        raise AssertionError(f"{architecture} was rejected: {reason}")


def confirmation_run(
    run: StudyRun, plan: ConfirmPlan, request: ConfirmRequest, trials: int
) -> StudyRun:
    """How confirming trials run: as long as planned, and compared by accuracy alone.

    None of them is pruned, since all are judged on the test split at their end.

    Args:
        run: the study as it was searched.
        plan: what to confirm.
        request: which workers and device to use, if not those of the search.
        trials: how many confirming trials there are in all.

    Raises:
        UsageError: a value is out of range.
    """
    changes = {
        "recipe": run.config.recipe.model_copy(update={"epochs": plan.epochs}),
        "objectives": ("accuracy",),
        "limits": {},
        "pruning": Pruning(),
    }
    run_plan: RunPlan = validated(
        RunPlan,
        "confirm",
        trials=trials,
        trial_timeout=run.plan.trial_timeout,
        workers=request.workers or run.plan.workers,
        workers_per_gpu=run.plan.workers_per_gpu,
        pool=run.plan.pool,
        device=request.device or run.plan.device,
    )
    return replace(run, config=run.config.model_copy(update=changes), plan=run_plan)
