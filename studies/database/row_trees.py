"""Copying a row, and all rows that refer to it, to the tables of another database.

A study is such a row, in attentune's tables and in Optuna's. Which tables refer to it is read from
the foreign keys of the tables, so a table that is added later is copied too. Rows get new ids in
the other database, in the order of the old ones, and foreign keys follow. What the rows refer to
outside their tree (architectures and environments, which studies share) is added where it is
missing.

What was copied is compared with the original table by table: the number of rows, and the sum of the
hashes of their contents, in which an id counts as the position of its row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    MetaData,
    Select,
    Table,
    and_,
    insert,
    or_,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

ROWS_PER_PART = 2000
"""Rows that are read and written at once."""
_HASH_BYTES = 16

Row = dict[str, Any]
Ids = dict[str, dict[Any, Any]]
"""By table: what stands for the id of a row, by that id."""


@dataclass(frozen=True)
class TableSum:
    """What the rows of a table hold.

    Attributes:
        rows: their number.
        content: the sum of the hashes of their contents; their order does not matter.
    """

    rows: int = 0
    content: int = 0

    def plus(self, row: Row) -> TableSum:
        """The sum with one row more."""
        digest = hashlib.sha256(repr([_comparable(value) for value in row.values()]).encode())
        number = int.from_bytes(digest.digest()[:_HASH_BYTES], "big")
        return TableSum(self.rows + 1, (self.content + number) % 2 ** (8 * _HASH_BYTES))


class RowTree:
    """A row of one table with all rows that refer to it, directly or through other rows.

    Attributes:
        metadata: the tables of the database.
        tables: the tables of these rows, each after those that it refers to.
        shared: tables outside the tree to which its rows refer, with the condition for those rows.
    """

    def __init__(
        self,
        metadata: MetaData,
        table: str,
        root: Mapping[str, Any],
        left_out: Collection[str] = (),
    ) -> None:
        """Find the tables.

        Args:
            metadata: all tables of the database that matter.
            table: the name of the first row's table.
            root: what identifies the first row, by column.
            left_out: names of tables that do not count.
        """
        self.metadata, self._root = metadata, metadata.tables[table]
        first_row = and_(*(self._root.c[name] == value for name, value in root.items()))
        self._conditions: dict[str, ColumnElement[bool]] = {table: first_row}
        self.tables: list[Table] = [self._root]
        for other in metadata.sorted_tables:
            condition = self._condition(other)
            if other is not self._root and other.name not in left_out and condition is not None:
                self._conditions[other.name] = condition
                self.tables.append(other)
        self.shared = self._shared_tables(metadata)
        names = {table.name for table in self.tables}
        self._parents = names.intersection(
            _referred_column(column).table.name
            for table in self.tables
            for column in _references(table)
        )

    def _condition(self, table: Table) -> ColumnElement[bool] | None:
        """The condition for the rows of a table that refer to rows of the tree; None if none do."""
        for column in _references(table):
            parent = _referred_column(column)
            if parent.table.name in self._conditions:
                return column.in_(select(parent).where(self._conditions[parent.table.name]))
        return None

    def _shared_tables(self, metadata: MetaData) -> list[tuple[Table, ColumnElement[bool]]]:
        needed: dict[str, list[ColumnElement[bool]]] = {}
        for table in self.tables:
            for column in _references(table):
                parent = _referred_column(column)
                if parent.table.name not in self._conditions:
                    used = select(column).where(self._conditions[table.name], column.is_not(None))
                    needed.setdefault(parent.table.name, []).append(parent.in_(used))
        return [(metadata.tables[name], or_(*which)) for name, which in needed.items()]

    def read(self, connection: Connection, table: Table) -> Iterator[list[Row]]:
        """The rows of one table of the tree, in parts and in the order of their ids."""
        query = select(table).where(self._conditions[table.name])
        yield from _read_parts(connection, query.order_by(*table.primary_key.columns))

    def sums(
        self,
        connection: Connection,
        changed: Collection[str] = (),
        visit: Callable[[Table, list[Row]], None] | None = None,
    ) -> dict[str, TableSum]:
        """The sums of all tables, by name.

        Args:
            connection: inside a transaction.
            changed: columns of the first row that do not count.
            visit: called with the rows of every part, after they have been added up.
        """
        positions: Ids = {name: {} for name in self._parents}
        sums: dict[str, TableSum] = {}
        for table in self.tables:
            key = own_id(table)
            left_out = set(changed) if table is self._root else set()
            total = TableSum()
            for rows in self.read(connection, table):
                for row in rows:
                    if key is not None and table.name in positions:
                        positions[table.name][row[key.name]] = len(positions[table.name])
                    content = _with_ids(table, row, positions)
                    if key is not None:
                        del content[key.name]
                    for name in left_out:
                        content.pop(name, None)
                    total = total.plus(content)
                if visit is not None:
                    visit(table, rows)
            sums[table.name] = total
        return sums

    def copy(
        self,
        source: Connection,
        target: Connection,
        target_tables: MetaData,
        changes: Mapping[str, Any],
    ) -> dict[str, TableSum]:
        """Write all rows to another database, inside its transaction.

        Args:
            source: a connection to the database of this tree.
            target: one to the other database.
            target_tables: the same tables there.
            changes: values of the first row that differ there, by column.

        Returns:
            The sums of what was read, without the columns that differ.
        """
        for table, condition in self.shared:
            for rows in _read_parts(source, select(table).where(condition)):
                _insert_missing(target, target_tables.tables[table.name], rows)
        ids: Ids = {name: {} for name in self._parents}

        def write(table: Table, rows: list[Row]) -> None:
            copies = [_with_ids(table, row, ids) for row in rows]
            if table is self._root:
                copies = [{**row, **changes} for row in copies]
            key, target_table = own_id(table), target_tables.tables[table.name]
            if key is None:
                target.execute(insert(target_table), copies)
                return
            for row in copies:
                del row[key.name]
            if table.name not in ids:
                target.execute(insert(target_table), copies)
                return
            statement = insert(target_table).returning(
                target_table.c[key.name], sort_by_parameter_order=True
            )
            new_ids = target.execute(statement, copies).scalars()
            old_ids = (row[key.name] for row in rows)
            ids[table.name].update(zip(old_ids, new_ids, strict=True))

        return self.sums(source, changes, write)


def copy_missing_rows(source: Connection, target: Connection, table: Table) -> None:
    """Add all rows of a table whose keys the other database does not have.

    Args:
        source: of the rows.
        target: a connection to the other database, inside a transaction.
        table: of both.
    """
    for rows in _read_parts(source, select(table)):
        _insert_missing(target, table, rows)


def own_id(table: Table) -> Column[Any] | None:
    """The column of the ids that a database gives to rows; None if a table has none."""
    columns = list(table.primary_key.columns)
    if len(columns) != 1 or columns[0].foreign_keys or columns[0].type.python_type is not int:
        return None
    return columns[0]


def _insert_missing(target: Connection, table: Table, rows: list[Row]) -> None:
    dialect = sqlite if target.dialect.name == "sqlite" else postgresql
    target.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def _read_parts(connection: Connection, query: Select[Any]) -> Iterator[list[Row]]:
    """The rows of a query, in parts that are never empty."""
    in_parts = query.execution_options(yield_per=ROWS_PER_PART)
    result = connection.execute(in_parts).mappings()
    for part in result.partitions():
        yield [dict(row) for row in part]


def _with_ids(table: Table, row: Row, ids: Ids) -> Row:
    """A copy of a row whose foreign keys are replaced, where their tables are among `ids`."""
    copy = dict(row)
    for column in _references(table):
        if (parent := _referred_column(column).table.name) in ids:
            copy[column.name] = ids[parent][row[column.name]]
    return copy


def _comparable(value: Any) -> Any:
    """A value for comparison: SQLite stores a negative zero as zero."""
    return value + 0.0 if isinstance(value, float) else value


def _references(table: Table) -> list[Column[Any]]:
    """The columns that are foreign keys."""
    return [column for column in table.columns if column.foreign_keys]


def _referred_column(column: Column[Any]) -> Column[Any]:
    return next(iter(column.foreign_keys)).column
