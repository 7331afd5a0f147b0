"""The trials of a search as a table: one structured array for any number of trials.

The dashboard follows a hundred thousand trials and refreshes every second. So a row is filled once
and changed in place, and summaries are a few numpy operations. `architecture_table` summarises the
trials of a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ...errors import StoreError
from ..records import BASELINE, COST_ERROR_KEYS, COST_KEYS, LOADS, STATES, State, TrialRecord

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

COST_COLUMNS = (*COST_KEYS, *COST_ERROR_KEYS)
FIELDS = (
    ("id", "i8"), ("number", "i8"), ("architecture", "i4"), ("seed", "i8"), ("baseline", "?"),
    ("state", "i1"), ("epochs", "i4"), ("accuracy", "f8"), ("score", "f8"),
    *((cost, "f8") for cost in COST_COLUMNS),
    ("seconds", "f8"), *((load, "f8") for load in LOADS), ("worker", "i4"),
    ("started", "f8"), ("finished", "f8"),
)  # fmt: skip
"""Fields of a row. Times are seconds since 1970. Unknown numbers are NaN, no worker is −1.

`score` is that of the metric that the study searches for, which may be the accuracy.
"""
COMPLETE, PRUNED, FAILED, RUNNING = (STATES.index(s) for s in ("complete", "pruned", "failed",
                                                               "running"))  # fmt: skip
_STATE_CODES = {state: code for code, state in enumerate(STATES)}

TRIAL_COLUMNS = (
    "id", "number", "key", "text", "seed", "role", "state", "epochs", "accuracy", "metric_score",
    *COST_COLUMNS, "seconds", *LOADS, "worker", "started_at", "finished_at",
)  # fmt: skip
"""The values that `TrialTable.update` takes; times are datetimes, or texts from SQLite."""


class TrialTable:
    """The trials of a search, one row each, in the order in which they were added.

    Attributes:
        texts: of all architectures; a row's `architecture` is an index here.
        workers: names; a row's `worker` is an index here.
    """

    def __init__(self) -> None:
        self._rows = np.zeros(1024, np.dtype(list(FIELDS)))
        self._row_of_id: dict[int, int] = {}
        self._index_of_key: dict[str, int] = {}
        self.texts: list[str] = []
        self.workers: list[str] = []

    @classmethod
    def of(cls, trials: Iterable[TrialRecord]) -> TrialTable:
        """The table of some records."""
        table = cls()
        table.add(trials)
        return table

    def __len__(self) -> int:
        return len(self._row_of_id)

    @property
    def rows(self) -> npt.NDArray[Any]:
        """All rows, with the fields of `FIELDS`."""
        return self._rows[: len(self)]

    @property
    def last_id(self) -> int:
        """The highest row id in the database so far; 0 at first."""
        return int(self.rows["id"].max(initial=0))

    @property
    def running(self) -> list[int]:
        """Row ids of the trials that may still change."""
        return [int(i) for i in self.rows["id"][self.rows["state"] == RUNNING]]

    def update(self, trials: Sequence[Sequence[Any]]) -> None:
        """Add rows, or replace earlier ones with the same id.

        Args:
            trials: the values of `TRIAL_COLUMNS` for each trial.
        """
        if not trials:
            return
        columns = dict(zip(TRIAL_COLUMNS, zip(*trials, strict=True), strict=True))
        _check_columns(columns)
        new = np.zeros(len(trials), self._rows.dtype)
        for name in ("id", "number", "seed", "epochs"):
            new[name] = columns[name]
        for name in ("accuracy", *COST_COLUMNS, "seconds", *LOADS):
            new[name] = np.array(columns[name], dtype=float)  # None becomes NaN.
        scores = np.array(columns["metric_score"], dtype=float)
        new["score"] = np.where(np.isnan(scores), new["accuracy"], scores)
        new["state"] = [_STATE_CODES[state] for state in columns["state"]]
        new["baseline"] = [role == BASELINE for role in columns["role"]]
        new["worker"] = [self._worker_index(name) for name in columns["worker"]]
        try:
            new["started"] = _seconds_since_1970(columns["started_at"])
            new["finished"] = _seconds_since_1970(columns["finished_at"])
        except (ValueError, TypeError, OverflowError):
            raise _damaged("started_at or finished_at") from None
        for key, text in zip(columns["key"], columns["text"], strict=True):
            if key not in self._index_of_key:
                self._index_of_key[key] = len(self.texts)
                self.texts.append(text)
        new["architecture"] = [self._index_of_key[key] for key in columns["key"]]
        for row_id in columns["id"]:
            self._row_of_id.setdefault(row_id, len(self._row_of_id))
        while len(self._row_of_id) > len(self._rows):
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._rows[[self._row_of_id[row_id] for row_id in columns["id"]]] = new

    def add(self, trials: Iterable[TrialRecord]) -> None:
        """Add records, or replace earlier ones with the same number, which serves as the id."""
        fields = ({**vars(t), "id": t.number, "text": t.architecture} for t in trials)
        self.update([[row[name] for name in TRIAL_COLUMNS] for row in fields])

    def remove(self, ids: Iterable[int]) -> None:
        """Remove rows that are no longer in the database: trials that a cost limit rejected."""
        removed = set(ids) & set(self._row_of_id)
        if removed:
            remaining = self.rows[~np.isin(self.rows["id"], list(removed))]
            self._rows[: len(remaining)] = remaining
            self._row_of_id = {int(row_id): row for row, row_id in enumerate(remaining["id"])}

    def _worker_index(self, name: str | None) -> int:
        if name is None:
            return -1
        if name not in self.workers:
            self.workers.append(name)
        return self.workers.index(name)

    @property
    def keys(self) -> list[str]:
        """The keys of all architectures, in the order of `texts`."""
        return list(self._index_of_key)

    def index_of(self, key: str) -> int:
        """The index in `texts` of the architecture with this key; −1 if no trial has it."""
        return self._index_of_key.get(key, -1)

    def counts(self) -> dict[State, int]:
        """The number of trials in each state."""
        counts = np.bincount(self.rows["state"], minlength=len(STATES))
        return {state: int(counts[code]) for code, state in enumerate(STATES)}


_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("id", "number", "seed", "epochs"), (int, np.integer)),
    **dict.fromkeys(
        ("accuracy", "metric_score", *COST_COLUMNS, "seconds", *LOADS), (float, int, type(None))
    ),
    **dict.fromkeys(("key", "text", "role", "state"), (str,)),
    "worker": (str, type(None)),
}
_MAX_NUMBER = 2**31 - 1


def _check_columns(columns: Mapping[str, Sequence[Any]]) -> None:
    """Raise StoreError if a value in the database does not fit its column, as SQLite allows."""
    for name, types in _TYPES.items():
        kinds = set(map(type, columns[name]))
        if bool in kinds or not all(issubclass(kind, types) for kind in kinds):
            raise _damaged(name)
    for name in ("number", "seed", "epochs"):
        if min(columns[name]) < 0:
            raise _damaged(name)
    if max(columns["epochs"]) > _MAX_NUMBER or not set(columns["state"]) <= set(STATES):
        raise _damaged("epochs or state")
    for name in ("accuracy", *COST_COLUMNS, "seconds", *LOADS):
        numbers = np.array(columns[name], dtype=float)
        most = 1.0 if name in ("accuracy", *LOADS) else np.finfo(float).max
        if not np.all(np.isnan(numbers) | ((numbers >= 0) & (numbers <= most))):
            raise _damaged(name)
    if np.any(np.isinf(np.array(columns["metric_score"], float))):
        raise _damaged("metric_score")


def _damaged(column: str) -> StoreError:
    return StoreError(
        f"the database is damaged, or was changed by another program: {column} of a trial holds a "
        "value that does not belong there. Restore a copy of it."
    )


def complete_rows(rows: npt.NDArray[Any]) -> Ints:
    """Indices of the rows of complete trials."""
    return np.flatnonzero((rows["state"] == COMPLETE) & ~np.isnan(rows["score"]))


def pruned_rows(rows: npt.NDArray[Any]) -> Ints:
    """Indices of the rows of pruned trials."""
    return np.flatnonzero(rows["state"] == PRUNED)


def tried_architectures(rows: npt.NDArray[Any], count: int) -> npt.NDArray[np.bool_]:
    """(count,) whether each architecture of a table has a trial that is complete or pruned."""
    tried = np.zeros(count, dtype=bool)
    tried[rows["architecture"][np.isin(rows["state"], (COMPLETE, PRUNED))]] = True
    return tried


def _seconds_since_1970(times: Sequence[datetime | str | None]) -> Floats:
    """(n,) seconds; NaN where a time is unknown."""
    if isinstance(next((t for t in times if t is not None), None), datetime):
        return np.array([t.timestamp() if isinstance(t, datetime) else np.nan for t in times])
    parsed = np.array(["NaT" if t is None else t for t in times], "datetime64[us]")
    seconds: Floats = parsed.astype(np.int64) / 1e6
    return np.where(np.isnat(parsed), np.nan, seconds)
