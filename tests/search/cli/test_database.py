"""db: look after the database itself."""

from __future__ import annotations

import re
import shutil

from attentune.studies.database.store import Store
from command_line import attentune


def make(database, studies):
    with Store.open(database, create=True) as store:
        for name in studies:
            store.studies.create(
                name, backbone="r", objectives=("accuracy",), config={"x": "y" * 10**6}, seed=0
            )


def test_compact_says_the_size_before_and_afterwards(tmp_path):
    make(tmp_path / "attentune.db", ["a", "b"])
    attentune("rm", "a", "--yes", cwd=tmp_path)
    done = attentune("db", "compact", cwd=tmp_path)
    before, after = map(float, re.findall(r"([\d.]+) MiB", done.stdout))
    assert before - after > 0.9
    assert after == round((tmp_path / "attentune.db").stat().st_size / 2**20, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["attentune.db"]
    assert '"b"' in attentune("list", "--json", cwd=tmp_path).stdout


def test_compact_is_refused_while_a_study_runs(tmp_path):
    make(tmp_path / "attentune.db", ["a"])
    with Store.open(tmp_path / "attentune.db") as store:
        lease = store.leases.acquire("a")
        done = attentune("db", "compact", cwd=tmp_path, check=1)
        store.leases.release(lease)
    assert "'a' is being run by process" in done.stderr


def test_compact_needs_a_database(tmp_path):
    assert "there is no database" in attentune("db", "compact", cwd=tmp_path, check=1).stderr
    assert not list(tmp_path.iterdir())


def test_commands_leave_one_file(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    commands = [
        ("list",),
        ("show", "first"),
        ("show", "first", "--json"),
        ("show", "nothing"),
        ("report", "first", "-o", "report.html"),
        ("export", "first", "-o", "model"),
        ("resume", "first"),
        ("resume", "nothing"),
        ("db", "compact"),
        ("rm", "first"),
        ("rm", "first", "--yes"),
    ]
    assert not list(tmp_path.glob("attentune.db-*")), "after the search"
    for words in commands:
        attentune(*words, cwd=tmp_path, check=None)
        assert not list(tmp_path.glob("attentune.db-*")), words
