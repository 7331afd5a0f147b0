"""A study in Optuna: a copy in memory, which samplers read, and a copy in the database.

Only the coordinator writes to a study, so it need not read back what it wrote. A sampler that works
on a database reads all trials again for every parameter and writes a dozen small values one by one,
which takes about 100 ms per trial; in memory it takes a few. Here a trial is written in one
transaction once its parameters are known, and its result in another. Both are queued until `write`
is called, so that no worker waits for a disk.
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
    """The trials of one study as Optuna sees them."""

    def __init__(self, keys: Sequence[str], store: Store | None = None, name: str = "") -> None:
        """Load the study, or create it.

        Args:
            keys: the objectives.
            store: the database to write to; without one, the study is in memory only.
            name: the study's name in that database.
        """
        storage = optuna.storages.InMemoryStorage()
        directions = [BY_KEY[key].direction for key in keys]
        self._memory = optuna.create_study(storage=storage, directions=directions)
        self._trial_ids = partial(
            storage.get_trial_id_from_study_id_trial_number,
            storage.get_study_id_from_name(self._memory.study_name),
        )
        self._stored: _StoredStudy | None = None
        if store is not None:
            self._stored = _StoredStudy(_open_storage(store), name, keys)
            for trial in self._stored.study.get_trials():
                self._memory.add_trial(_for_samplers(trial))

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials by number. They are not copies; do not change them."""
        return self._memory.get_trials(deepcopy=False)

    def ask(
        self, sampler: BaseSampler | None = None, fixed: Mapping[str, Value] | None = None
    ) -> optuna.Trial:
        """Open a new trial; the caller must call `save` next.

        Args:
            sampler: draws the parameters; by default the sampler of the previous trial.
            fixed: parameters that are set and not drawn.
        """
        if fixed is not None:
            self._memory.enqueue_trial(dict(fixed))
        if sampler is not None:
            self._memory.sampler = sampler
        return self._memory.ask()

    def save(self, trial: optuna.Trial, constraints: Mapping[str, float]) -> None:
        """Queue a running trial for the database, with its parameters and attributes.

        `constraints` hold, by key, how far the trial is above each limit; it is feasible if none is
        above zero.
        """
        _set_constraints(trial, constraints)
        if self._stored:
            # This object keeps the trial's present state: Optuna replaces it at every change.
            self._stored.queue(_StoredStudy.add, self.trials[trial.number])

    def constrain(self, number: int, constraints: Mapping[str, float]) -> None:
        """Add constraints to a saved trial as they become known."""
        known = set(self.trials[number].system_attrs)
        _set_constraints(optuna.Trial(self._memory, self._trial_ids(number)), constraints)
        added = {k: v for k, v in self.trials[number].system_attrs.items() if k not in known}
        if self._stored:
            self._stored.queue(_StoredStudy.set_attributes, number, added)

    def tell(
        self, number: int, values: Sequence[float] | None = None, state: TrialState | None = None
    ) -> None:
        """Record the end of a saved trial.

        Args:
            number: of the trial.
            values: of the objectives, for a complete trial.
            state: for any other trial, pruned or failed.
        """
        if values is not None and not self.trials[number].params:
            self._memory.tell(number, state=TrialState.FAIL)  # See `_for_samplers`.
            state, values = TrialState.COMPLETE, list(values)
        else:
            trial = self._memory.tell(number, values, state=state)
            state, values = trial.state, trial.values
        if self._stored:
            self._stored.queue(_StoredStudy.end, number, state, values)

    def write(self) -> None:
        """Write to the database, in order, what was queued since the last call."""
        if self._stored:
            self._stored.write()


class _StoredStudy:
    """The study in the database. Changes are queued until `write`."""

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
        self._id = storage.get_study_id_from_name(name)
        self._trial_ids: dict[int, int] = {}
        self._queue: deque[Callable[[], None]] = deque()

    def queue(self, operation: Callable[..., None], *arguments: Any) -> None:
        """Call a method of this class at the next `write`."""
        self._queue.append(partial(operation, self, *arguments))

    def write(self) -> None:
        """Do all queued operations; one that fails stays in the queue with those after it."""
        while self._queue:
            self._queue[0]()
            self._queue.popleft()

    def add(self, trial: FrozenTrial) -> None:
        """Add a new trial."""
        trial_id = self.storage.create_new_trial(self._id, template_trial=trial)
        self._trial_ids[trial.number] = trial_id

    def set_attributes(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Add system attributes to a trial."""
        for key, value in attributes.items():
            self.storage.set_trial_system_attr(self._trial_id(number), key, value)

    def end(self, number: int, state: TrialState, values: Sequence[float] | None) -> None:
        """Record how a trial ended."""
        self.storage.set_trial_state_values(self._trial_id(number), state, values)

    def _trial_id(self, number: int) -> int:
        if number not in self._trial_ids:  # It began in an earlier run.
            trial_id = self.storage.get_trial_id_from_study_id_trial_number(self._id, number)
            self._trial_ids[number] = trial_id
        return self._trial_ids[number]


def _for_samplers(trial: FrozenTrial) -> FrozenTrial:
    """A stored trial for samplers: a complete trial without parameters counts as failed.

    A textbook baseline outside the search space has no parameters. NSGA-II, NSGA-III and GP use
    only the parameters that all complete trials share, so after one such trial they would have
    none.
    """
    if trial.state != TrialState.COMPLETE or trial.params:
        return trial
    return optuna.trial.create_trial(
        state=TrialState.FAIL,
        user_attrs=trial.user_attrs,
        system_attrs=trial.system_attrs,
    )


def _set_constraints(trial: optuna.Trial, constraints: Mapping[str, float]) -> None:
    """Set the constraints that the trial does not have yet."""
    for key, value in constraints.items():
        if key not in trial.constraints:
            trial.set_constraint(key, value)


def delete_optuna_study(store: Store, name: str) -> None:
    """Remove Optuna's part of a study; nothing happens if there is none."""
    storage = _open_storage(store)
    if name in optuna.get_all_study_names(storage):
        optuna.delete_study(study_name=name, storage=storage)


class _FastCommitConnection(sqlite3.Connection):
    """A connection whose commits survive a crash of the process, but not always a loss of power.

    That is enough for Optuna's tables: a result is on the disk in attentune's tables before Optuna
    is told, and `Proposer.recover` tells Optuna again.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.execute("PRAGMA synchronous = NORMAL")


def _open_storage(store: Store) -> optuna.storages.RDBStorage:
    arguments: dict[str, Any] = {}
    if store.url.startswith("sqlite"):
        arguments = {"timeout": 30, "factory": _FastCommitConnection}
    storage = optuna.storages.RDBStorage(store.url, engine_kwargs={"connect_args": arguments})
    store.fence_commits(storage.engine)
    return storage
