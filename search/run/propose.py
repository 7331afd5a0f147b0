"""What to try next: Optuna's samplers on one side, architectures on the other.

Every proposal depends on the study's seed, the trial's number and what has been recorded, never on
how often the process was started: the sampler is made anew for each trial, seeded from the two. The
order is fixed: baselines first; then the bare backbone at any seed that another architecture has
already used (so that every result has a paired baseline); then whatever the sampler says. A known
architecture becomes its next seed. One above a limit is rejected here, before anything is built.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from typing import Protocol, cast

import optuna
from optuna.trial import TrialState

from ...errors import ArchitectureError, SpaceError
from ...runners.results import Costs, EpochReport, Job
from ...spaces.architecture import ALL, Architecture, Insertion
from ...spaces.attentions.entry import Value
from ...spaces.networks.canonical import canonicalise
from ...spaces.search_space.bound_space import BoundSpace, Chooser
from ...studies.config import StudyConfig
from ...studies.records import (
    BASELINE,
    SEARCH,
    EpochRecord,
    RejectionRecord,
    StudyRecord,
    TrialRecord,
)
from ..samplers.base import Learning, make_sampler, own_sampler
from ..trial_source import CostLookup, Proposal, TrialWriter, record_starts
from .optuna_study import OptunaStudy

TEXTBOOK_ATTENTIONS: tuple[tuple[str, dict[str, Value]], ...] = (
    ("se", {"r": 16}),
    ("eca", {}),
    ("cbam", {"r": 16}),
    ("ca", {"r": 32}),
)
"""The choices that a paper's reader would make, everywhere: DESIGN's baselines."""

MAX_REJECTED_PROPOSALS = 1000
"""Proposals in a row that may break a limit before the search gives up."""
MAX_BASELINE_ATTEMPTS = 2


class ProposalStore(TrialWriter, Protocol):
    """What a proposer writes down, and finds again: the part of a `Store` that it needs."""

    def trials(self, study: StudyRecord, /) -> list[TrialRecord]:
        """All trials of the search by number."""

    def epochs(self, study: StudyRecord, /) -> list[EpochRecord]:
        """All epochs of the search, in the order they were recorded."""

    def rejections(self, study: StudyRecord, /) -> list[RejectionRecord]:
        """What cost limits turned away."""

    def reject(
        self,
        study: StudyRecord,
        architecture: Architecture,
        reason: str,
        /,
        *,
        number: int | None,
    ) -> None:
        """A cost is above its limit."""


class ProposalHistory:
    """Which architectures have run with which seeds, were rejected, or lack because they failed."""

    def __init__(self) -> None:
        self.seeds: dict[str, set[int]] = defaultdict(set)
        self.rejected: set[str] = set()
        self._failures: Counter[tuple[str, int]] = Counter()
        self._failed_last: set[tuple[str, int]] = set()
        self._any_complete = False

    def started(self, key: str, seed: int) -> None:
        """A trial begins."""
        self.seeds[key].add(seed)
        self._failed_last.discard((key, seed))

    def ended(self, trial: TrialRecord) -> None:
        """A trial has ended, or is running still."""
        self._any_complete |= trial.state == "complete"
        if trial.state == "failed":
            self._failures[trial.key, trial.seed] += 1
            self._failed_last.add((trial.key, trial.seed))

    def lacks(self, key: str, seed: int) -> bool:
        """Whether a baseline should run: it has not, or it failed and may be tried again.

        Twice is enough, unless nothing in the study has worked so far.
        """
        if seed not in self.seeds[key]:
            return True
        tried_enough = self._any_complete and self._failures[key, seed] >= MAX_BASELINE_ATTEMPTS
        return (key, seed) in self._failed_last and not tried_enough


class Proposer:
    """Owns Optuna's ask and tell for one study."""

    def __init__(
        self,
        store: ProposalStore,
        record: StudyRecord,
        config: StudyConfig,
        bound: BoundSpace,
        costs: CostLookup,
        study: OptunaStudy,
    ) -> None:
        self.store, self.record, self.config = store, record, config
        self.bound, self.costs, self.study = bound, costs, study
        self.history = ProposalHistory()
        trials = store.trials(record)
        for trial in trials:
            self.history.started(trial.key, trial.seed)
            self.history.ended(trial)
        self.history.rejected |= {rejection.key for rejection in store.rejections(record)}
        self.bare = Architecture(config.backbone)
        self.baselines = baselines(config.backbone, bound)
        self._decisions = lru_cache(maxsize=1000)(bound.selection_of)
        self._unwritten: list[Proposal] = []
        self.own = own_sampler(config, bound, costs, self.history)
        if isinstance(self.own, Learning):  # the others need not read every epoch
            self.own.remember(trials, store.epochs(record))

    def next_trial(self) -> Proposal:
        """The next trial; SpaceError if a limit leaves nothing that could be proposed.

        `write` has to follow, when the trial has begun.
        """
        for architecture, seed in self._owed():
            if proposal := self._fixed(architecture, seed):
                return proposal
        for _ in range(MAX_REJECTED_PROPOSALS):
            if proposal := self._sampled():
                return proposal
        raise SpaceError(
            f"{MAX_REJECTED_PROPOSALS} proposals in a row broke a limit ({self._limits()}); raise "
            "it, or choose a space with smaller attentions"
        )

    def _limits(self) -> str:
        return ", ".join(f"{key} ≤ {limit:,.12g}" for key, limit in self.config.limits.items())

    def _owed(self) -> Iterator[tuple[Architecture, int]]:
        """Baselines that have not run, then the bare backbone at seeds that others have used."""
        for architecture in self.baselines:
            key = architecture.key
            if key not in self.history.rejected and self.history.lacks(key, self.config.seed):
                yield architecture, self.config.seed
        for seed in sorted({seed for seeds in self.history.seeds.values() for seed in seeds}):
            if self.history.lacks(self.bare.key, seed):
                yield self.bare, seed

    def on_epoch(self, number: int, report: EpochReport) -> None:
        """Take in an epoch of a trial."""
        if self.own is not None:
            self.own.on_epoch(number, report)

    def ask_ahead(self, job: Job, accuracy: float) -> None:
        """Decide about the next trial, in case that nothing else happens before this one ends."""
        if self.own is not None and not any(self._owed()):
            self.own.ask_ahead(len(self.study.trials), job, accuracy)

    def on_trial_end(self, trial: TrialRecord) -> None:
        """Take in how a trial ended, and tell Optuna unless it knows already."""
        self.history.ended(trial)
        if self.own is not None:
            self.own.on_trial_end(trial)
        if self.study.trials[trial.number].state.is_finished():
            return
        if trial.state == "complete":
            values = trial.values
            self.study.tell(trial.number, [float(values[key]) for key in self.config.keys])
        elif trial.state == "pruned":
            self.study.tell(trial.number, state=TrialState.PRUNED)
        elif trial.state == "failed":
            self.study.tell(trial.number, state=TrialState.FAIL)

    def reject(self, number: int, architecture: Architecture, costs: Costs, reason: str) -> None:
        """Record that a cost is above its limit; the sampler learns it as a constraint."""
        self.study.constrain(number, self._constraints(costs))
        self.store.reject(self.record, architecture, reason, number=number)
        self.history.rejected.add(architecture.key)
        self.study.tell(number, state=TrialState.PRUNED)
        if architecture == self.bare:
            raise SpaceError(f"the bare {architecture} breaks a limit itself: {reason}")

    def recover(self) -> list[TrialRecord]:
        """Bring Optuna up to what the database holds, after a crash between the two.

        All trials of the search, by number.
        """
        trials = self.store.trials(self.record)
        ours = {trial.number: trial for trial in trials}
        for known in self.study.trials:
            if known.state.is_finished():
                continue
            if known.number in ours:
                self.on_trial_end(ours[known.number])
            else:  # asked, but never recorded: nobody will ever run it
                self.study.tell(known.number, state=TrialState.FAIL)
        return trials

    def _fixed(self, architecture: Architecture, seed: int) -> Proposal | None:
        decisions = self._decisions(architecture)
        trial = self.study.ask(fixed=decisions)
        if decisions is not None:
            self.bound.choose_architecture(_suggest(trial))
        return self._accepted(trial, architecture, seed, BASELINE)

    def _sampled(self) -> Proposal | None:
        number = len(self.study.trials)
        sampler = make_sampler(self.config.sampler, self.config.seed, number)
        decided = self.own.decide(number) if self.own is not None else None
        trial = self.study.ask(sampler, decided)
        architecture = self.bound.choose_architecture(_suggest(trial))
        taken = self.history.seeds[architecture.key]
        seed = next(s for s in count(self.config.seed) if s not in taken)
        return self._accepted(trial, architecture, seed, SEARCH)

    def _accepted(
        self, trial: optuna.Trial, architecture: Architecture, seed: int, role: str
    ) -> Proposal | None:
        trial.set_user_attr("architecture", str(architecture))
        trial.set_user_attr("key", architecture.key)
        trial.set_user_attr("seed", seed)
        trial.set_user_attr("role", role)
        costs = self.costs.price(architecture)
        self.study.save(trial, self._constraints(costs))
        if reason := costs.exceeded_limit(self.config.limits):
            self.reject(trial.number, architecture, costs, reason)
            return None
        self.history.started(architecture.key, seed)
        proposal = Proposal(trial.number, architecture, seed, role, costs)
        self._unwritten.append(proposal)
        return proposal

    def write_pending(self) -> None:
        """Write to the database what has been proposed and settled since the last time.

        Later than it happens, so that no worker waits for it. If a crash comes between, the same
        will be proposed again, and what ended is told to Optuna by `recover`.
        """
        self.study.write()
        record_starts(self.store, self.record, self._unwritten)
        if self.own is not None:
            self.own.prepare()

    def _constraints(self, costs: Costs) -> dict[str, float]:
        """How far the known costs are above their limits, in parts of the limit."""
        known = {key: getattr(costs, key) for key in self.config.limits}
        limits = self.config.limits
        return {key: v / limits[key] - 1 for key, v in known.items() if v is not None}


def baselines(backbone: str, bound: BoundSpace) -> list[Architecture]:
    """What every study holds: the bare backbone, and the textbook choices that fit it."""
    found = [Architecture(backbone)]
    stripped = bound.space.strip_attention
    if stripped:
        found.append(canonicalise(Architecture(backbone, (), True), bound.site_map))
    position = bound.scopes[0].positions[0]
    for name, options in TEXTBOOK_ATTENTIONS:
        settings = {"start": bound.space.start, **options}
        insertion = Insertion.of(name, position, (ALL,), **settings)
        plain = Architecture(backbone, (insertion,), stripped)
        try:
            found.append(canonicalise(plain, bound.site_map))
        except ArchitectureError:
            continue  # its ratio exceeds the channels here: no reader would make this choice
    return list(dict.fromkeys(found))


def _suggest(trial: optuna.Trial) -> Chooser:
    def pick(name: str, choices: Sequence[Value]) -> Value:
        chosen = trial.suggest_categorical(name, list(choices))
        return cast(Value, chosen)

    return pick
