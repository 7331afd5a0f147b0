"""Confirming a study: finalists and baselines again, longer, with fresh seeds, on the test split.

The coordinator runs the trials as in a search, so they resume in the same way. They are planned
once, and the plan is stored with the study. A later call continues with it, and adds the finalists
that a longer search has found since. All finalists count in the correction for multiple
comparisons.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import StudyError, UsageError
from ...runners.data.dataset import DataInfo
from ...runners.recipe import MAX_COUNT, Recipe
from ...runners.results import Costs, EpochReport, Job
from ...sanitize import quote_value
from ...spaces.architecture import Architecture
from ...studies.analysis.confirmation import Confirmation, finalists
from ...studies.config import Pruning, RunPlan, validated
from ...studies.database.store import Store
from ...studies.estimator.study_model import StudyModel
from ...studies.outputs.judged_images import read_confirmation as read_recorded
from ...studies.outputs.read_findings import read_findings
from ...studies.records import CONFIRM, FIRST_CONFIRMING_NUMBER, StudyRecord, TrialRecord
from ...studies.stored_config import (
    MAX_SPLITS,
    SEEDS_PER_SPLIT,
    ConfirmPlan,
    ExpectedGain,
)
from ...studies.text.formatting import duration, plural
from ..trial_source import Proposal, record_starts
from .next_command import resume_command
from .study_run import StudyRun

DEFAULT_FINALISTS = 3
DEFAULT_SEEDS = 5
DEFAULT_EPOCH_FACTOR = 2.5
"""Epochs of a confirming trial, as a multiple of the search's."""
FRESH_SEED_OFFSET = 1_000_000
"""The first seed of a confirmation minus the study's seed, from which the search counts up."""


CONFIRM_RANGES = {
    "top": (1, MAX_COUNT),
    "seeds": (2, SEEDS_PER_SPLIT),
    "splits": (1, MAX_SPLITS),
    "epochs": (1, MAX_COUNT),
    "workers": (1, MAX_COUNT),
    "gpus_per_trial": (1, MAX_COUNT),
}
"""The least and the greatest value of each number of a `ConfirmRequest`."""


@dataclass(frozen=True)
class ConfirmRequest:
    """What to confirm and how. None keeps the value of the earlier plan, or else the default.

    Attributes:
        top: the number of finalists from the Pareto front.
        seeds: the number of fresh seeds per architecture, and per split.
        splits: the number of splits into training, validation and test images.
        epochs: of a confirming trial.
        workers: trials that run at the same time.
        device: as in a `RunPlan`.
        alternatives: whether to confirm the alternatives to attention too; by default if the study
            trains them.
        pool, ray_address: as in a `RunPlan`.
        gpus_per_trial: GPUs on which each trial is trained; None: 1.
    """

    top: int | None = None
    seeds: int | None = None
    splits: int | None = None
    epochs: int | None = None
    workers: int | None = None
    device: str | None = None
    alternatives: bool | None = None
    pool: str | None = None
    ray_address: str | None = None
    gpus_per_trial: int | None = None

    def __post_init__(self) -> None:
        """Raise a UsageError for a number that is out of range."""
        for name, (least, most) in CONFIRM_RANGES.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(
                    f"confirm: {name} has to be at least {least} and at most {most}, and not "
                    f"{quote_value(value)}"
                )


@dataclass(frozen=True)
class StudyTrials:
    """The trials of a study when a confirmation begins, by number.

    They are read once and passed on, because reading a large study is slow.

    Attributes:
        searched: all trials of the search.
        confirming: the confirming trials of earlier calls.
    """

    searched: list[TrialRecord]
    confirming: list[TrialRecord]

    @classmethod
    def read(cls, store: Store, record: StudyRecord) -> StudyTrials:
        """Read them from the database."""
        return cls(store.trials.read(record), store.trials.read(record, confirming=True))


