"""Optuna's tables, in the transactions of attentune's database.

What attentune and Optuna record about the same event is then committed together or not at all, and
whatever protects attentune's transactions (a lost connection is repeated, a file that has gone is
noticed) protects Optuna's.

A database may also hold studies that the user made with Optuna. Those of attentune carry a mark
with their name and the random name of their folder, which no other study ever has. A study without
it is neither joined nor removed, unless its trials show that an earlier release wrote it.
"""

from __future__ import annotations

import contextlib
import logging
import shlex
import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import optuna
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from ...errors import AttentuneError, StoreError, StudyError
from ...sanitize import clean_error
from ...studies.database.store import Store
from ...studies.objectives import objective
from ...studies.records import StudyRecord

MARK = "attentune"
"""The user attribute of an Optuna study that holds the mark."""
TRIAL_ATTRIBUTES = {"architecture", "key", "seed", "role"}
"""User attributes that every trial of a study of attentune has had since the first release."""
_MAX_ATTEMPTS = 5
_DAMAGED = (LookupError, ValueError, TypeError, AssertionError, RecursionError)
"""What Optuna raises for values in its tables that it did not write."""

optuna.logging.set_verbosity(optuna.logging.WARNING)
logger = logging.getLogger(__name__)


class OptunaTables:
    """Optuna's tables in the database of a store."""

    def __init__(self, store: Store) -> None:
        """Make the tables if they are missing.

        Raises:
            StoreError: another version of Optuna made them, or the database cannot be written.
        """
        self._store = store
        self._storage = store.retry(lambda: _make_storage(store))

    @contextlib.contextmanager
    def begin(self, mode: Literal["read", "write", "commit"]) -> Iterator[RDBStorage]:
        """Optuna's storage inside a transaction of the store; see `Database.begin`."""
        with self._store.begin(mode) as connection:
            self._storage.scoped_session.configure(
                bind=connection, join_transaction_mode="create_savepoint"
            )
            try:
                with self.explained_errors():
                    yield self._storage
            except optuna.exceptions.StorageInternalError as error:
                raise error.__cause__ or error from None
            finally:
                self._storage.remove_session()

    @contextlib.contextmanager
    def explained_errors(self) -> Iterator[None]:
        """Raise a StoreError for values in the tables that Optuna did not write."""
        try:
            yield
        except AttentuneError:
            raise
        except _DAMAGED as error:
            raise _damaged_tables(self._store, error) from error


def _damaged_tables(store: Store, error: Exception) -> StoreError:
    return StoreError(
        f"Optuna's tables in {store.name} are damaged, or were changed by another program "
        f"({clean_error(error)}). Restore a copy of the database."
    )


def _make_storage(store: Store) -> RDBStorage:
    """A storage whose own engine is closed again once the tables exist."""
    url, arguments = store.optuna_engine()
    attempts = 0
    while True:
        try:
            with store.explained_errors():
                return _open_storage(url, arguments)
        except StoreError:
            # Another process may be making the same tables.
            attempts += 1
            if attempts == _MAX_ATTEMPTS:
                raise
            time.sleep(0.1 * attempts)


def _open_storage(url: str, arguments: dict[str, Any]) -> RDBStorage:
    try:
        storage = RDBStorage(url, engine_kwargs=arguments)
    except optuna.exceptions.StorageInternalError as error:
        raise error.__cause__ or error from None
    except (RuntimeError, *_DAMAGED) as error:
        reason = clean_error(error)
        raise StudyError(f"Optuna's tables in the database cannot be used: {reason}") from None
    storage.remove_session()
    storage.engine.dispose()
    return storage


def create_study(storage: RDBStorage, record: StudyRecord, objectives: Sequence[str]) -> None:
    """Create Optuna's part of a study, with its mark.

    Args:
        storage: inside a transaction, so that no study without its mark is ever seen.
        record: the study.
        objectives: their names or keys.
    """
    declared = [objective(name) for name in objectives]
    directions = [each.direction for each in declared]
    study = optuna.create_study(study_name=record.name, storage=storage, directions=directions)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([each.key for each in declared])
    mark_study(study, record)


def mark_study(study: optuna.Study, record: StudyRecord) -> None:
    """Mark an Optuna study as that of a record."""
    study.set_user_attr(MARK, {"study": record.name, "folder": record.folder})


