"""Ways to damage a SQLite database with a study in it.

`DAMAGES` puts odd values into columns: of another type, out of range, broken JSON, NULL, text that
is not UTF-8. `STRUCTURAL_DAMAGES` removes tables and columns, or damages the file itself. A command
on such a database ends with a right answer or with a sentence.
"""

from __future__ import annotations

import contextlib
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

DAMAGED_COMMANDS: dict[str, tuple[str, ...]] = {
    "list": ("list",),
    "list --json": ("list", "--json"),
    "show": ("show", "STUDY"),
    "show --json": ("show", "STUDY", "--json"),
    "show --trial": ("show", "STUDY", "--trial", "1"),
    "report": ("report", "STUDY", "-o", "report.html"),
    "export": ("export", "STUDY", "-o", "exported"),
    "resume": ("resume", "STUDY", "--trials", "3"),
    "rm": ("rm", "STUDY", "--yes"),
}
"""Commands to run on a damaged database; `STUDY` stands for the name of the study."""

NOT_UTF8 = "CAST(X'ff00fe' AS TEXT)"
NUMBERS = ("NULL", "''", "'abc'", "'12'", "X'00ff'", "-1", "3.7", "1e999", "9223372036854775807")
TEXTS = (
    *("NULL", "''", "7", "3.5", "X'00ff'", NOT_UTF8),
    *("char(27) || '[2J' || char(7)", "'a' || char(10) || 'b'", "char(8238) || 'x'"),
    *("'[/red]'", "'../../../x'", "'<script>alert(1)</script>'", "printf('%.*c', 200000, 'x')"),
)
TIMES = (
    *("NULL", "''", "'yesterday'", "7", "X'00ff'", "'2020-13-45 99:00:00'"),
    *("'0001-01-01 00:00:00.000000'", "'9999-12-31 23:59:59.999999'"),
)
JSONS = (
    *("NULL", "''", "7", "X'00ff'", NOT_UTF8, "'{'", "'null'", "'[]'", "'{}'", "'7'", "'\"x\"'"),
    *("'[1, null, {}]'", '\'{"study": 7, "plan": [], "plugins": 3, "command": {}}\''),
    *("'NaN'", "printf('%.*c', 100000, '[')", "printf('%.*c', 5000, '9')"),
    '\'{"study": {"space": {"attentions": 3}, "recipe": []}, "confirm": {"seeds": "x"}}\'',
)
ARCHITECTURES = (
    *TEXTS,
    *("'resnet18+se@s1-s999999999.residual'", "'resnet18+unknown(a=b)@all.residual'", "'+'"),
    "'test_resnet' || printf('%.*c', 10000000, '+')",
)

COLUMNS: dict[str, dict[str, tuple[str, ...]]] = {
    "attentune_studies": {
        **dict.fromkeys(("name", "folder", "version", "backbone"), TEXTS),
        **dict.fromkeys(("objectives", "config"), JSONS),
        **dict.fromkeys(("seed", "spent_seconds"), NUMBERS),
        "created_at": TIMES,
    },
    "attentune_architectures": {
        **dict.fromkeys(("key", "backbone"), TEXTS),
        "text": ARCHITECTURES,
    },
    "attentune_environments": {"digest": TEXTS, "facts": JSONS},
    "attentune_trials": {
        **dict.fromkeys(("study_id", "number", "seed", "epochs", "accuracy"), NUMBERS),
        **dict.fromkeys(("params", "macs", "latency_ms", "latency_ratio", "memory_mib"), NUMBERS),
        **dict.fromkeys(("latency_ms_error", "latency_ratio_error"), NUMBERS),
        **dict.fromkeys(("seconds", "device_seconds", "peak_memory_mib"), NUMBERS),
        **dict.fromkeys(("cpu_load", "gpu_load"), NUMBERS),
        **dict.fromkeys(("architecture_key", "role", "state"), TEXTS),
        **dict.fromkeys(("worker", "note", "environment"), TEXTS),
        **dict.fromkeys(("started_at", "finished_at"), TIMES),
    },
    "attentune_epochs": {
        **dict.fromkeys(("trial_id", "epoch", "train_loss", "accuracy"), NUMBERS),
        **dict.fromkeys(("val_loss", "lr", "seconds"), NUMBERS),
    },
    "attentune_failures": {
        "trial_id": NUMBERS,
        **dict.fromkeys(("kind", "message", "traceback"), TEXTS),
    },
    "attentune_rejections": {
        **dict.fromkeys(("study_id", "number"), NUMBERS),
        **dict.fromkeys(("architecture_key", "reason"), TEXTS),
        "architecture": ARCHITECTURES,
        "rejected_at": TIMES,
    },
    "attentune_probes": {"digest": TEXTS, "question": JSONS, "answer": JSONS, "asked_at": TIMES},
    "attentune_leases": {
        **dict.fromkeys(("study_id", "pid", "heartbeat"), NUMBERS),
        **dict.fromkeys(("token", "host"), TEXTS),
    },
    "attentune_alembic_version": {"version_num": TEXTS},
    "studies": {"study_id": NUMBERS, "study_name": TEXTS},
    "study_directions": {"direction": TEXTS, "study_id": NUMBERS, "objective": NUMBERS},
    "study_user_attributes": {"key": TEXTS, "value_json": JSONS},
    "study_system_attributes": {"key": TEXTS, "value_json": JSONS},
    "trials": {
        **dict.fromkeys(("number", "study_id"), NUMBERS),
        "state": TEXTS,
        **dict.fromkeys(("datetime_start", "datetime_complete"), TIMES),
    },
    "trial_user_attributes": {"key": TEXTS, "value_json": JSONS},
    "trial_system_attributes": {"key": TEXTS, "value_json": JSONS},
    "trial_params": {"param_name": TEXTS, "param_value": NUMBERS, "distribution_json": JSONS},
    "trial_values": {**dict.fromkeys(("objective", "value"), NUMBERS), "value_type": TEXTS},
    "alembic_version": {"version_num": TEXTS},
    "version_info": {"schema_version": NUMBERS, "library_version": TEXTS},
}
"""Odd values, as SQL, for the columns of attentune's tables and of Optuna's."""