def plan_confirmation(run: StudyRun, trials: StudyTrials, request: ConfirmRequest) -> ConfirmPlan:
    """Decide which architectures to confirm and how. The plan is not stored yet.

    Args:
        run: the study.
        trials: its trials so far.
        request: the requested settings.

    Raises:
        StudyError: the bare backbone is not complete yet, or confirming trials have run with
            another number of epochs.
    """
    record = run.record
    earlier_plan = record.config.confirmation
    if earlier_plan and trials.confirming and request.epochs not in (None, earlier_plan.epochs):
        raise _confirmed_already(record, earlier_plan, request.epochs)
    findings = read_findings(run.store, record, trials.searched)
    if findings.bare is None:
        command = resume_command(record.name, run.plan.trials, len(trials.searched))
        raise StudyError(
            f"the bare backbone of {record.name!r} is not complete yet, so there is nothing to "
            f"compare with; continue with `{command}`."
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
        splits=_requested_splits(record, plan, trials, request),
        alternatives=_wants_alternatives(run, earlier_plan, request),
        first_seed=run.config.seed + FRESH_SEED_OFFSET,
        epochs=plan.epochs if request.epochs is None else request.epochs,
    )
    chosen = [*findings.baselines, *finalists(findings, plan.top)]
    kept = plan.architectures if trials.confirming else ()
    texts = dict.fromkeys([*kept, *(str(summary.architecture) for summary in chosen)])
    return replace(plan, architectures=tuple(texts))


def _wants_alternatives(run: StudyRun, plan: ConfirmPlan | None, request: ConfirmRequest) -> bool:
    """Whether to confirm alternatives: as requested, as planned earlier, or as in the search."""
    if request.alternatives is not None:
        return request.alternatives
    return run.plan.alternatives if plan is None else plan.alternatives


def _requested_splits(
    record: StudyRecord, plan: ConfirmPlan, trials: StudyTrials, request: ConfirmRequest
) -> int:
    """The number of splits; StudyError if there are trials on more of them already."""
    if request.splits is None:
        return plan.splits
    if request.splits > 1 and record.config.study.evaluation is not None:
        raise StudyError(
            f"{record.name!r} is trained by your own code, which splits its data itself; leave out "
            "--splits"
        )
    used = {plan.split_of(trial.seed) for trial in trials.confirming}
    if used and request.splits <= max(used):
        raise StudyError(
            f"{record.name!r} has been confirmed on {plural(max(used) + 1, 'split')} already; "
            "leaving some out again would be a choice among results. Leave out --splits to "
            "continue."
        )
    return request.splits


def prepare_splits(
    run: StudyRun, plan: ConfirmPlan, prepare: Callable[[Recipe], DataInfo]
) -> tuple[ConfirmPlan, list[DataInfo]]:
    """Prepare the images of every split, and note in the plan how many there are.

    Args:
        run: the study, with the recipe of its confirming trials.
        plan: of the confirmation.
        prepare: decodes the images of a recipe, or finds them in the cache.

    Returns:
        The plan and the data, by split.

    Raises:
        StudyError: several splits are asked for, and the source has a test split of its own.
        DataError: the images cannot be used.
    """
    recipe = run.config.recipe
    first = prepare(recipe)
    if plan.splits > 1 and "test" not in first.held_out:
        raise StudyError(
            f"{first.name} has a test split of its own, and it is the only one that nothing was "
            "chosen on; leave out --splits, and use --seeds for more trials on it."
        )
    if recipe.fold is not None and plan.splits > recipe.num_folds:
        raise StudyError(
            f"{run.record.name!r} was searched on fold {recipe.fold}, so there are only "
            f"{recipe.num_folds} splits; use --splits {recipe.num_folds}."
        )
    seeds = [plan.seed_of(split, 0) for split in range(1, plan.splits)]
    data = [first, *(prepare(plan.recipe_of(recipe, seed)) for seed in seeds)]
    labels = np.load(first.folder / "test.labels.npy", mmap_mode="r")
    counts = np.bincount(labels, minlength=len(first.classes))
    plan = replace(
        plan,
        train_images=first.counts["train"],
        test_images=first.counts["test"],
        majority_share=float(counts.max() / len(labels)),
        class_counts=tuple(counts.tolist()),
    )
    return plan, data


def store_confirmation(run: StudyRun, plan: ConfirmPlan) -> StudyRun:
    """Store the plan of a confirmation with the study, if it has changed."""
    if plan == run.record.config.confirmation:
        return run
    return replace(run, record=run.store.studies.change_config(run.record, plan.stored_in))


def read_confirmation(store: Store, study: str) -> Confirmation | None:
    """The results of a study's confirming trials so far; None if no confirmation was begun."""
    record = store.studies.get(study)
    return read_recorded(store, record, read_findings(store, record))


def _confirmed_already(record: StudyRecord, plan: ConfirmPlan, epochs: int | None) -> StudyError:
    return StudyError(
        f"the finalists of {record.name!r} are confirmed with {plural(plan.epochs, 'epoch')} "
        "already; evaluating them on the test split a second time would not be a confirmation. "
        f"Leave out --epochs to continue, or start a new search with --epochs {epochs}."
    )


