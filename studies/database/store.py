"""The store: the records of all studies of a database. One coordinator per study writes them.

    with Store.open("attentune.db", create=True) as store:
        study = store.studies.create("mine", backbone="resnet18", seed=0, config={...},
                                     objectives=("accuracy", "params"))
        lease = store.leases.acquire(study)
        store.trials.start(study, 0, architecture, seed=0, role=BASELINE)
        store.epochs.record(study, 0, report)
        store.trials.finish(study, 0, result)

Optuna keeps its own tables in the same database, and this package never touches them; they are
written in the transactions that `begin` makes.
Results, failures and new studies are on the disk when their method returns. Epochs survive a crash
of the process, but not always a loss of power. Every method takes a study by record or by name.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection

from ...errors import StoreError, UsageError
from ...runners.artifacts.store import ArtifactStore
from ..records import StudyRecord
from .artifacts import ArtifactFolders
from .connection import Database, Mode
from .data_records import DataRecordRepository
from .epochs import EpochRepository
from .insertions import InsertionRepository
from .leases import LeaseRepository, busy
from .marks import MarkRepository
from .metrics import MetricRepository
from .postgresql_server import PostgresqlServer
from .probes import ProbeRepository
from .sqlite_file import SqliteFile
from .studies import Study, StudyRepository
from .trials import TrialRepository

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Store:
    """An open database. Use it as a context manager, or `close` it.

    Attributes:
        studies: names, configurations and time spent.
        trials: trials, rejected architectures, and environments.
        epochs: the epochs of all trials.
        metrics: metrics of complete trials besides their accuracy.
        insertions: what the model of a study has to know about the insertions of its architectures.
        data_records: what studies were searched on.
        leases: the right to run a study.
        probes: measurements that are made once for all studies.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.studies = StudyRepository(database)
        self.trials = TrialRepository(database, self.studies)
        self.epochs = EpochRepository(database, self.studies)
        self.metrics = MetricRepository(database, self.studies)
        self.insertions = InsertionRepository(database, self.studies)
        self.data_records = DataRecordRepository(database, self.studies)
        self.marks = MarkRepository(database, self.studies)
        self.leases = LeaseRepository(database, self.studies)
        self.probes = ProbeRepository(database)

    @classmethod
    def open(
        cls, target: str | Path | None = None, *, create: bool = False, read_only: bool = False
    ) -> Store:
        """Open a database.

        Args:
            target: a path or URL; by default $ATTENTUNE_DB or ./attentune.db.
            create: make the file or the tables if they are missing.
            read_only: never write, and never block a writer.

        Raises:
            StoreError: the database cannot be opened; it says why, and what to do.
        """
        store = cls(Database.open(target, create=create, read_only=read_only))
        try:
            if not read_only:
                store.artifact_folders.finish_removals(store.studies.read_all_added)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Close every connection; an SQLite database is then one file, complete in itself."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def begin(self, mode: Mode) -> AbstractContextManager[Connection]:
        """A transaction that holds all that is written in its block; see `Database.begin`.

        Args:
            mode: `commit` for what must survive a loss of power, else `write`.
        """
        return self._database.begin(mode)

    def retry(self, function: Callable[[], T]) -> T:
        """Call a function that makes one transaction; repeat it if its connection was lost."""
        return self._database.retry(function)

    def explained_errors(self) -> AbstractContextManager[None]:
        """Raise a StoreError in place of an error of the driver."""
        return self._database.explained_errors()

    def optuna_engine(self) -> tuple[str, dict[str, Any]]:
        """The URL and the engine's arguments with which Optuna opens the same database."""
        backend = self._database.backend
        if isinstance(backend, SqliteFile):
            return "sqlite://", {"creator": backend.connect}
        url = self.url.replace("{", "{{").replace("}", "}}")  # Optuna fills in a template.
        return url, {"pool_pre_ping": True}

    @property
    def url(self) -> str:
        """The SQLAlchemy URL, password included."""
        return self._database.url.render_as_string(hide_password=False)

    @property
    def name(self) -> str:
        """The database as messages show it: a path, or a URL without password."""
        return self._database.shown

    def stop_waiting(self) -> None:
        """Wait for a server that cannot be reached for seconds only, because this process stops."""
        if isinstance(self._database.backend, PostgresqlServer):
            self._database.backend.stop_waiting()

    def check_present(self) -> None:
        """Check that an SQLite file is where it was: a deleted one can be read on.

        Raises:
            StoreError: it is not.
        """
        self._database.backend.check_present()

    @property
    def artifacts(self) -> Path:
        """The folder of checkpoints and weights.

        It is beside an SQLite file; for PostgreSQL it is in the working directory.
        """
        return self.artifact_folders.root

    def artifacts_of(self, study: Study) -> ArtifactStore:
        """The folder of artifacts, or the URL, at which a study has its folder."""
        return self.artifact_folders.store_of(self.studies.record_of(study))

    @property
    def artifact_folders(self) -> ArtifactFolders:
        """The folders of studies and trials in the folder of artifacts."""
        backend = self._database.backend
        return ArtifactFolders(backend.artifacts_parent, backend.name)

    def study_folder(self, study: Study) -> Path:
        """The folder of a study's artifacts; it need not exist yet.

        If they are at a URL, no files are in it; see `artifacts_of`.

        Raises:
            StoreError: the database names a folder that is not attentune's.
        """
        return self.artifact_folders.of_study(self.studies.record_of(study))

    def trial_folder(self, study: Study, number: int) -> Path:
        """The folder of one trial's artifacts; it need not exist yet. See `study_folder`.

        Raises:
            StoreError: the database names a folder that is not attentune's.
        """
        return self.artifact_folders.of_trial(self.studies.record_of(study), number)

    def trial_file(self, study: Study, number: int, name: str) -> Path:
        """A file of one trial's artifacts on this machine; it need not exist.

        It is a copy if they are at a URL, and not to be changed.

        Args:
            study: by record or name.
            number: the trial's number in the study.
            name: of the file, which must not come from the database.

        Raises:
            StoreError: the database names a folder that is not attentune's, or the file is a link,
                or the URL cannot be read.
        """
        return self.artifact_folders.file(self.studies.record_of(study), number, name)

    def delete_study(self, name: str, remove_rest: Callable[[], None] | None = None) -> None:
        """Remove a study with its trials and artifacts.

        Its rows are removed in one transaction, and its folder afterwards. If this process dies in
        between, the next one that opens the database for writing deletes the folder. Meanwhile this
        process holds the lease of the study, for which `LeaseRepository.acquire` may have to wait.

        Args:
            name: of the study.
            remove_rest: called first in the same transaction, to remove Optuna's part.

        Raises:
            StudyError: there is no such study, or it is being run.
        """
        study, folders = self.studies.get(name), self.artifact_folders
        removes_folder = self._may_remove_folder(study)

        def remove() -> None:
            with self.begin("commit"):
                if remove_rest is not None:
                    remove_rest()
                self.studies.delete(study)

        with self._leased(study):
            if removes_folder:
                folders.announce_removal(study)
            self.retry(remove)
        if removes_folder:
            folders.remove(study)

    @contextlib.contextmanager
    def _leased(self, study: StudyRecord) -> Iterator[None]:
        """Hold a study's lease during a `with` block, without heartbeats."""
        lease = self.leases.acquire(study)
        self.leases.set_fence(lease)
        try:
            yield
        finally:
            self.leases.remove_fence(lease)
            with contextlib.suppress(StoreError):  # What ended the block has to be reported.
                self.leases.release(lease)

    def compact(self) -> tuple[int, int]:
        """Give the space of removed studies back to the file system.

        Returns:
            Bytes of the database before and afterwards.

        Raises:
            StudyError: a study is being run.
            UsageError: it is no SQLite database.
        """
        backend = self._database.backend
        if not isinstance(backend, SqliteFile):
            raise UsageError(
                "only an SQLite file is compacted; PostgreSQL does that by itself (autovacuum)"
            )
        for study in self.studies.read_all():
            if holder := self.leases.holder(study):
                raise busy(holder)
        before = backend.size()
        with self.explained_errors():
            backend.compact()
        return before, backend.size()

    def _may_remove_folder(self, study: StudyRecord) -> bool:
        """Whether the folder of a study is its own; otherwise, why it is kept is logged."""
        try:
            self.artifact_folders.of_study(study)
        except StoreError as error:
            logger.warning("the study is removed, and no folder: %s", error)
            return False
        copies = self._database.backend.databases_beside(study.folder)
        if copies:
            logger.warning(
                "the weights of %r are kept, because %s holds the study too",
                study.name,
                " and ".join(copies),
            )
        return not copies