def find_study(storage: RDBStorage, name: str) -> optuna.Study | None:
    """The Optuna study of that name; None if there is none."""
    try:
        return optuna.load_study(study_name=name, storage=storage)
    except KeyError:
        return None


def belongs_to(study: optuna.Study, record: StudyRecord, store: Store) -> bool:
    """Whether an Optuna study of the same name is that of a record.

    It is if it carries the record's mark. Releases before the mark have left their studies without
    one: such a study has the trials that the record has, and all of its trials have the attributes
    that attentune gives them.

    Args:
        study: in Optuna, loaded inside a transaction.
        record: in attentune.
        store: the database of both.
    """
    if MARK in study.user_attrs:
        return bool(study.user_attrs[MARK] == {"study": record.name, "folder": record.folder})
    trials = study.get_trials(deepcopy=False)
    recorded = store.trials.read(record)
    if not trials:
        return not recorded and study.metric_names == list(record.objectives)
    keys = [trial.user_attrs.get("key") for trial in trials]
    return were_made_here(trials) and all(
        trial.number < len(keys) and keys[trial.number] == trial.key for trial in recorded
    )


def is_left_over(study: optuna.Study, store: Store) -> bool:
    """Whether an Optuna study belonged to a study of attentune that has been removed.

    It is only asked for a name of which attentune has no study (any more).
    """
    mark = study.user_attrs.get(MARK)
    if mark is None:
        trials = study.get_trials(deepcopy=False)
        return bool(trials) and were_made_here(trials)
    if not isinstance(mark, dict) or mark.get("study") != study.study_name:
        return False  # It is a copy that somebody has made with Optuna's own functions.
    return all(record.folder != mark.get("folder") for record in store.studies.read_all())


def were_made_here(trials: Sequence[FrozenTrial]) -> bool:
    """Whether all trials have the attributes that attentune gives to its own."""
    return all(set(trial.user_attrs) >= TRIAL_ATTRIBUTES for trial in trials)


def foreign_study_error(name: str, advice: str) -> StudyError:
    """The error for an Optuna study of the same name that is the user's own.

    Args:
        name: of both studies.
        advice: what to do, as the end of a sentence.
    """
    return StudyError(
        f"the database holds an Optuna study called {name!r} that attentune did not make, and "
        f"which it does not touch; {advice}."
    )


def check_name_is_free(store: Store, name: str, tables: OptunaTables | None = None) -> None:
    """Check that a new study does not meet an Optuna study of its name.

    Args:
        store: the database, which has no study of attentune of that name.
        name: of the new study.
        tables: of Optuna in that database; None: they are opened.

    Raises:
        StudyError: there is one. If it is what is left of a removed study, `attentune rm` removes
            it; the user's own is never touched.
    """
    optuna_tables = tables or OptunaTables(store)

    def check() -> None:
        with optuna_tables.begin("read") as storage:
            study = find_study(storage, name)
            if study is None:
                return
            if is_left_over(study, store):
                raise StudyError(
                    f"the removal of an earlier study {name!r} was not finished; finish it with "
                    f"`attentune rm {shlex.quote(name)}`, or choose another name."
                )
            raise foreign_study_error(name, "choose another name, or another database with --db")

    store.retry(check)


def remove_study(tables: OptunaTables, store: Store, name: str) -> None:
    """Remove Optuna's part of a study; the user's own study of that name is left alone.

    It is called in the transaction that removes the study, and before the record is gone.

    Args:
        tables: of Optuna.
        store: the database.
        name: of the study, which still exists.
    """
    record = store.studies.get(name)
    with tables.begin("commit") as storage:
        study = find_study(storage, name)
        if study is None:
            return
        if belongs_to(study, record, store):
            optuna.delete_study(study_name=name, storage=storage)
        else:
            logger.warning("the Optuna study %r is kept: attentune did not make it", name)


def remove_left_over(tables: OptunaTables, store: Store, name: str) -> bool:
    """Remove what an interrupted removal has left of a study in Optuna's tables.

    Args:
        tables: of Optuna.
        store: the database, which has no study of attentune of that name.
        name: of the study that was removed.

    Returns:
        Whether there was something.
    """
    with tables.begin("commit") as storage:
        study = find_study(storage, name)
        if study is None or not is_left_over(study, store):
            return False
        optuna.delete_study(study_name=name, storage=storage)
        return True