class ConfirmationSource:
    """The trial source of a confirmation: all architectures with one seed, then with the next one.

    So an interrupted confirmation has complete rounds to compare. A later call repeats the trials
    that failed.
    """

    verb = "confirm"

    def __init__(self, run: StudyRun, plan: ConfirmPlan, trials: StudyTrials) -> None:
        """Determine which trials are missing.

        Args:
            run: the study with the configuration of its search.
            plan: what to confirm.
            trials: the study's trials so far.
        """
        self.store, self.record, self.plan = run.store, run.record, plan
        self._searched = [trial for trial in trials.searched if trial.state == "complete"]
        self._trials = trials.confirming
        self._number = max(
            (trial.number for trial in self._trials), default=FIRST_CONFIRMING_NUMBER - 1
        )
        self._pending: list[Proposal] = []
        self.data_keys: Sequence[str] = ()
        self.missing = list(self._missing())
        self.model = StudyModel(run.config.stages)

    def _missing(self) -> Iterator[tuple[Architecture, int]]:
        """The (architecture, seed) pairs that have not run, or only failed."""
        known = {(trial.architecture, trial.seed) for trial in self._trials if not trial.failure}
        rounds = itertools.product(range(self.plan.seeds), range(self.plan.splits))
        for number, split in rounds:
            seed = self.plan.seed_of(split, number)
            for text in self.plan.architectures:
                if (text, seed) not in known:
                    yield Architecture.parse(text), seed

    @property
    def total(self) -> int:
        """The number of all trials, those that have run or failed included."""
        return len(self._trials) + len(self.missing)

    @property
    def unfinished(self) -> int:
        """The number of trials that still have to start or resume."""
        return len(self.missing) + sum(trial.state == "running" for trial in self._trials)

    def announcement(self, workers: int) -> str:
        """A message about the trials to run, and how long they may take at the search's pace."""
        plan = self.plan
        splits = "" if plan.splits == 1 else f"{plan.splits} splits × "
        line = (
            f"{len(plan.architectures)} architectures × {splits}{plan.seeds} fresh seeds × "
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

    def expected_gain(self) -> ExpectedGain | None:
        """None: a confirmation ends with its last trial."""
        return None

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
        """Do nothing: the plan does not depend on epochs."""

    def job(self, job: Job) -> Job:
        """A job with the images of its split."""
        split = self.plan.split_of(job.seed)
        if not split:
            return job
        recipe = self.plan.recipe_of(job.recipe, job.seed)
        return replace(job, recipe=recipe, data_key=self.data_keys[split])

    def ask_ahead(self, job: Job, score: float) -> None:
        """Do nothing: all trials are planned already."""

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Do nothing: the plan does not depend on results."""

    def reject(self, _number: int, architecture: Architecture, _costs: Costs, reason: str) -> None:
        """Raise an AssertionError: a confirmation has no limits, so nothing can exceed one."""
        raise AssertionError(f"{architecture} was rejected: {reason}")


def configure_confirmation(
    run: StudyRun, plan: ConfirmPlan, request: ConfirmRequest, trials: int
) -> StudyRun:
    """The configuration with which confirming trials run.

    They have the plan's epochs, the study's metric as the only objective, and no limits. None is
    pruned, because each is evaluated on the test split at its end.

    Args:
        run: the study with the configuration of its search.
        plan: what to confirm.
        request: which workers and device to use, if not those of the search.
        trials: the number of all confirming trials.

    Raises:
        UsageError: a value is out of range.
    """
    changes = {
        "recipe": run.config.recipe.model_copy(update={"epochs": plan.epochs}),
        "objectives": (run.config.metric.name,),
        "limits": {},
        "pruning": Pruning(),
    }
    run_plan: RunPlan = validated(
        RunPlan,
        "confirm",
        trials=trials,
        trial_timeout=run.plan.trial_timeout,
        trial_memory=run.plan.trial_memory,
        workers=run.plan.workers if request.workers is None else request.workers,
        workers_per_gpu=run.plan.workers_per_gpu,
        pool=request.pool or run.plan.pool,
        ray_address=request.ray_address or run.plan.ray_address,
        keep_weights=run.plan.keep_weights,
        max_weights_size=run.plan.max_weights_size,
        keep_predictions=run.plan.keep_predictions,
        max_predictions_size=run.plan.max_predictions_size,
        device=request.device or run.plan.device,
    )
    return replace(run, config=run.config.model_copy(update=changes), plan=run_plan)
