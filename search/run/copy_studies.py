"""Copying studies to another database: attentune's tables, Optuna's, and the artifacts.

Every study is copied in one transaction of the target, in which what was written is read again and
compared with the original before it is committed. So the target holds a whole study or nothing of
it. The copy has a folder of artifacts of its own: the original may be continued or removed
independently. While it is copied, the lease of the original is held, so a study that runs is
refused, and nobody can continue it before its copy is complete.
"""

from __future__ import annotations

import logging
import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ...errors import AttentuneError, StudyError, UsageError
from ...studies.database.artifact_copies import DraftCopy, FileCount, copy_folder
from ...studies.database.leases import busy
from ...studies.database.store import Store
from ...studies.database.studies import new_folder_name
from ...studies.database.study_rows import StudyRows
from ...studies.records import StudyRecord
from ...studies.text.formatting import enumeration
from .optuna_tables import (
    OptunaTables,
    belongs_to,
    check_name_is_free,
    find_study,
    foreign_study_error,
    mark_study,
)
from .study_lease import StudyLease, hold_lease

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CopiedStudy:
    """A study that was copied.

    Attributes:
        name: of the study.
        trials: all, confirming ones and those of alternatives included.
        rows: of all tables, Optuna's included.
        artifacts: its files.
    """

    name: str
    trials: int
    rows: int
    artifacts: FileCount


def select_studies(source: Store, names: Sequence[str] = ()) -> list[StudyRecord]:
    """The studies of a database that are to be copied.

    Args:
        source: the database.
        names: of the studies; none: all.

    Raises:
        StudyError: there is no such study, or a process runs it.
    """
    records = [source.studies.get(name) for name in dict.fromkeys(names)]
    records = records or source.studies.read_all()
    if not records:
        raise StudyError(f"{source.name} holds no studies; there is nothing to copy.")
    for record in records:
        if holder := source.leases.holder(record):
            raise busy(holder)
    return records


def copy_studies(
    source: Store,
    target: Store,
    records: Sequence[StudyRecord],
    on_file: Callable[[int], None] = lambda _: None,
) -> Iterator[CopiedStudy]:
    """Copy studies to another database, one after the other.

    Args:
        source: the database that holds them, opened for writing.
        target: the other database.
        records: the studies.
        on_file: called with the size in bytes of every file that was copied.

    Yields:
        Every study, once its copy is complete and equal to the original.

    Raises:
        UsageError: the two databases are the same.
        StudyError: the target has a study of one of the names, or a process runs the original.
        StoreError: a copy was not equal to its original, so that nothing of it was kept; or a
            database cannot be used.
    """
    if source.url == target.url:
        raise UsageError(f"{source.name} cannot be copied to itself; name another database")
    copier = _Copier(source, target)
    copier.check_names(records)
    for record in records:
        yield copier.copy(record, on_file)


class _Copier:
    """Copies studies from one database to another."""

    def __init__(self, source: Store, target: Store) -> None:
        self._source, self._target = source, target
        self._source_tables, self._target_tables = OptunaTables(source), OptunaTables(target)

    def check_names(self, records: Sequence[StudyRecord]) -> None:
        """Check that the target has no study of these names, also none of Optuna's alone."""
        taken = {record.name for record in self._target.studies.read_all()}
        if clashes := [record.name for record in records if record.name in taken]:
            others = [record.name for record in records if record.name not in taken]
            raise self._clash(clashes, others)
        for record in records:
            check_name_is_free(self._target, record.name, self._target_tables)

    def _clash(self, names: Sequence[str], others: Sequence[str]) -> StudyError:
        exist = "the study {} exists" if len(names) == 1 else "the studies {} exist"
        removal = f"attentune rm {shlex.quote(names[0])} --db {shlex.quote(self._target.name)}"
        words = ["attentune", "db", "copy", self._source.name, self._target.name, *others]
        rest = f", or copy the others with `{shlex.join(words)}`" if others else ""
        return StudyError(
            f"{exist.format(enumeration([repr(name) for name in names]))} already in "
            f"{self._target.name}, and nothing was copied; name another database, remove what is "
            f"there with `{removal}`{rest}."
        )

    def copy(self, record: StudyRecord, on_file: Callable[[int], None]) -> CopiedStudy:
        """Copy one study."""
        source, target = self._source, self._target
        with hold_lease(source, record, counts_time=False) as lease:
            original = source.studies.get(record.name)
            copy = replace(original, folder=new_folder_name())
            folders = source.artifact_folders, target.artifact_folders
            holder = folders[0].store_of(original)
            with_optuna = source.retry(lambda: self._is_in_optuna(original))
            artifacts = copy_folder(
                holder,
                folders[0].study_key(original),
                folders[1].store_of(copy),
                folders[1].study_key(copy),
                on_file,
            )
            try:
                rows = target.retry(
                    lambda: source.retry(lambda: self._write(lease, copy, artifacts, with_optuna))
                )
            except BaseException:
                artifacts.discard()
                # If it is unknown whether the study was added, its folder stays.
                with suppress(AttentuneError):
                    self._finish_folders()
                raise
        self._finish_folders()
        if rows.trials and not artifacts.count.files:
            logger.warning(
                "%s holds no files of %r, so the copy has the results, and neither weights nor "
                "checkpoints.",
                holder.name,
                record.name,
            )
        return CopiedStudy(record.name, rows.trials, rows.rows, artifacts.count)

    def _is_in_optuna(self, record: StudyRecord) -> bool:
        """Whether Optuna has the study; it has none before the first trial."""
        with self._source_tables.begin("read") as storage:
            study = find_study(storage, record.name)
            if study is not None and not belongs_to(study, record, self._source):
                raise foreign_study_error(record.name, "rename one of the two, then copy again")
            return study is not None

    def _write(
        self, lease: StudyLease, copy: StudyRecord, artifacts: DraftCopy, with_optuna: bool
    ) -> StudyRows:
        """Write all rows of a study and compare them, in one transaction of the target."""
        with self._target.begin("commit") as written:
            self.check_names([copy])  # Another process may have been first.
            with self._source.begin("read") as original:
                rows = StudyRows.copy(original, written, copy, with_optuna=with_optuna)
            lease.renew()  # Another process may have taken over the original meanwhile.
            rows.check(written)
            if with_optuna:
                with self._target_tables.begin("commit") as storage:
                    if (study := find_study(storage, copy.name)) is not None:
                        mark_study(study, copy)
            if artifacts.count.files:
                self._target.artifact_folders.announce_copy(copy)
                artifacts.give_name()
        return rows

    def _finish_folders(self) -> None:
        """Keep the folder of a study that was added, and delete that of one that was not."""
        self._target.artifact_folders.finish_removals(self._target.studies.read_all_added)
