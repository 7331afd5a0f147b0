"""Databases that were cut, damaged, or changed by another program, in each of seven commands."""

from __future__ import annotations

import contextlib
import random
import shutil
import sqlite3
from pathlib import Path

from .attack import AttackRun
from .command import check_stated
from .hostile_texts import TEXTS, forbidden_in
from .launcher import launcher
from .small_study import STUDY, SmallStudy, run_reference

DATABASES = 80
COMMANDS: tuple[tuple[str, ...], ...] = (
    ("list", "--json"),
    ("show", STUDY, "--json"),
    ("show", STUDY, "--trial", "1"),
    ("report", STUDY, "-o", "report.html"),
    ("export", STUDY, "-o", "model"),
    ("resume", STUDY, "--trials", "3"),
    ("rm", STUDY, "--yes"),
)
VALUES: tuple[object, ...] = (
    *(None, -1, 0, 2**63 - 1, -(2**63), 1e308, float("inf"), 0.5, b"", b"\xff\x00\xfe"),
    *("", "x", "[]", "{}", "null", '{"study": 1}', "[1, 2", '"', "2026-13-45", "../../etc", "/"),
    *(
        "9" * 5000,
        "[" * 10_000,
        *(text for text in TEXTS.values() if text.isascii() or text.isprintable()),
    ),
)
"""Values that a column may hold, since SQLite does not check types."""


def damage_databases(run: AttackRun) -> None:
    """Eighty damaged copies of a database, each in seven commands."""
    study = SmallStudy(trials=3, epochs=2)
    before = run.folder / "reference"
    run_reference(study, before)
    cases = [
        f"{number} {words[0]} {len(words)}" for number in range(DATABASES) for words in COMMANDS
    ]
    by_case = {f"{words[0]} {len(words)}": words for words in COMMANDS}
    for case in run.each(cases):
        with run.attempt(case) as attempt:
            shutil.copytree(before, attempt.folder, dirs_exist_ok=True)
            number, _, kind = case.partition(" ")
            damaged = random.Random(f"{run.seed} {number}")
            how = damage_database(attempt.folder / "attentune.db", damaged)
            outside = attempt.folder.parent / "outside"
            outside.mkdir(exist_ok=True)
            (outside / "kept").touch()
            ended = launcher().run(*by_case[kind], cwd=attempt.folder)
            if not check_stated(attempt, ended):
                attempt.note(how)
            if forbidden := forbidden_in(ended.out + ended.error):
                attempt.unstated(f"{forbidden} reached the terminal: {how}")
            if not (outside / "kept").exists():
                attempt.lost(f"a file outside the artifacts: {how}")


def damage_database(path: Path, numbers: random.Random) -> str:
    """Damage a database; returns how.

    Args:
        path: of the database.
        numbers: random numbers.
    """
    kind = numbers.choice(["cells"] * 5 + ["bits", "cut", "zeros", "table", "row"])
    if kind in ("bits", "cut", "zeros"):
        content = bytearray(path.read_bytes())
        position = numbers.randrange(len(content))
        if kind == "bits":
            for _ in range(numbers.randint(1, 20)):
                content[numbers.randrange(len(content))] ^= 1 << numbers.randrange(8)
        elif kind == "cut":
            content = content[:position]
        else:
            content[position : position + 4096] = bytes(len(content[position : position + 4096]))
        path.write_bytes(content)
        return f"{kind} at {position}"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = delete")
        changes = [change_table(connection, numbers, kind) for _ in range(numbers.randint(1, 3))]
        connection.commit()
    return "; ".join(changes)


def change_table(connection: sqlite3.Connection, numbers: random.Random, kind: str) -> str:
    """Change cells of a table, remove rows, or drop it; returns what was done.

    Args:
        connection: to the database.
        numbers: random numbers.
        kind: `cells`, `row` or `table`.
    """
    query = "select name from sqlite_master where type = 'table' and name not like 'sqlite%'"
    tables = [row[0] for row in connection.execute(f"{query} order by name")]
    ours = [name for name in tables if name.startswith("attentune_")]
    table = numbers.choice(ours * 3 + tables)
    if kind == "table":
        connection.execute(f"drop table {table}")
        return f"drop {table}"
    if kind == "row":
        connection.execute(f"delete from {table} where rowid % 2 = {numbers.randrange(2)}")
        return f"delete from {table}"
    columns = [row[1] for row in connection.execute(f"pragma table_info({table})")]
    column, value = numbers.choice(columns), numbers.choice(VALUES)
    with contextlib.suppress(sqlite3.IntegrityError):
        where = numbers.choice(["true", "rowid = 1", "rowid = 2"])
        connection.execute(f"update {table} set {column} = ? where {where}", (value,))
    return f"{table}.{column} = {str(value)[:60]!a}"
