"""Confirming a study: finalists and baselines again, longer, with fresh seeds, on the test split.

The trials are run by the coordinator that runs a search, so they resume in the same way. They are
planned once, and the plan is kept with the study: whoever asks again goes on with it, and what a
longer search has found since joins those that were chosen before. All of them count in the
correction for having looked at many.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from ...errors import StudyError
from ...runners.results import Costs, EpochReport, Job
from ...spaces.architecture import Architecture
from ...studies.analysis.analyse import analyse
from ...studies.analysis.confirmation import Confirmation, ConfirmPlan, confirmed, finalists
from ...studies.config import StudyConfig
from ...studies.database.store import Store
from ...studies.records import CONFIRM, FIRST_CONFIRMING, StudyRecord, TrialRecord
from ...studies.text.formatting import duration, plural
from ..trial_source import Proposal, record_starts

TOP, SEEDS, LONGER = 3, 5, 2.5
"""Unless told otherwise: three finalists, five seeds, two and a half times the search's epochs."""
FRESH_SEED_OFFSET = 1_000_000
"""Seeds of a confirmation lie so far above the study's own, which the search counts up from."""


@dataclass(frozen=True)
class StudyTrials:
    """A study's trials when a confirmation begins, by number: a large study is read only once.

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
    store: Store,
    record: StudyRecord,
    config: StudyConfig,
    earlier: StudyTrials | None = None,
    *,
    top: int | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
) -> tuple[StudyRecord, ConfirmPlan]:
    """Whom to confirm and how, kept with the study; what is None stays as it was planned before.

    `earlier` is read here if it was not read yet.
    StudyError if nothing is complete yet, or if confirming trials have run with other epochs.
    """
    earlier = earlier or StudyTrials.read(store, record)
    before = ConfirmPlan.of(record)
    if before and earlier.confirming and epochs not in (None, before.epochs):
        raise _second_look(record, before, epochs)
    found = analyse(record, earlier.searched)
    if found.bare is None:
        raise StudyError(
            f"the bare backbone of {record.name!r} is not complete yet, so there is nothing to "
            f"compare with; go on with `attentune resume`."
        )
    searched = config.recipe.epochs
    plan = before or ConfirmPlan((), TOP, SEEDS, math.ceil(LONGER * searched), searched)
    plan = replace(
        plan,
        top=plan.top if top is None else top,
        seeds=plan.seeds if seeds is None else seeds,
        epochs=plan.epochs if epochs is None else epochs,
    )
    chosen = [*found.baselines, *finalists(found, plan.top)]
    kept = plan.architectures if earlier.confirming else ()
    texts = dict.fromkeys([*kept, *(str(point.architecture) for point in chosen)])
    plan = replace(plan, architectures=tuple(texts))
    if plan != before:
        record = store.studies.update_config(record, {**record.config, "confirm": asdict(plan)})
    return record, plan


def _second_look(record: StudyRecord, planned: ConfirmPlan, epochs: int | None) -> StudyError:
    return StudyError(
        f"the finalists of {record.name!r} are confirmed with {planned.epochs} epochs already; "
        f"a second look at the test split would be no confirmation. Leave --epochs out to go "
        f"on, or search anew with --epochs {epochs}."
    )


def read_confirmation(store: Store, study: str) -> Confirmation | None:
    """What a study's confirming trials show so far; None if no confirmation was begun."""
    record = store.studies.get(study)
    findings = analyse(record, store.trials.read(record))
    return confirmed(record, findings, store.trials.read(record, confirming=True))


class ConfirmationSource:
    """The trials of a confirmation: every architecture with one seed, then with the next.

    So an interrupted one has whole rounds to compare. What failed is tried again at the next start.
    """

    def __init__(
        self,
        store: Store,
        record: StudyRecord,
        config: StudyConfig,
        plan: ConfirmPlan,
        earlier: StudyTrials | None = None,
    ) -> None:
        """`earlier` is read here if it was not read yet."""
        earlier = earlier or StudyTrials.read(store, record)
        self.store, self.record, self.plan = store, record, plan
        self._first_seed = config.seed + FRESH_SEED_OFFSET
        self._searched = [t for t in earlier.searched if t.state == "complete"]
        self._trials = earlier.confirming
        self._number = max((t.number for t in self._trials), default=FIRST_CONFIRMING - 1)
        self._unwritten: list[Proposal] = []
        self.missing = list(self._lacking())

    def _lacking(self) -> Iterator[tuple[Architecture, int]]:
        had = {(trial.architecture, trial.seed) for trial in self._trials if not trial.failure}
        for seed in range(self._first_seed, self._first_seed + self.plan.seeds):
            for text in self.plan.architectures:
                if (text, seed) not in had:
                    yield Architecture.parse(text), seed

    @property
    def total(self) -> int:
        """Trials in all, those that have run or failed included."""
        return len(self._trials) + len(self.missing)

    def announcement(self, workers: int) -> str:
        """What is going to happen, and how long it may take by the pace of the search."""
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

    @property
    def unfinished(self) -> int:
        """Trials that have to begin or to go on."""
        return len(self.missing) + sum(trial.state == "running" for trial in self._trials)

    def recover(self) -> list[TrialRecord]:
        """Its trials so far, by number."""
        return self._trials

    def next_trial(self) -> Proposal:
        """The next architecture and seed."""
        architecture, seed = self.missing.pop(0)
        self._number += 1
        proposal = Proposal(self._number, architecture, seed, CONFIRM, self._price(architecture))
        self._unwritten.append(proposal)
        return proposal

    def _price(self, architecture: Architecture) -> Costs | None:
        known = next((t for t in self._searched if t.key == architecture.key), None)
        return None if known is None else known.counted

    def write_pending(self) -> None:
        """Put what was handed out into the database."""
        record_starts(self.store.trials, self.record, self._unwritten)

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Nothing is learned from an epoch."""

    def ask_ahead(self, job: Job, accuracy: float) -> None:
        """All is planned already."""

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Nothing depends on how a trial ended."""

    def reject(self, _number: int, architecture: Architecture, _costs: Costs, reason: str) -> None:
        """Cannot happen: there are no limits here."""
        raise AssertionError(f"{architecture} was rejected: {reason}")


def confirmation_config(config: StudyConfig, plan: ConfirmPlan) -> StudyConfig:
    """The configuration of confirming trials: as long as planned, and nothing but accuracy."""
    recipe = config.recipe.model_copy(update={"epochs": plan.epochs})
    return config.model_copy(update={"recipe": recipe, "objectives": ("accuracy",), "limits": {}})
