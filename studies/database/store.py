"""The store: the records of all studies of a database. One coordinator per study writes them.

    with Store.open("attentune.db", create=True) as store:
        study = store.studies.create("mine", backbone="resnet18", seed=0, config={...},
                                     objectives=("accuracy", "params"))
        lease = store.leases.acquire(study)
        store.trials.start(study, 0, architecture, seed=0, role=BASELINE)
        store.epochs.record(study, 0, report)
        store.trials.finish(study, 0, result)

Optuna keeps its own tables in the same database (`store.url`), and this package never touches them.
Results, failures and new studies are on the disk when their method returns. Epochs survive a crash
of the process, but not always a loss of power. Every method takes a study by record or by name.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from sqlalchemy import Engine

from ...errors import StudyError
from .connection import ARTIFACTS, Database
from .epochs import EpochRepository
from .leases import LeaseRepository
from .probes import ProbeRepository
from .studies import Study, StudyRepository
from .trials import TrialRepository


class Store:
    """An open database. Use it as a context manager, or `close` it.

    Attributes:
        studies: names, configurations and time spent.
        trials: trials, rejected architectures, and environments.
        epochs: the epochs of all trials.
        leases: the right to run a study.
        probes: measurements that are made once for all studies.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.studies = StudyRepository(database)
        self.trials = TrialRepository(database, self.studies)
        self.epochs = EpochRepository(database, self.studies)
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
        return cls(Database.open(target, create=create, read_only=read_only))

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The SQLAlchemy URL, password included, for Optuna's `RDBStorage`."""
        return self._database.url.render_as_string(hide_password=False)

    def fence_commits(self, engine: Engine) -> None:
        """Let Optuna's engine commit only while this process holds its leases."""
        self._database.fence_commits(engine)

    @property
    def name(self) -> str:
        """The database as messages show it: a path, or a URL without password."""
        return self._database.shown

    @property
    def artifacts(self) -> Path:
        """The folder of checkpoints and weights.

        It is beside an SQLite file; for PostgreSQL it is in the working directory.
        """
        if self._database.url.drivername == "sqlite":
            return Path(str(self._database.url.database)).parent / ARTIFACTS
        return Path.cwd() / ARTIFACTS

    def trial_folder(self, study: Study, number: int) -> Path:
        """The folder of one trial's artifacts; it need not exist yet."""
        return self.artifacts / self.studies.record_of(study).folder / f"trial-{number:05d}"

    def delete_study(self, name: str) -> None:
        """Remove a study with its trials and artifacts. Optuna's tables are left to the caller.

        Raises:
            StudyError: there is no such study, or it is being run.
        """
        study = self.studies.get(name)
        holder = self.leases.holder(study)
        if holder is not None:
            raise StudyError(
                f"the study {name!r} is being run by process {holder.pid} on {holder.host}; "
                f"stop that process first."
            )
        self.studies.delete(study)
        shutil.rmtree(self.artifacts / study.folder, ignore_errors=True)
