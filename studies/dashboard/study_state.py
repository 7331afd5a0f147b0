"""A study in memory, as the dashboard shows it, and kept up to date by reading only what is new.

Rows are read past the last row id, and the few that were running; never the whole study again. All
that follows from them is computed when it is first asked for after a change, and what takes long,
in the background: until it is there, what was known before is shown.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import AttentuneError, StudyError
from ...runners.inspection.attention_maps import AttentionMaps
from ...spaces.architecture import Architecture, Insertion
from ..analysis.analyse import knee, minimised_columns, non_dominated, reaches, stage_count, surest
from ..analysis.confirmation import Confirmation, confirmed
from ..analysis.findings import ArchitectureSummary, AttentionTable, Findings
from ..analysis.hypervolume import HypervolumeStep, hypervolume_history
from ..analysis.importance import importances
from ..analysis.insertion_index import InsertionIndex
from ..analysis.main_effects import MainEffect, main_effects
from ..analysis.trial_table import RUNNING, Architectures, TrialTable
from ..database.store import Store
from ..objectives import OBJECTIVES, Objective, objective
from ..outputs import attention_maps
from ..records import EpochRecord, RejectionRecord, StudyRecord, TrialRecord
from ..text.summary import caveat, summary_sentence
from .address import Address
from .background import BackgroundProcess
from .cache import VersionedCache

MOST_DRAWN = 500
"""So many markers are drawn; of more, the best of every spot."""
SPOTS = (32, 15)
"""Spots of the trade-off, across and up."""
TIME = Objective("time", "seconds", "minimize", "Training time", "s")
"""A cost to look at; no search optimises it, since it depends on what else the machine does."""
SAMPLE = 800
"""Main effects and importances are estimated from so many architectures at most."""
PATIENCE = 0.3
"""Seconds within which the database is not asked again, whoever asks."""


@dataclass(frozen=True)
class InspectedTrial:
    """A trial's attention maps and the bare backbone's; `problem` says why some are missing."""

    ours: AttentionMaps | None
    baseline: AttentionMaps | None
    problem: str | None


class StudyState:
    """One study. All methods may be called from any thread."""

    def __init__(
        self, store: Store, study: StudyRecord, background: BackgroundProcess | None = None
    ) -> None:
        self.store, self.study = store, study
        self._background = background or BackgroundProcess()
        self._cache = VersionedCache()
        self.columns = TrialTable()
        self.latest: dict[int, EpochRecord] = {}
        self._bookmark = store.last_epoch_id()
        self._asked = -math.inf
        self.runs = False
        self._traits: InsertionIndex | None = None
        self._attention_maps: dict[int, InspectedTrial] = {}
        self._computing_maps: set[int] = set()
        self._confirming: tuple[float, Confirmation | None] = (-math.inf, None)
        self.refresh()

    # Keeping up

    def refresh(self) -> str:
        """Read what is new; a mark, which changes with whatever there is to show."""
        with self._cache.lock:
            if time.monotonic() - self._asked >= PATIENCE:
                self._read()
                self._asked = time.monotonic()
            return f"{self._cache.versions['any']}.{self._cache.arrived}"

    def _read(self) -> None:
        running, last = self.columns.running, self.columns.last_id
        before = self.columns.rows[np.isin(self.columns.rows["id"], running)].tobytes()
        left = set(running)
        for part in self.store.changed_trials(self.study, last, running):
            self.columns.update(part)
            left -= {row.id for row in part} if left else set()
        self.columns.withdraw(left)
        fresh = self.columns.rows[self.columns.rows["id"] > last]
        begun = fresh["number"][fresh["state"] == RUNNING].tolist()
        after = self.columns.rows[np.isin(self.columns.rows["id"], running)].tobytes()
        epochs = self.store.epochs(self.study, after_id=self._bookmark)
        if epochs:
            self._bookmark = epochs[-1].id
        if begun:
            epochs = [*self.store.epochs_of(self.study, begun), *epochs]
        for record in epochs:
            self.latest[record.number] = record
        runs = self.store.holder(self.study) is not None
        if len(fresh) or epochs or before != after or runs != self.runs:
            self.runs = runs
            rows = self.columns.rows
            alive = set(rows["number"][rows["state"] == RUNNING].tolist())
            self.latest = {n: record for n, record in self.latest.items() if n in alive}
            self._cache.versions["any"] += 1
        counts, versions = self.columns.counts(), self._cache.versions
        versions["ended"] = len(self.columns) - counts["running"]
        versions["complete"] = counts["complete"]
        # Every page needs these; that whoever asks next waits for them would be felt.
        _ = self.front, self.stage_table, self._best()

    # What it shows, computed once a version

    @property
    def stages(self) -> int:
        """Of the backbone, as the study's config says; else the highest that is named."""
        known = stage_count(self.study.config)
        if known is None:
            every = InsertionIndex(0).extend(self.columns.texts).insertions
            known = max((p.last for i in every for p in i.places), default=0)
        return known

    @property
    def objectives(self) -> tuple[Objective, ...]:
        """The study's."""
        return tuple(objective(name) for name in self.study.objectives)

    @property
    def costs(self) -> list[Objective]:
        """The study's own costs, then whatever else was measured, and the time of training."""
        return self._cache.get("costs", self._costs)

    def _costs(self) -> list[Objective]:
        own = [o for o in self.objectives if o.key != "accuracy"]
        rows = self.columns.rows
        rest = [*(o for o in OBJECTIVES.values() if o.key != "accuracy"), TIME]
        known = [o for o in rest if len(rows) and not np.isnan(rows[o.key]).all()]
        return list(dict.fromkeys([*own, *known])) or [OBJECTIVES["params"]]

    @property
    def architectures(self) -> Architectures:
        """With a complete trial."""
        return self._cache.get("architectures", lambda: Architectures.of(self.columns))

    @property
    def traits(self) -> InsertionIndex:
        """Of all architectures that the study knows, by their place among its texts."""
        with self._cache.lock:
            self._traits = self._traits or InsertionIndex(self.stages)
            if self._traits.count < len(self.columns.texts):
                self._traits.extend(self.columns.texts)
            return self._traits

    @property
    def front(self) -> list[int]:
        """Places of the Pareto front, cheapest first."""
        return self._cache.get("front", self._front)

    def _front(self) -> list[int]:
        found = self.architectures
        means = {o.key: found.mean(o.key) for o in self.objectives}
        values = minimised_columns(means, self.objectives)
        able = np.flatnonzero(~np.isnan(values).any(axis=1))
        places = able[non_dominated(values[able])]
        costs = [o.key for o in self.objectives if o.key != "accuracy"]
        keys = [-found.accuracy[places], *(found.mean(key)[places] for key in reversed(costs))]
        return [int(place) for place in places[np.lexsort(keys)]]

    def findings(self, address: Address | None = None, cost: Objective | None = None) -> Findings:
        """What `analysis.analyse` says; with `points` only those to draw, where they are many.

        The filters of an address choose the points, never the front, the baselines or the best.
        """
        filters = (
            (address.attention, address.position, address.stage, address.ratio) if address else ()
        )
        chosen = address.trial if address else None
        name = ("findings", filters, cost.key if cost else "", chosen)
        found = self._cache.get(name, lambda: self._findings(address, cost))
        return replace(found, counts=self.columns.counts())

    def _findings(self, address: Address | None, cost: Objective | None) -> Findings:
        found = self.architectures
        fixed = {*self.front, *np.flatnonzero(found.baseline).tolist()}
        fixed |= set() if found.bare is None else {found.bare}
        fixed |= {place for place in (self._best(), self.place(address)) if place is not None}
        chosen = self.chosen(address)
        drawn = self._drawn(np.flatnonzero(chosen), cost or self.costs[0])
        kept = fixed & set(np.flatnonzero(chosen | found.baseline).tolist())
        places = sorted(kept | set(drawn))
        every = sorted(fixed | set(drawn))
        known = dict(zip(every, found.points(every, [TIME.key]), strict=True))
        front = tuple(known[place] for place in self.front)
        best = self._best()
        return Findings(
            objectives=self.objectives,
            counts=self.columns.counts(),
            points=tuple(known[place] for place in places),
            front=tuple(p for place, p in zip(self.front, front, strict=True) if place in kept),
            bare=None if found.bare is None else known[found.bare],
            best=None if best is None else known[best],
            knee=knee(front, self.objectives),
            noise=found.noise,
            table=self.stage_table,
        )

    def _best(self) -> int | None:
        return self._cache.get("best", self._highest)

    def _highest(self) -> int | None:
        found = self.architectures
        if not len(found):
            return None
        params = np.nan_to_num(found.mean("params"))
        return surest(found.accuracy, found.counts, found.noise, params, found.numbers)

    def place(self, address: Address | None) -> int | None:
        """Of the architecture whose trial is selected."""
        found = self.architectures
        if address is None or address.trial is None or not len(found):
            return None
        rows = np.flatnonzero(found.rows["number"] == address.trial)
        return int(np.searchsorted(found.starts, rows[0], "right") - 1) if len(rows) else None

    def chosen(self, address: Address | None) -> npt.NDArray[np.bool_]:
        """(n,) which architectures a address's filters let through."""
        found, traits = self.architectures, self.traits
        every = np.ones(len(found), dtype=bool)
        if address is None or not address.filtered:
            return every
        tests: tuple[tuple[tuple[str, ...], Callable[[Insertion, str], bool]], ...] = (
            (address.attention, lambda i, name: i.attention == name),
            (address.position, lambda i, name: i.position == name),
            (address.stage, lambda i, name: name[1:].isdecimal() and reaches(i, int(name[1:]))),
            (address.ratio, lambda i, name: str(dict(i.options).get("r")) == name),
        )
        for names, holds in tests:
            if names:
                wanted = [any(holds(i, name) for name in names) for i in traits.insertions]
                every &= traits.owners(wanted)[found.which]
        return every

    def _drawn(self, places: npt.NDArray[np.int64], cost: Objective) -> list[int]:
        """All, or of too many the most accurate at every spot of the trade-off."""
        if len(places) <= MOST_DRAWN:
            return [int(place) for place in places]
        found = self.architectures
        costs, accuracy = found.mean(cost.key)[places], found.accuracy[places]
        able = ~np.isnan(costs)
        places, costs, accuracy = places[able], costs[able], accuracy[able]
        order = np.argsort(-accuracy, kind="stable")
        spots = _ranked(costs, SPOTS[0]) * SPOTS[1] + _parted(accuracy, SPOTS[1])
        _, first = np.unique(spots[order], return_index=True)
        return [int(place) for place in places[order[first]][:MOST_DRAWN]]

    @property
    def stage_table(self) -> AttentionTable:
        """Gain by attention and stage."""
        return self._cache.get("stage table", lambda: self.traits.stage_table(self._gains()))

    @property
    def position_table(self) -> AttentionTable:
        """Gain by attention and position."""
        return self._cache.get("position table", lambda: self.traits.position_table(self._gains()))

    @property
    def ratio_curves(self) -> Mapping[str, Any]:
        """Gain by attention and ratio."""
        return self._cache.get("ratios", lambda: self.traits.ratio_curves(self._gains()))

    def _gains(self) -> npt.NDArray[np.float64]:
        gains = np.full(self.traits.count, np.nan)
        gains[self.architectures.which] = self.architectures.gain
        return gains

    @property
    def effects(self) -> tuple[MainEffect, ...] | None:
        """Main effects, from a sample where architectures are many."""
        return self._cache.get_in_background(
            "effects", lambda: self._background.call(main_effects, self._sample(), self.stages)
        )

    @property
    def importances(self) -> Mapping[str, float] | None:
        """How much each stage explains, from a sample where architectures are many."""
        return self._cache.get_in_background(
            "importances", lambda: self._background.call(importances, self._sample(), self.stages)
        )

    @property
    def course(self) -> tuple[HypervolumeStep, ...] | None:
        """The hypervolume as the search went on."""
        return self._cache.get_in_background(
            "course",
            lambda: self._background.call(hypervolume_history, self._rows(), self.objectives),
            "ended",
        )

    def _rows(self) -> npt.NDArray[Any]:
        with self._cache.lock:
            return self.columns.rows.copy()

    def _sample(self) -> list[ArchitectureSummary]:
        with self._cache.lock:
            found = self.architectures
        places = np.arange(len(found))
        if len(places) > SAMPLE:
            places = np.sort(np.random.default_rng(0).choice(places, SAMPLE, replace=False))
        return found.points(places.tolist())

    @property
    def confirmation(self) -> Confirmation | None:
        """What confirming trials say; None if nobody asked for any. Asked anew every second."""
        with self._cache.lock:
            asked, found = self._confirming
            if time.monotonic() - asked > 1:
                trials = self.store.trials(self.study, confirming=True)
                found = confirmed(self.store.study(self.study.name), self.findings(), trials)
                self._confirming = (time.monotonic(), found)
            return found

    def summary(self) -> tuple[str, str | None]:
        """The summary in one sentence, and how far to believe it."""
        findings = self.findings()
        return summary_sentence(self.study, findings), caveat(findings)

    def record(self, number: int) -> TrialRecord | None:
        """A trial in full; None if the study has no such number."""
        try:
            return self.store.trial(self.study, number)
        except StudyError:
            return None

    def trials_like(self, trial: TrialRecord) -> list[TrialRecord]:
        """All trials of the search with its architecture, in full."""
        return self.records(self.numbers_of(trial.key)) or [trial]

    def records(self, numbers: Sequence[int]) -> list[TrialRecord]:
        """Some trials in full, with one question to the database."""
        return self.store.trials_of(self.study, numbers)

    def failed(self) -> list[TrialRecord]:
        """The trials that failed."""
        return self._cache.get(
            "failed", lambda: self.store.trials(self.study, state="failed"), "ended"
        )

    def rejections(self) -> list[RejectionRecord]:
        """What cost limits turned away, in order."""
        return self._cache.get("rejections", lambda: self.store.rejections(self.study), "any")

    @property
    def config(self) -> Mapping[str, Any]:
        """The study's config, which `resume` and `confirm` may change."""
        return self._cache.get("config", lambda: self.store.study(self.study.name), "any").config

    def numbers_of(self, key: str) -> list[int]:
        """The trials of an architecture, complete or not."""
        with self._cache.lock:
            rows = self.columns.rows
            return sorted(rows["number"][rows["architecture"] == self.columns.place(key)].tolist())

    @property
    def bare_numbers(self) -> list[int]:
        """The trials of the bare backbone."""
        return self.numbers_of(Architecture(self.study.backbone).key)

    def environments(self) -> Mapping[str, Mapping[str, str]]:
        """What trials ran on, by the digest that they name."""
        return self._cache.get("environments", lambda: self.store.environments(self.study), "ended")

    def epochs_of(self, numbers: Sequence[int]) -> list[EpochRecord]:
        """All epochs of some trials."""
        return self.store.epochs_of(self.study, numbers)

    def attention_maps_of(self, number: int) -> InspectedTrial | None:
        """A trial's attention maps; None while they are computed, which takes seconds."""
        with self._cache.lock:
            if number in self._attention_maps or number in self._computing_maps:
                return self._attention_maps.get(number)
            self._computing_maps.add(number)
        threading.Thread(target=self._compute_maps, args=(number,), daemon=True).start()
        return None

    def _compute_maps(self, number: int) -> None:
        ours = other = problem = None
        try:
            ours = attention_maps.fetch_attention_maps(
                attention_maps.request_for_trial(self.store, self.study, number)
            )
            beside = attention_maps.request_for_baseline(self.store, self.study, number)
            other = None if beside is None else attention_maps.fetch_attention_maps(beside)
        except AttentuneError as error:
            problem = str(error)
        with self._cache.lock:
            self._attention_maps[number] = InspectedTrial(ours, other, problem)
            self._computing_maps.discard(number)
            self._cache.arrived += 1


def _ranked(values: npt.NDArray[np.float64], parts: int) -> npt.NDArray[np.int64]:
    return _parted(np.argsort(np.argsort(values)).astype(float), parts)


def _parted(values: npt.NDArray[np.float64], parts: int) -> npt.NDArray[np.int64]:
    low, high = values.min(), values.max()
    share = (values - low) / (high - low or 1.0)
    found: npt.NDArray[np.int64] = np.minimum(share * parts, parts - 1).astype(np.int64)
    return found
