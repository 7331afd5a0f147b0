"""The rows of a study, attentune's and Optuna's, copied from one database to another."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, MetaData, text

from ...errors import StoreError
from ..records import StudyRecord
from .row_trees import RowTree, TableSum, copy_missing_rows
from .schema import PREFIX, Base, LeaseRow, ProbeRow, StudyRow, TrialRow

OPTUNA_STUDIES = "studies"
"""Optuna's table of studies, to which its other tables refer."""
OPTUNA_REVISION = "alembic_version"
"""The table in which Optuna keeps the revision of its tables."""
_FOLDER = "folder"


@dataclass(frozen=True)
class StudyRows:
    """The rows of a study in a database to which they were copied.

    Attributes:
        sums: of the original's tables.
    """

    sums: dict[str, TableSum]
    _study: StudyRecord
    _trees: tuple[RowTree, ...]

    @classmethod
    def copy(
        cls, source: Connection, target: Connection, study: StudyRecord, *, with_optuna: bool
    ) -> StudyRows:
        """Copy the rows of a study, and measurements that the other database lacks.

        Args:
            source: a connection in a transaction of the database that holds the study.
            target: one in a transaction of the other database, which has no study of its name.
            study: with the name of its folder in the other database.
            with_optuna: whether Optuna's study of that name is the same study.

        Raises:
            StoreError: Optuna's tables differ in their form.
        """
        change = {_FOLDER: study.folder}
        tree = _attentune_tree(study)
        sums, trees = tree.copy(source, target, Base.metadata, change), [tree]
        if with_optuna:
            _check_optuna_revisions(source, target)
            tree, tree_there = _optuna_tree(source, study), _optuna_tree(target, study)
            sums |= tree.copy(source, target, tree_there.metadata, {})
            trees.append(tree_there)
        copy_missing_rows(source, target, Base.metadata.tables[ProbeRow.__tablename__])
        return cls(sums, study, tuple(trees))

    @property
    def trials(self) -> int:
        """All trials, confirming ones and those of alternatives included."""
        return self.sums[TrialRow.__tablename__].rows

    @property
    def rows(self) -> int:
        """The rows of all tables."""
        return sum(each.rows for each in self.sums.values())

    def check(self, target: Connection) -> None:
        """Read the copy again and compare it with the original.

        Args:
            target: the connection to which it was copied.

        Raises:
            StoreError: they differ.
        """
        attentune, *optuna = self._trees
        sums = attentune.sums(target, {_FOLDER})
        for tree in optuna:
            sums |= tree.sums(target)
        differing = [name for name in self.sums if sums.get(name) != self.sums[name]]
        if differing:
            counts = ", ".join(
                f"{name}: {self.sums[name].rows} rows, {sums.get(name, TableSum()).rows} copied"
                for name in differing
            )
            raise StoreError(
                f"the copy of {self._study.name!r} is not equal to the original ({counts}), so "
                "nothing of it was kept; the original is as it was."
            )


def _attentune_tree(study: StudyRecord) -> RowTree:
    root = StudyRow.__tablename__
    return RowTree(Base.metadata, root, {"name": study.name}, {LeaseRow.__tablename__})


def _optuna_tree(connection: Connection, study: StudyRecord) -> RowTree:
    """Optuna's rows; its tables are read from the database, because their form is Optuna's own."""
    metadata = MetaData()
    metadata.reflect(connection, only=lambda name, _: not name.startswith(PREFIX))
    return RowTree(metadata, OPTUNA_STUDIES, {"study_name": study.name})


def _check_optuna_revisions(source: Connection, target: Connection) -> None:
    query = text(f"select version_num from {OPTUNA_REVISION}")
    revisions = [connection.execute(query).scalar() for connection in (source, target)]
    if revisions[0] != revisions[1]:
        raise StoreError(
            "two versions of Optuna have made the tables of the two databases (revisions "
            f"{revisions[0]} and {revisions[1]}); bring both up to date with "
            "`optuna storage upgrade --storage URL`."
        )
