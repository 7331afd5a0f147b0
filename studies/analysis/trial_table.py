"""A study's trials as arrays: what `analysis` says of some hundred trials, said of any number.

A dashboard looks at a hundred thousand trials every second. Rows of a structured array are filled
once and changed in place; everything that is asked of them is a few passes of numpy. What comes
out are the same summaries and tables as in `analyse`, for as many architectures as somebody wants
to draw; a test holds the two together.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ...spaces.architecture import Architecture
from ..records import BASELINE, COSTS, STATES, State, TrialRecord, recorded_architecture
from .findings import ArchitectureSummary, Gain, Noise, standard_error
from .seed_effects import SeedEffects, estimate_seed_effects

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FIELDS = (
    ("id", "i8"), ("number", "i8"), ("architecture", "i4"), ("seed", "i8"), ("baseline", "?"),
    ("state", "i1"), ("epochs", "i4"), ("accuracy", "f8"), *((cost, "f8") for cost in COSTS),
    ("seconds", "f8"), ("worker", "i4"), ("started", "f8"), ("finished", "f8"),
)  # fmt: skip
COMPLETE, PRUNED, FAILED, RUNNING = (STATES.index(s) for s in ("complete", "pruned", "failed",
                                                               "running"))  # fmt: skip
_STATES = {state: place for place, state in enumerate(STATES)}

TRIAL_COLUMNS = (
    "id", "number", "key", "text", "seed", "role", "state", "epochs", "accuracy", *COSTS,
    "seconds", "worker", "started_at", "finished_at",
)  # fmt: skip
"""What the table is given of a trial; moments as datetimes, or as SQLite keeps them."""


class TrialTable:
    """The trials of a search, one row each, in the order in which they began."""

    def __init__(self) -> None:
        self._rows = np.zeros(1024, np.dtype(list(FIELDS)))
        self._places: dict[int, int] = {}
        self._known: dict[str, int] = {}
        self.texts: list[str] = []
        self.workers: list[str] = []

    @classmethod
    def of(cls, trials: Iterable[TrialRecord]) -> TrialTable:
        """The columns of records; a trial's number serves as its row id."""
        table = cls()
        table.add(trials)
        return table

    def __len__(self) -> int:
        return len(self._places)

    @property
    def rows(self) -> npt.NDArray[Any]:
        """All rows; moments are seconds since 1970, what is not known is NaN, no worker is −1."""
        return self._rows[: len(self)]

    @property
    def last_id(self) -> int:
        """The highest row id so far, 0 at first."""
        return int(self.rows["id"].max(initial=0))

    @property
    def running(self) -> list[int]:
        """Row ids of the trials that may still change."""
        return [int(i) for i in self.rows["id"][self.rows["state"] == RUNNING]]

    def update(self, found: Sequence[Sequence[Any]]) -> None:
        """Add rows, or put them in the place of earlier ones with their id.

        A row has the values of `TRIAL_COLUMNS`, in that order.
        """
        if not found:
            return
        told = dict(zip(TRIAL_COLUMNS, zip(*found, strict=True), strict=True))
        new = np.zeros(len(found), self._rows.dtype)
        for name in ("id", "number", "seed", "epochs"):
            new[name] = told[name]
        for name in ("accuracy", *COSTS, "seconds"):
            new[name] = np.array(told[name], dtype=float)  # None becomes NaN
        new["state"] = [_STATES[state] for state in told["state"]]
        new["baseline"] = [role == BASELINE for role in told["role"]]
        new["worker"] = [self._worker(name) for name in told["worker"]]
        new["started"], new["finished"] = (
            _moments(told["started_at"]),
            _moments(told["finished_at"]),
        )
        for key, text in zip(told["key"], told["text"], strict=True):
            if key not in self._known:
                self._known[key] = len(self.texts)
                self.texts.append(text)
        new["architecture"] = [self._known[key] for key in told["key"]]
        for row_id in told["id"]:
            self._places.setdefault(row_id, len(self._places))
        while len(self._places) > len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[[self._places[row_id] for row_id in told["id"]]] = new

    def add(self, trials: Iterable[TrialRecord]) -> None:
        """Add records, or replace the rows of their numbers; a number serves as the row id."""
        fields = ({**vars(t), "id": t.number, "text": t.architecture} for t in trials)
        self.update([[row[name] for name in TRIAL_COLUMNS] for row in fields])

    def remove(self, ids: Iterable[int]) -> None:
        """Forget rows that are no longer in the database: trials that a cost limit turned away."""
        gone = set(ids) & set(self._places)
        if gone:
            kept = self.rows[~np.isin(self.rows["id"], list(gone))]
            self._rows[: len(kept)] = kept
            self._places = {int(row_id): place for place, row_id in enumerate(kept["id"])}

    def _worker(self, name: str | None) -> int:
        if name is None:
            return -1
        if name not in self.workers:
            self.workers.append(name)
        return self.workers.index(name)

    def index_of(self, key: str) -> int:
        """Of an architecture in `texts` and in the rows; −1 if no trial has it."""
        return self._known.get(key, -1)

    def counts(self) -> dict[State, int]:
        """Trials by state, all states present."""
        found = np.bincount(self.rows["state"], minlength=len(STATES))
        return {state: int(found[place]) for place, state in enumerate(STATES)}


