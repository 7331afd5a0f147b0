"""db: look after the database itself."""

from __future__ import annotations

import json
import re
import shutil

import optuna
import pytest
from attentune.studies.database.store import Store
from command_line import attentune
from postgresql_servers import DATABASES, needs_postgres, new_database


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


@pytest.mark.parametrize("kind", DATABASES)
def test_a_copied_study_is_shown_exported_and_loaded_with_optuna(finished, tmp_path, kind):
    source = finished / "attentune.db"
    with new_database(kind, tmp_path, "copy") as target:
        done = attentune("db", "copy", str(source), target, "first", cwd=tmp_path)
        assert re.search(
            r"Copied 'first': \d+ trials, \d+ rows in all tables, \d+ files \([\d.]+ MiB\); counts "
            r"and sums are equal\.\n.* has the copies, and \S+attentune\.artifacts their files",
            done.stdout,
        )
        shown = [
            attentune("show", "first", "--json", "--db", database, cwd=tmp_path).stdout
            for database in (str(source), target)
        ]
        assert shown[0] == shown[1]
        words = ("export", "first", "--pick", "0", "-o", "model", "--db", target)
        attentune(*words, cwd=tmp_path)
        assert (tmp_path / "model" / "model.safetensors").exists()
        url = target if "://" in target else f"sqlite:///{target}"
        assert len(optuna.load_study(study_name="first", storage=url).trials) == 9


def test_copies_are_told_to_programs(tmp_path):
    make(tmp_path / "attentune.db", ["a", "b"])
    done = attentune("db", "copy", "attentune.db", "new.db", "--json", cwd=tmp_path)
    copied = json.loads(done.stdout)
    assert copied["target"] == str(tmp_path / "new.db")
    assert [study["study"] for study in copied["studies"]] == ["a", "b"]
    assert copied["studies"][0] == {"study": "a", "trials": 0, "rows": 1, "files": 0, "bytes": 0}


def test_a_refused_copy_makes_no_database(tmp_path):
    make(tmp_path / "attentune.db", ["a"])
    done = attentune("db", "copy", "attentune.db", "new.db", "b", cwd=tmp_path, check=1)
    assert "there is no study 'b'" in done.stderr
    done = attentune("db", "copy", "nothing.db", "new.db", cwd=tmp_path, check=1)
    assert "there is no database" in done.stderr
    done = attentune("db", "copy", "attentune.db", "attentune.db", cwd=tmp_path, check=2)
    assert "cannot be copied to itself" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["attentune.db"]


@needs_postgres
def test_no_message_about_copies_holds_a_password(tmp_path):
    make(tmp_path / "attentune.db", ["a"])
    with new_database("postgres", tmp_path) as database:
        url = database.replace("attentune@", "attentune:geheim@")
        assert "geheim" in url
        missing = url.replace("/postgres?", "/nothing?")
        for words in (("attentune.db", url), (url, "b.db", "b"), (url, url), (missing, "b.db")):
            done = attentune("db", "copy", *words, cwd=tmp_path, check=None)
            assert "geheim" not in done.stdout + done.stderr
            assert "***" in done.stdout + done.stderr


@needs_postgres
@pytest.mark.slow
def test_every_command_takes_a_postgresql_database(finished, tmp_path, monkeypatch):
    """It prints what it prints for the same study in SQLite."""
    folder = tmp_path / "sqlite"
    shutil.copytree(finished, folder)
    (tmp_path / "postgres").mkdir()
    commands = [
        ("list", "--json"),
        ("show", "first"),
        ("show", "first", "--json"),
        ("show", "first", "--trial", "3"),
        ("show", "first", "--metrics"),
        ("report", "first", "-o", "report.html"),
        ("export-table", "first", "-o", "trials.csv"),
        ("export", "first", "--pick", "3", "-o", "model"),
        ("resume", "first", "--trials", "10"),
        ("confirm", "first", "--top", "1", "--seeds", "2", "--json"),
        ("follow", "first", "--to", "tensorboard:runs"),
        ("rm", "first", "--yes"),
        ("show", "first"),
    ]
    with new_database("postgres", tmp_path) as database:
        attentune("db", "copy", str(folder / "attentune.db"), database, cwd=tmp_path / "postgres")
        assert (
            "autovacuum"
            in attentune("db", "compact", "--db", database, cwd=tmp_path, check=2).stderr
        )
        for words in commands:
            done = attentune(*words, cwd=folder, check=None)
            monkeypatch.setenv("ATTENTUNE_DB", database)
            on_server = attentune(*words, cwd=tmp_path / "postgres", check=None)
            monkeypatch.delenv("ATTENTUNE_DB")
            assert on_server.returncode == done.returncode, words
            if words[0] in ("list", "show") and done.returncode == 0:
                assert on_server.stdout == done.stdout, words
        for name in ("report.html", "trials.csv", "model/model.safetensors", "runs"):
            assert (tmp_path / "postgres" / name).exists(), name
        trials = [(path / "trials.csv").read_text() for path in (folder, tmp_path / "postgres")]
        assert trials[0] == trials[1]
