"""The store: everything a study has learned, written by its coordinator, read by anybody.

    with Store.open("attentune.db", create=True) as store:
        study = store.create_study("mine", backbone="resnet18", objectives=("accuracy", "params"),
                                   config={...}, seed=0)
        lease = store.acquire(study)
        store.start_trial(study, 0, architecture, seed=0, role=BASELINE)
        store.record_epoch(study, 0, report)
        store.finish_trial(study, 0, result)

Optuna keeps its own tables in the same database (`store.url`), which this module never touches.
Results, failures and new studies are on the disk when their method returns; epochs survive a
crash of the process, and at worst not a loss of power. A study is named by its record or its name.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.exc import IntegrityError

from ...errors import StoreError, StudyError
from ...runners.results import Costs, EpochReport, Failure, TrialResult
from ...spaces.architecture import Architecture
from ..records import (
    SEARCH,
    EpochRecord,
    Lease,
    RejectionRecord,
    State,
    StudyRecord,
    StudySummary,
    TrialRecord,
    check_study_name,
)
from . import queries, writes
from .connection import ARTIFACTS, Database
from .leases import Leases
from .schema import StudyRow

Study = StudyRecord | str
Facts = Mapping[str, str]


class Store:
    """An open database. Use as a context manager, or `close` it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._leases = Leases(database)

    @classmethod
    def open(
        cls, target: str | Path | None = None, *, create: bool = False, read_only: bool = False
    ) -> Store:
        """Open a path or URL; without one, $ATTENTUNE_DB or ./attentune.db.

        `create` makes the file or the tables where they are missing; `read_only` never writes and
        never blocks a writer. StoreError says in a sentence what stands in the way.
        """
        return cls(Database.open(target, create=create, read_only=read_only))

    def close(self) -> None:
        """Give back every connection."""
        self._database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The SQLAlchemy URL, password included, for Optuna's `RDBStorage`."""
        return self._database.url.render_as_string(hide_password=False)

    @property
    def name(self) -> str:
        """The database as messages show it: a path, or a URL without password."""
        return self._database.shown

    @property
    def artifacts(self) -> Path:
        """Where checkpoints and weights lie: beside the file; for a server, where we work."""
        if self._database.url.drivername == "sqlite":
            return Path(str(self._database.url.database)).parent / ARTIFACTS
        return Path.cwd() / ARTIFACTS

    def trial_folder(self, study: Study, number: int) -> Path:
        """The folder of one trial's artifacts; it need not exist yet."""
        return self.artifacts / self._of(study).folder / f"trial-{number:05d}"

    # Studies

    def create_study(
        self,
        name: str,
        *,
        backbone: str,
        objectives: Sequence[str],
        config: Mapping[str, Any],
        seed: int,
    ) -> StudyRecord:
        """A new study; the errors of `check_new`.

        `config` is anything that JSON can hold; this layer does not look inside.
        """
        given = {"backbone": backbone, "objectives": list(objectives), "config": dict(config)}
        check_study_name(name)
        try:
            with self._database.begin("commit") as connection:
                writes.create_study(connection, name=name, seed=seed, **given)
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            raise self._taken(name) from None
        return self.study(name)

    def check_new(self, name: str) -> None:
        """UsageError for a name that no study may have, StudyError if one has it already."""
        check_study_name(name)
        if any(study.name == name for study in self.studies()):
            raise self._taken(name)

    def study(self, name: str) -> StudyRecord:
        """The study of that name; StudyError names the closest, or says how to start one."""
        with self._database.begin("read") as connection:
            return queries.study(connection, name, self.name)

    def studies(self) -> list[StudyRecord]:
        """All studies, oldest first."""
        with self._database.begin("read") as connection:
            return queries.studies(connection)

    def summaries(self) -> list[StudySummary]:
        """All studies with what has come of them so far, oldest first."""
        with self._database.begin("read") as connection:
            return queries.summaries(connection)

    def update_config(self, study: Study, config: Mapping[str, Any]) -> StudyRecord:
        """The study with another config, as after a resume with a larger budget."""
        record = self._of(study)
        with self._database.begin("commit") as connection:
            where = StudyRow.id == record.id
            connection.execute(update(StudyRow).where(where).values(config=dict(config)))
        return self.study(record.name)

    def spent_seconds(self, study: Study) -> float:
        """Wall time spent on a study so far, over all resumes."""
        query = select(StudyRow.spent_seconds).where(StudyRow.id == self._of(study).id)
        with self._database.begin("read") as connection:
            return float(connection.execute(query).scalar_one())

    def device_seconds(self, study: Study) -> float:
        """Time that devices were busy with the search so far, over all resumes."""
        record = self._of(study)
        with self._database.begin("read") as connection:
            return queries.device_seconds(connection, record)

    def set_spent_seconds(self, study: Study, seconds: float) -> None:
        """Say how much wall time a study has taken so far, over all resumes."""
        record = self._of(study)
        with self._database.begin("write") as connection:
            where = StudyRow.id == record.id
            connection.execute(update(StudyRow).where(where).values(spent_seconds=seconds))

    def delete_study(self, name: str) -> None:
        """Remove our half of a study and its artifacts; Optuna's half is the caller's.

        StudyError if it does not exist, or is being run.
        """
        study = self.study(name)
        holder = self._leases.holder(study)
        if holder is not None:
            raise StudyError(
                f"the study {name!r} is being run by process {holder.pid} on {holder.host}; "
                f"stop that first."
            )
        with self._database.begin("commit") as connection:
            writes.delete_study(connection, study)
        shutil.rmtree(self.artifacts / study.folder, ignore_errors=True)

    # What is measured once for all studies

    def get_probe(self, question: Facts) -> dict[str, Any] | None:
        """The answer to a question that was answered before; None if it was not."""
        with self._database.begin("read") as connection:
            return queries.get_probe(connection, question)

    def put_probe(self, question: Facts, answer: Mapping[str, Any]) -> None:
        """Keep an answer, in the place of an earlier one."""
        with self._database.begin("write") as connection:
            writes.put_probe(connection, question, answer)

    # The right to run a study

    def acquire(self, study: Study) -> Lease:
        """The right to run this study; StudyError names who has it, if somebody alive does."""
        return self._leases.acquire(self._of(study))

    def heartbeat(self, lease: Lease) -> None:
        """Say, every few seconds, that the owner lives; StudyError if another took over."""
        self._leases.heartbeat(lease)

    def release(self, lease: Lease) -> None:
        """Give the study free; nothing happens if it is no longer ours."""
        self._leases.release(lease)

    def holder(self, study: Study) -> Lease | None:
        """Who runs this study now; None if nobody alive does."""
        return self._leases.holder(self._of(study))

    # Writing what happens

    def start_trial(
        self,
        study: Study,
        number: int,
        architecture: Architecture,
        *,
        seed: int,
        role: str = SEARCH,
        costs: Costs | None = None,
        worker: str | None = None,
    ) -> None:
        """A trial begins to run.

        StudyError if the number is taken, or this architecture has run with this seed before and
        did not fail. A resumed trial is running already and is not started again.
        """
        record = self._of(study)
        given = {"seed": seed, "role": role, "worker": worker}
        try:
            with self._database.begin("write") as connection:
                writes.start_trial(connection, record, number, architecture, costs, **given)
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            raise StudyError(
                f"trial {number} of {record.name!r} cannot start: its number is taken, or "
                f"{architecture} has run with seed {seed} already."
            ) from None

    def set_worker(self, study: Study, number: int, worker: str) -> None:
        """Which worker has a running trial now."""
        record = self._of(study)
        with self._database.begin("write") as connection:
            writes.update_trial(connection, record, number, worker=worker)

    def set_costs(self, study: Study, number: int, costs: Costs) -> None:
        """What a running trial's network costs, known before it is trained."""
        record = self._of(study)
        with self._database.begin("write") as connection:
            writes.update_trial(connection, record, number, **asdict(costs))

    def add_seconds(self, study: Study, number: int, seconds: float) -> None:
        """Count time that an interrupted trial has taken; it stays running."""
        record = self._of(study)
        with self._database.begin("write") as connection:
            writes.add_seconds(connection, record, number, seconds)

    def record_epoch(self, study: Study, number: int, report: EpochReport) -> None:
        """One epoch is done. A repeated epoch, after a resume, replaces the earlier one."""
        record = self._of(study)
        with self._database.begin("write") as connection:
            writes.record_epoch(connection, record, number, report)

    def finish_trial(self, study: Study, number: int, result: TrialResult) -> None:
        """A trial is complete. On the disk when this returns.

        StoreError for an accuracy that is no fraction: that trial diverged and has failed.
        """
        record = self._of(study)
        with self._database.begin("commit") as connection:
            writes.finish_trial(connection, record, number, result)

    def prune_trial(
        self,
        study: Study,
        number: int,
        reason: str,
        *,
        seconds: float | None = None,
        device_seconds: float | None = None,
        environment: Facts | None = None,
    ) -> None:
        """A trial was stopped early. Its accuracy is that of its last epoch."""
        record = self._of(study)
        spent = {"seconds": seconds, "device_seconds": device_seconds}
        with self._database.begin("commit") as connection:
            writes.prune_trial(connection, record, number, reason, environment, **spent)

    def fail_trial(
        self,
        study: Study,
        number: int,
        failure: Failure,
        *,
        seconds: float | None = None,
        environment: Facts | None = None,
    ) -> None:
        """A trial failed. The same architecture and seed may be tried again, as another trial."""
        record = self._of(study)
        with self._database.begin("commit") as connection:
            writes.fail_trial(connection, record, number, failure, seconds, environment)

    def reject(
        self,
        study: Study,
        architecture: Architecture,
        reason: str,
        *,
        number: int | None = None,
    ) -> None:
        """A cost limit turned an architecture away before training.

        If trial `number` was started only to be measured, it is withdrawn.
        """
        record = self._of(study)
        with self._database.begin("write") as connection:
            writes.reject(connection, record, architecture, reason, number)

    # Reading

    def trials(
        self, study: Study, *, state: State | None = None, confirming: bool = False
    ) -> list[TrialRecord]:
        """The trials of the search by number, all or those in one state; or those that confirm.

        The latter are judged on other data, so nobody gets them who did not ask for them.
        """
        record = self._of(study)
        with self._database.begin("read") as connection:
            return queries.trials(connection, record, state=state, confirming=confirming)

    def trial(self, study: Study, number: int) -> TrialRecord:
        """One trial; StudyError if the study has no such number."""
        record = self._of(study)
        with self._database.begin("read") as connection:
            found = queries.trials(connection, record, numbers=[number])
            if found:
                return found[0]
            known = [trial.number for trial in queries.trials(connection, record)]
        what = f"its trials are {known[0]} to {known[-1]}" if known else "it has none yet"
        raise StudyError(f"the study {record.name!r} has no trial {number}; {what}.")

    def epochs(
        self,
        study: Study,
        number: int | None = None,
        after_id: int | None = None,
        *,
        confirming: bool = False,
    ) -> list[EpochRecord]:
        """Epochs in the order they were recorded: all, of one trial, or new since `after_id`.

        Without a number those of the search, or of the trials that confirm.
        """
        record = self._of(study)
        with self._database.begin("read") as connection:
            return queries.epochs(connection, record, number, after_id, confirming)

    def trials_of(self, study: Study, numbers: Sequence[int]) -> list[TrialRecord]:
        """Some trials by number, those of them that exist."""
        record = self._of(study)
        with self._database.begin("read") as connection:
            return queries.trials(connection, record, numbers=numbers)

    def changed_trials(
        self, study: Study, after_id: int, running: Sequence[int]
    ) -> Iterator[Sequence[Row[Any]]]:
        """Rows for `trial_table.TrialTable`: trials of the search that are new, or were running."""
        record = self._of(study)
        with self._database.begin("read") as connection:
            yield from queries.changed_trials(connection, record, after_id, running)

    def last_epoch_id(self) -> int:
        """A bookmark: `epochs(study, after_id=…)` then gives what is recorded from now on."""
        with self._database.begin("read") as connection:
            return queries.last_epoch_id(connection)

    def epochs_of(self, study: Study, numbers: Sequence[int]) -> list[EpochRecord]:
        """All epochs of some trials, in the order they were recorded."""
        record = self._of(study)
        with self._database.begin("read") as connection:
            return queries.epochs_of(connection, record, numbers)

    def rejections(self, study: Study) -> list[RejectionRecord]:
        """What cost limits turned away, in order."""
        record = self._of(study)
        with self._database.begin("read") as connection:
            return queries.rejections(connection, record)

    def environments(self, study: Study) -> dict[str, dict[str, str]]:
        """What the study's trials ran on, by the digest that trials name."""
        record = self._of(study)
        with self._database.begin("read") as connection:
            return queries.environments(connection, record)

    def _of(self, study: Study) -> StudyRecord:
        return study if isinstance(study, StudyRecord) else self.study(study)

    def _taken(self, name: str) -> StudyError:
        return StudyError(
            f"the study {name!r} exists already in {self.name}; go on with "
            f"`attentune resume {shlex.quote(name)}`, or choose another name."
        )