@dataclass(frozen=True)
class Damage:
    """One way to damage a database."""

    label: str
    apply: Callable[[Path], None]


def put_value(path: Path, table: str, column: str, sql: str, *, every_row: bool) -> None:
    """Put a value into a column, of every row or of the first one, whatever its constraints are."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_master SET sql = replace(sql, 'NOT NULL', '') WHERE name = ?", (table,)
        )
        connection.execute("PRAGMA writable_schema=RESET")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        where = "" if every_row else f"WHERE rowid = (SELECT min(rowid) FROM {table})"
        with contextlib.suppress(sqlite3.IntegrityError):  # A row id holds whole numbers only.
            connection.execute(f"UPDATE OR IGNORE {table} SET {column} = {sql} {where}")


def _value_damages() -> dict[str, Damage]:
    damages = {}
    for table, columns in COLUMNS.items():
        for column, values in columns.items():
            for number, sql in enumerate(values):
                label = f"{table}.{column} = {sql if len(sql) < 60 else sql[:57] + '...'}"

                def apply(
                    path: Path,
                    table: str = table,
                    column: str = column,
                    sql: str = sql,
                    every_row: bool = bool(number % 2),
                ) -> None:
                    put_value(path, table, column, sql, every_row=every_row)

                damages[label] = Damage(label, apply)
    return damages


DAMAGES = _value_damages()
"""One damage for each odd value of each column."""


def _execute(*statements: str) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for statement in statements:
                connection.execute(statement)

    return apply


def _change_bytes(change: Callable[[bytearray, random.Random], None]) -> Callable[[Path], None]:
    def apply(path: Path) -> None:
        content = bytearray(path.read_bytes())
        change(content, random.Random(0))
        path.write_bytes(content)

    return apply


def _overwrite_pages(content: bytearray, numbers: random.Random, first: int = 1) -> None:
    for _ in range(5):
        page = numbers.randrange(first, max(first + 1, len(content) // 4096)) * 4096
        content[page : page + 4096] = numbers.randbytes(4096)


def _flip_bits(content: bytearray, numbers: random.Random) -> None:
    for _ in range(100):
        content[numbers.randrange(100, len(content))] ^= 1 << numbers.randrange(8)


def _structural_damages() -> dict[str, Damage]:
    damages: dict[str, Callable[[Path], None]] = {
        **{f"without the table {table}": _execute(f"DROP TABLE {table}") for table in COLUMNS},
        **{
            f"without rows in {table}": _execute(f"DELETE FROM {table}")
            for table in COLUMNS
            if table != "attentune_studies"
        },
        "a view in place of the trials": _execute(
            "ALTER TABLE attentune_trials RENAME TO old",
            "CREATE VIEW attentune_trials AS SELECT 1 AS id",
        ),
        "a trigger that fails": _execute(
            "CREATE TRIGGER t BEFORE UPDATE ON attentune_trials "
            "BEGIN SELECT raise(ABORT, 'no \x1b[2J'); END"
        ),
        "a column renamed": _execute("ALTER TABLE attentune_trials RENAME COLUMN accuracy TO acc"),
        "two versions": _execute("INSERT INTO attentune_alembic_version VALUES ('0001')"),
        "a newer version": _execute("UPDATE attentune_alembic_version SET version_num = '9999'"),
        "a version that is no number": _execute(
            "UPDATE attentune_alembic_version SET version_num = 'x'"
        ),
        "cut in half": _change_bytes(
            lambda content, _: content.__delitem__(slice(len(content) // 2, None))
        ),
        "cut after the header": _change_bytes(
            lambda content, _: content.__delitem__(slice(100, None))
        ),
        "empty": _change_bytes(lambda content, _: content.clear()),
        "zeros": _change_bytes(
            lambda content, _: content.__setitem__(slice(None), bytes(len(content)))
        ),
        "zeros after the header": _change_bytes(
            lambda content, _: content.__setitem__(slice(100, None), bytes(len(content) - 100))
        ),
        "pages overwritten": _change_bytes(_overwrite_pages),
        "the first page overwritten": _change_bytes(
            lambda content, numbers: content.__setitem__(slice(100, 4096), numbers.randbytes(3996))
        ),
        "bits flipped": _change_bytes(_flip_bits),
        "garbage in the journal": lambda path: (
            Path(f"{path}-wal").write_bytes(bytes(range(256)) * 64) and None
        ),
    }
    return {label: Damage(label, apply) for label, apply in damages.items()}


STRUCTURAL_DAMAGES = _structural_damages()
"""Damages of tables and of the file."""
