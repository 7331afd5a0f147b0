"""Optuna's study twice: in memory, where samplers ask, and in the database, for everybody else.

Only the coordinator writes to a study, so it need not read back what it wrote. Samplers that ask a
database read all trials again for every parameter, and write each of a dozen small things on its
own: some 100 ms a trial, where in memory it is a few. Here a trial is written when all of it is
known, in one transaction, and its end in another, and all of it only when `write` is called: while
a worker waits for its next trial, nobody has to wait for a disk.
"""

from __future__ import annotations

import sqlite3
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from ..spaces.attentions.catalogue import Value
from ..studies.objectives import BY_KEY
from ..studies.store import Store

optuna.logging.set_verbosity(optuna.logging.WARNING)


class OptunaStudy:
    """The trials of one study, as Optuna sees them."""

    def __init__(self, store: Store, name: str, keys: Sequence[str]) -> None:
        self._storage = _storage(store)
        directions = [BY_KEY[key].direction for key in keys]
        saved = optuna.create_study(
            study_name=name, storage=self._storage, directions=directions, load_if_exists=True
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            saved.set_metric_names(list(keys))
        self._study_id = saved._study_id
        self._memory = optuna.create_study(directions=directions)
        self._ids: list[int] = []
        self._unwritten: list[Callable[[], None]] = []
        for trial in saved.get_trials():
            self._ids.append(trial._trial_id)
            self._memory.add_trial(trial)

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials by number; look, but do not touch."""
        return self._memory.get_trials(deepcopy=False)

    def ask(
        self, sampler: BaseSampler | None = None, fixed: Mapping[str, Value] | None = None
    ) -> optuna.Trial:
        """A new trial, whose parameters are `fixed` where given; `save` has to follow."""
        if fixed is not None:
            self._memory.enqueue_trial(dict(fixed))
        if sampler is not None:
            self._memory.sampler = sampler
        return self._memory.ask()

    def save(self, trial: optuna.Trial, constraints: Mapping[str, float]) -> None:
        """Write a trial with all that is known of it; it is running.

        `constraints` say how far it is above each limit; what is not above zero is kept.
        """
        _constrain(trial, constraints)
        frozen = self.trials[trial.number]  # as it is now: whatever changes makes another object
        self._unwritten.append(partial(self._write_new, frozen))

    def _write_new(self, frozen: FrozenTrial) -> None:
        self._ids.append(self._storage.create_new_trial(self._study_id, template_trial=frozen))

    def write(self) -> None:
        """Write to the database, in order, what has happened since the last time."""
        while self._unwritten:
            self._unwritten[0]()
            del self._unwritten[0]

    def constrain(self, number: int, constraints: Mapping[str, float]) -> None:
        """Add constraints to a saved trial, as they become known."""
        frozen = self.trials[number]
        known = set(frozen.system_attrs)
        _constrain(optuna.Trial(self._memory, frozen._trial_id), constraints)
        new = {k: v for k, v in self.trials[number].system_attrs.items() if k not in known}
        self._unwritten.append(partial(self._write_attributes, number, new))

    def _write_attributes(self, number: int, attributes: Mapping[str, Any]) -> None:
        for key, value in attributes.items():
            self._storage.set_trial_system_attr(self._ids[number], key, value)

    def tell(
        self, number: int, values: Sequence[float] | None = None, state: TrialState | None = None
    ) -> None:
        """How a saved trial ended: with values, pruned, or failed."""
        told = self._memory.tell(number, values, state=state)
        self._unwritten.append(partial(self._write_end, number, told.state, told.values))

    def _write_end(self, number: int, state: TrialState, values: Sequence[float] | None) -> None:
        self._storage.set_trial_state_values(self._ids[number], state, values)


def _constrain(trial: optuna.Trial, constraints: Mapping[str, float]) -> None:
    for key, value in constraints.items():
        if key not in trial.constraints:
            trial.set_constraint(key, value)


def forget_study(store: Store, name: str) -> None:
    """Remove Optuna's part of a study; nothing happens if there is none."""
    storage = _storage(store)
    if name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)


class _Quick(sqlite3.Connection):
    """Commits that survive a crash of the process, though not always a loss of power.

    That is enough for Optuna's half: a result is on the disk in ours before Optuna hears of it, and
    `Proposer.reconcile` tells it again.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA synchronous = NORMAL")


def _storage(store: Store) -> optuna.storages.RDBStorage:
    connecting = {"timeout": 30, "factory": _Quick} if store.url.startswith("sqlite") else {}
    return optuna.storages.RDBStorage(store.url, engine_kwargs={"connect_args": connecting})
