"""A study in Optuna: a copy in memory, which samplers read, and a copy in the database.

Only the coordinator writes to a study, so it need not read back what it wrote. A sampler that works
on a database reads all trials again for every parameter and writes a dozen small values one by one,
which takes about 100 ms per trial; in memory it takes a few. Here a trial is queued once its
parameters are known, and its result later. What is in the queue is written in one transaction when
`write` is called, so that no worker waits for a disk.

A loss of power may undo what was written: a result is on the disk in attentune's tables before
Optuna is told, and `Proposer.recover` tells Optuna again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    check_distribution_compatibility,
    distribution_to_json,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from ...spaces.attentions.entry import Value
from ...studies.database.optuna_rows import (
    OptunaEnd,
    OptunaParameter,
    OptunaRows,
    OptunaTrial,
)
from ...studies.database.store import Store
from ...studies.objectives import objective
from ...studies.records import StudyRecord
from .optuna_tables import (
    MARK,
    OptunaTables,
    belongs_to,
    create_study,
    find_study,
    foreign_study_error,
    mark_study,
)


class OptunaStudy:
    """The trials of one study as Optuna sees them."""

    def __init__(
        self,
        objectives: Sequence[str],
        store: Store | None = None,
        record: StudyRecord | None = None,
    ) -> None:
        """Load the study, or create it.

        Args:
            objectives: their names or keys.
            store: the database to write to; without one, the study is in memory only.
            record: the study in that database.

        Raises:
            StudyError: the database holds an Optuna study of that name that is the user's own.
        """
        storage = self._storage = optuna.storages.InMemoryStorage()
        directions = [objective(name).direction for name in objectives]
        self._memory = optuna.create_study(storage=storage, directions=directions)
        self._trial_ids = partial(
            storage.get_trial_id_from_study_id_trial_number,
            storage.get_study_id_from_name(self._memory.study_name),
        )
        self._count = 0
        self._stored: _StoredStudy | None = None
        if store is not None and record is not None:
            self._stored = _StoredStudy(store, record, objectives)
            for trial in self._stored.open():
                self._memory.add_trial(_for_samplers(trial))
                self._count += 1

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials by number. They are not copies; do not change them.

        The list is made anew at each call; use `trial` and `count` for one of many trials.
        """
        return self._memory.get_trials(deepcopy=False)

    @property
    def count(self) -> int:
        """The number of trials."""
        return self._count

    def trial(self, number: int) -> FrozenTrial:
        """A trial. It is no copy; do not change it."""
        return self._storage.get_trial(self._trial_ids(number))

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
        trial = self._memory.ask()
        self._count = trial.number + 1
        return trial

    def save(self, trial: optuna.Trial, constraints: Mapping[str, float]) -> None:
        """Queue a running trial for the database, with its parameters and attributes.

        `constraints` hold, by key, how far the trial is above each limit; it is feasible if none is
        above zero.
        """
        _set_constraints(trial, constraints)
        if self._stored:
            # This object keeps the trial's present state: Optuna replaces it at every change.
            self._stored.add(self.trial(trial.number))

    def constrain(self, number: int, constraints: Mapping[str, float]) -> None:
        """Add constraints to a saved trial as they become known."""
        known = set(self.trial(number).system_attrs)
        _set_constraints(optuna.Trial(self._memory, self._trial_ids(number)), constraints)
        added = {k: v for k, v in self.trial(number).system_attrs.items() if k not in known}
        if self._stored:
            self._stored.set_attributes(number, added)

    def tell(
        self, number: int, values: Sequence[float] | None = None, state: TrialState | None = None
    ) -> None:
        """Record the end of a saved trial.

        Args:
            number: of the trial.
            values: of the objectives, for a complete trial.
            state: for any other trial, pruned or failed.
        """
        if values is not None and not self.trial(number).params:
            self._memory.tell(number, state=TrialState.FAIL)  # See `_for_samplers`.
            state, values = TrialState.COMPLETE, list(values)
        else:
            trial = self._memory.tell(number, values, state=state)
            state, values = trial.state, trial.values
        if self._stored:
            self._stored.end(OptunaEnd(number, state.name, values))

    def write(self) -> None:
        """Write to the database, in order, what was queued since the last call."""
        if self._stored:
            self._stored.write()


class _StoredStudy:
    """The study in the database. Changes are queued until `write`."""

    def __init__(self, store: Store, record: StudyRecord, objectives: Sequence[str]) -> None:
        self._store, self._record, self._objectives = store, record, objectives
        self._tables = OptunaTables(store)
        self._rows: OptunaRows | None = None
        self._added: list[OptunaTrial] = []
        self._distributions: dict[str, BaseDistribution] = {}
        self._attributes: list[tuple[int, Mapping[str, Any]]] = []
        self._ended: list[OptunaEnd] = []

    def open(self) -> list[FrozenTrial]:
        """Create the study if it is missing; return its trials."""
        return self._store.retry(self._open)

    def _open(self) -> list[FrozenTrial]:
        with self._store.begin("commit") as connection, self._tables.begin("commit") as storage:
            study = find_study(storage, self._record.name)
            if study is None:
                create_study(storage, self._record, self._objectives)
            elif not belongs_to(study, self._record, self._store):
                raise foreign_study_error(
                    self._record.name,
                    "rename one of the two, for example with optuna.copy_study, before you "
                    "continue with this one",
                )
            elif MARK not in study.user_attrs:
                mark_study(study, self._record)
            study_id = storage.get_study_id_from_name(self._record.name)
            trials = storage.get_all_trials(study_id)
            for trial in trials:
                self._distributions |= trial.distributions
            self._rows = OptunaRows(connection, study_id, self._record.name)
            return trials

    def add(self, trial: FrozenTrial) -> None:
        """Queue a new trial.

        Raises:
            ValueError: a parameter has other choices than in earlier trials.
        """
        self._added.append(
            OptunaTrial(
                trial.number,
                trial.datetime_start,
                {name: self._parameter(trial, name) for name in trial.params},
                trial.user_attrs,
                trial.system_attrs,
            )
        )

    def _parameter(self, trial: FrozenTrial, name: str) -> OptunaParameter:
        distribution = trial.distributions[name]
        known = self._distributions.setdefault(name, distribution)
        if known != distribution:
            check_distribution_compatibility(known, distribution)
        return OptunaParameter(
            distribution.to_internal_repr(trial.params[name]), distribution_to_json(distribution)
        )

    def set_attributes(self, number: int, attributes: Mapping[str, Any]) -> None:
        """Queue system attributes of a trial, which it does not have yet."""
        self._attributes.append((number, attributes))

    def end(self, end: OptunaEnd) -> None:
        """Queue how a trial ended."""
        self._ended.append(end)

    def write(self) -> None:
        """Write all that is queued in one transaction; if it fails, all stays in the queue."""
        if self._added or self._attributes or self._ended:
            self._store.retry(self._write)

    def _write(self) -> None:
        assert self._rows is not None  # `open` was called.
        with self._tables.explained_errors(), self._store.begin("write") as connection:
            new = self._rows.add(connection, self._added)
            self._rows.add_system_attributes(connection, self._attributes, new)
            self._rows.end(connection, self._ended, new)
        self._rows.remember(new)
        for queue in (self._added, self._attributes, self._ended):
            queue.clear()


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
