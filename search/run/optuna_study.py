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
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import optuna
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from ...spaces.attentions.entry import Value
from ...studies.database.store import Store
from ...studies.objectives import BY_KEY

optuna.logging.set_verbosity(optuna.logging.WARNING)


class OptunaStudy:
    """The trials of one study, as Optuna sees them; without a store, in memory only."""

    def __init__(self, keys: Sequence[str], store: Store | None = None, name: str = "") -> None:
        directions = [BY_KEY[key].direction for key in keys]
        self._memory = optuna.create_study(directions=directions)
        self._stored: _StoredStudy | None = None
        if store is not None:
            self._stored = _StoredStudy(_storage(store), name, keys)
            for trial in self._stored.study.get_trials():
                self._memory.add_trial(_for_samplers(trial))

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
        if self._stored:
            # The trial as it is now: whatever changes it makes another object.
            self._stored.later(_StoredStudy.add, self.trials[trial.number])

    def constrain(self, number: int, constraints: Mapping[str, float]) -> None:
        """Add constraints to a saved trial, as they become known."""
        frozen = self.trials[number]
        known = set(frozen.system_attrs)
        _constrain(optuna.Trial(self._memory, frozen._trial_id), constraints)
        new = {k: v for k, v in self.trials[number].system_attrs.items() if k not in known}
        if self._stored:
            self._stored.later(_StoredStudy.set_attributes, number, new)

    def tell(
        self, number: int, values: Sequence[float] | None = None, state: TrialState | None = None
    ) -> None:
        """How a saved trial ended: with values, pruned, or failed."""
        if values is not None and not self.trials[number].params:
            self._memory.tell(number, state=TrialState.FAIL)  # see `_for_samplers`
            state, values = TrialState.COMPLETE, list(values)
        else:
            told = self._memory.tell(number, values, state=state)
            state, values = told.state, told.values
        if self._stored:
            self._stored.later(_StoredStudy.end, number, state, values)

    def write(self) -> None:
        """Write to the database, in order, what has happened since the last time."""
        if self._stored:
            self._stored.write()


class _StoredStudy:
    """Optuna's half of a study in the database, always a little behind."""

    def __init__(self, storage: optuna.storages.RDBStorage, name: str, keys: Sequence[str]) -> None:
        self.storage = storage
        self.study = optuna.create_study(
            study_name=name,
            storage=storage,
            directions=[BY_KEY[key].direction for key in keys],
            load_if_exists=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self.study.set_metric_names(list(keys))
        self.ids = [trial._trial_id for trial in self.study.get_trials(deepcopy=False)]
        self.waiting: deque[Callable[[], None]] = deque()

    def later(self, what: Callable[..., None], *given: Any) -> None:
        """Do it at the next `write`."""
        self.waiting.append(partial(what, self, *given))

    def write(self) -> None:
        """Do all that waits; what fails stays, with all that comes after it."""
        while self.waiting:
            self.waiting[0]()
            self.waiting.popleft()

    def add(self, frozen: FrozenTrial) -> None:
        """A new trial."""
        study_id = self.study._study_id
        self.ids.append(self.storage.create_new_trial(study_id, template_trial=frozen))

    def set_attributes(self, number: int, attributes: Mapping[str, Any]) -> None:
        """More of what Optuna itself keeps with a trial."""
        for key, value in attributes.items():
            self.storage.set_trial_system_attr(self.ids[number], key, value)

    def end(self, number: int, state: TrialState, values: Sequence[float] | None) -> None:
        """How a trial ended."""
        self.storage.set_trial_state_values(self.ids[number], state, values)


def _for_samplers(trial: FrozenTrial) -> FrozenTrial:
    """A trial as it stands in memory: complete without parameters counts as failed.

    A textbook baseline outside of the space has no parameters. NSGA-II, NSGA-III and GP work on
    those that all complete trials share, so that one such trial would leave them nothing but
    chance.
    """
    if trial.state != TrialState.COMPLETE or trial.params:
        return trial
    return optuna.trial.create_trial(
        state=TrialState.FAIL,
        user_attrs=trial.user_attrs,
        system_attrs=trial.system_attrs,
    )


def _constrain(trial: optuna.Trial, constraints: Mapping[str, float]) -> None:
    for key, value in constraints.items():
        if key not in trial.constraints:
            trial.set_constraint(key, value)


def delete_optuna_study(store: Store, name: str) -> None:
    """Remove Optuna's part of a study; nothing happens if there is none."""
    storage = _storage(store)
    if name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)


class _FastCommitConnection(sqlite3.Connection):
    """Commits that survive a crash of the process, though not always a loss of power.

    That is enough for Optuna's half: a result is on the disk in ours before Optuna hears of it, and
    `Proposer.recover` tells it again.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA synchronous = NORMAL")


def _storage(store: Store) -> optuna.storages.RDBStorage:
    connecting = (
        {"timeout": 30, "factory": _FastCommitConnection} if store.url.startswith("sqlite") else {}
    )
    return optuna.storages.RDBStorage(store.url, engine_kwargs={"connect_args": connecting})