@dataclass(frozen=True)
class ArchitectureTable:
    """The architectures that have a complete trial, one place each, in order of the first one.

    Attributes:
        texts: of all architectures that the study knows.
        which: (n,) places in `texts`.
        rows: the complete trials, those of one architecture together, in order of number.
        starts: (n + 1,) where each architecture's trials begin in `rows`.
        baseline: (n,).
    """

    texts: Sequence[str]
    which: Ints
    rows: npt.NDArray[Any]
    starts: Ints
    baseline: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, columns: TrialTable) -> ArchitectureTable:
        """Those of all trials; the columns may change afterwards."""
        every = columns.rows
        able = _complete(every)
        number, architecture = every["number"][able], every["architecture"][able]
        together = np.lexsort((number, architecture))
        which, begin = np.unique(architecture[together], return_index=True)
        order = np.argsort(number[together[begin]], kind="stable")
        ends = np.append(begin[1:], len(able))
        counts = (ends - begin)[order]
        starts = np.concatenate([[0], np.cumsum(counts)])
        taken = np.repeat(begin[order] - starts[:-1], counts) + np.arange(len(able))
        chosen = np.unique(every["architecture"][every["baseline"]])
        which = which[order].astype(np.int64)
        rows = every[able[together[taken]]]
        return cls(list(columns.texts), which, rows, starts, np.isin(which, chosen))

    def __len__(self) -> int:
        return len(self.which)

    @cached_property
    def counts(self) -> Ints:
        """(n,) complete trials of each."""
        return np.diff(self.starts)

    @cached_property
    def numbers(self) -> Ints:
        """(n,) the trial that stands for each: its first complete one."""
        return self.rows["number"][self.starts[:-1]]

    def mean(self, key: str) -> Floats:
        """(n,) over the seeds, of `accuracy` or a cost; NaN where a trial lacks it."""
        if key not in self._means:
            self._means[key] = self._sums(self.rows[key]) / np.maximum(self.counts, 1)
        return self._means[key]

    @cached_property
    def _means(self) -> dict[str, Floats]:
        return {"accuracy": self._sums(self._level) / np.maximum(self.counts, 1)}

    @cached_property
    def accuracy(self) -> Floats:
        """(n,) mean over the seeds, less what all trials of those seeds share."""
        return self.mean("accuracy")

    @cached_property
    def _seed_effects(self) -> SeedEffects:
        architectures = np.repeat(np.arange(len(self)), self.counts)
        return estimate_seed_effects(architectures, self.rows["seed"], self.rows["accuracy"])

    @cached_property
    def _level(self) -> Floats:
        """The accuracy of every row, less what all trials of its seed share."""
        level: Floats = self.rows["accuracy"] - self._seed_effects.of(self.rows["seed"])
        return level

    @cached_property
    def bare(self) -> int | None:
        """The place of the bare backbone."""
        likely = itertools.chain(np.flatnonzero(self.baseline).tolist(), range(len(self)))
        plain = (i for i in likely if "+" not in self.texts[self.which[i]])
        return next((i for i in plain if self.architecture(i).bare), None)

    @property
    def noise(self) -> Noise | None:
        """What a trial scatters beyond that; None while no architecture has two seeds."""
        return self._seed_effects.noise

    @cached_property
    def gain(self) -> Floats:
        """(n,) accuracy above the bare backbone's, paired by seed where both have one; else NaN."""
        if self.bare is None:
            return np.full(len(self), np.nan)
        first, last = self.starts[self.bare], self.starts[self.bare + 1]
        mine = self.rows[first:last]
        order = np.argsort(mine["seed"], kind="stable")
        seeds, reached = mine["seed"][order], mine["accuracy"][order]
        place = np.minimum(np.searchsorted(seeds, self.rows["seed"]), len(seeds) - 1)
        paired = seeds[place] == self.rows["seed"]
        differences = np.where(paired, self.rows["accuracy"] - reached[place], 0.0)
        pairs = self._sums(paired.astype(float))
        unpaired = self.accuracy - self.accuracy[self.bare]
        gain = np.where(pairs > 0, self._sums(differences) / np.maximum(pairs, 1), unpaired)
        gain[self.bare] = np.nan
        return gain

    def architecture(self, place: int) -> Architecture:
        """The architecture at a place, as a value."""
        return recorded_architecture(self.texts[self.which[place]])

    def summaries(
        self, places: Iterable[int], more: Sequence[str] = ()
    ) -> list[ArchitectureSummary]:
        """The points of `analysis` for some places; `more` names further fields of the rows."""
        found = []
        means = {key: self.mean(key) for key in ("accuracy", *COSTS, *more)}
        for place in places:
            own = slice(self.starts[place], self.starts[place + 1])
            rows, level = self.rows[own], self._level[own]
            error = standard_error(level.tolist())
            values = {key: float(mean[place]) for key, mean in means.items()}
            found.append(
                ArchitectureSummary(
                    architecture=self.architecture(place),
                    numbers=tuple(rows["number"].tolist()),
                    seeds=tuple(rows["seed"].tolist()),
                    accuracies=tuple(rows["accuracy"].tolist()),
                    values={k: value for k, value in values.items() if not math.isnan(value)},
                    standard_error=error and error * self._seed_effects.error_inflation,
                    baseline=bool(self.baseline[place]),
                    gain=self._gain(place),
                )
            )
        return found

    def _gain(self, place: int) -> Gain | None:
        if self.bare is None or place == self.bare:
            return None
        ours, bare = self._by_seed(place), self._bare_by_seed
        if ours.keys().isdisjoint(bare):
            ours, bare = (self._by_seed(at, self._level) for at in (place, self.bare))
        return Gain.between(ours, bare)

    @cached_property
    def _bare_by_seed(self) -> dict[int, float]:
        assert self.bare is not None  # else nobody asks
        return self._by_seed(self.bare)

    def _by_seed(self, place: int, accuracies: Floats | None = None) -> dict[int, float]:
        own = slice(self.starts[place], self.starts[place + 1])
        values = self.rows["accuracy"] if accuracies is None else accuracies
        return dict(zip(self.rows["seed"][own].tolist(), values[own].tolist(), strict=True))

    def _sums(self, values: npt.NDArray[Any]) -> Floats:
        if not len(values):
            return np.zeros(0)
        total: Floats = np.add.reduceat(values.astype(float), self.starts[:-1])
        return total


def without_seed_effects(rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Rows of `TrialTable` with the seed effects taken out of the accuracies of complete trials."""
    found = rows.copy()
    able = _complete(rows)
    _, architectures = np.unique(rows["architecture"][able], return_inverse=True)
    seeds, accuracies = rows["seed"][able], rows["accuracy"][able]
    luck = estimate_seed_effects(architectures, seeds, accuracies)
    found["accuracy"][able] = accuracies - luck.of(seeds)
    return found


def _complete(rows: npt.NDArray[Any]) -> Ints:
    """Places of the trials that were trained to their end."""
    return np.flatnonzero((rows["state"] == COMPLETE) & ~np.isnan(rows["accuracy"]))


def _moments(values: Sequence[datetime | str | None]) -> Floats:
    """Seconds since 1970; NaN where nothing is known."""
    if isinstance(next((value for value in values if value is not None), None), datetime):
        return np.array([v.timestamp() if isinstance(v, datetime) else np.nan for v in values])
    moments = np.array(["NaT" if value is None else value for value in values], "datetime64[us]")
    seconds: Floats = moments.astype(np.int64) / 1e6
    return np.where(np.isnat(moments), np.nan, seconds)
