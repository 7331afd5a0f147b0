"""search and resume as a user meets them: real trials, interrupts, exit codes and sentences."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest
from attentune.search.cli.search import EXAMPLE
from command_line import NET, SMALL, attentune
from PIL import Image


def test_a_search_leaves_what_show_json_promises(finished):
    shown = json.loads(attentune("show", "first", "--json", cwd=finished).stdout)
    assert shown["study"] == "first"
    assert shown["directions"] == {"accuracy": "maximize", "macs": "minimize"}
    assert shown["counts"] == {"complete": 9, "pruned": 0, "failed": 0, "running": 0}
    assert len(shown["trials"]) == 9
    first = shown["trials"][0]
    assert first["architecture"] == "test_resnet"
    assert shown["baseline"] == 0
    assert first["state"] == "complete"
    assert first["epochs"] == 2
    assert first["failure"] is None
    assert 0 <= first["values"]["accuracy"] <= 1
    assert isinstance(first["values"]["params"], int)
    assert isinstance(first["values"]["macs"], int)
    assert first["seconds"] > 0
    assert set(shown["pareto"]) <= {t["number"] for t in shown["trials"]}
    assert shown["pareto"]


def test_resume_counts_totals(finished):
    attentune("resume", "first", "--trials", "9", cwd=finished)
    shown = json.loads(attentune("show", "first", "--json", cwd=finished).stdout)
    assert len(shown["trials"]) == 9


def test_optuna_dashboard_opens_the_same_file(finished):
    import optuna
    from optuna_dashboard import wsgi

    app = wsgi(optuna.storages.RDBStorage(f"sqlite:///{finished}/attentune.db"))
    status: list[str] = []

    def start(line: str, _headers: object, _error: object = None) -> None:
        status.append(line)

    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/api/studies", "QUERY_STRING": ""}
    setup_testing_defaults(environ)
    body = b"".join(app(environ, start))
    assert status[0].startswith("200")
    assert b'"first"' in body


def test_ctrl_c_saves_and_says_how_to_continue_and_resume_finishes(tmp_path):
    words = ["search", "s", *NET, *SMALL, "--trials", "6", "--epochs", "6", "--workers", "1"]
    database = ["--db", "my studies.db"]
    process = subprocess.Popen(
        [sys.executable, "-m", "attentune", *words, *database],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for_epochs(tmp_path / database[1], 2)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "attentune resume s --db 'my studies.db'\n" in out
    before = json.loads(attentune("show", "s", "--json", *database, cwd=tmp_path).stdout)
    attentune("resume", "s", *database, cwd=tmp_path)
    after = json.loads(attentune("show", "s", "--json", *database, cwd=tmp_path).stdout)
    assert after["counts"]["complete"] == 6
    complete = [t for t in before["trials"] if t["state"] == "complete"]
    assert after["trials"][: len(complete)] == complete


def test_a_killed_coordinator_loses_no_result_and_frees_the_study(tmp_path):
    words = ["search", "s", *NET, *SMALL, "--trials", "3", "--epochs", "4", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, "-m", "attentune", *words],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait_for_epochs(tmp_path / "attentune.db", 3)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    attentune("resume", "s", cwd=tmp_path)
    shown = json.loads(attentune("show", "s", "--json", cwd=tmp_path).stdout)
    assert shown["counts"]["complete"] == 3
    curve = json.loads(attentune("show", "s", "--trial", "0", "--json", cwd=tmp_path).stdout)
    assert [e["epoch"] for e in curve["curve"]] == [1, 2, 3, 4]


def _wait_for_epochs(database: Path, count: int) -> None:
    from attentune.studies.database.store import Store

    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        time.sleep(0.1)
        try:
            with Store.open(database, read_only=True) as store:
                if len(store.epochs.read(store.studies.get("s"))) >= count:
                    return
        except Exception:  # not there yet
            continue
    raise AssertionError("the search does not get going")


def test_a_config_file_holds_the_settings_and_options_take_precedence(tmp_path):
    (tmp_path / "study.toml").write_text(
        'backbone = "test_resnet"\ndata = "digits"\nimage-size = 16\ntrain-limit = 256\n'
        'epochs = 1\ntrials = 50\nworkers = 1\nstem = "native"\nlr = 0.004\n'
        'objective = ["accuracy", "latency"]\n'
    )
    attentune("search", "s", "--config", "study.toml", "--trials", "2", cwd=tmp_path)
    shown = json.loads(attentune("show", "s", "--json", cwd=tmp_path).stdout)
    assert len(shown["trials"]) == 2
    assert shown["directions"]["latency_ms"] == "minimize"
    assert all(t["values"]["latency_ms"] > 0 for t in shown["trials"])


REFUSED = [
    ("search a --backbone resnet81 --data digits", 1, "did you mean 'resnet18'"),
    ("search a --backbone vit_tiny_patch16_224 --data digits", 1, "vit_tiny_patch16_224"),
    ("search a --backbone resnet18 --data digitz", 1, "did you mean 'digits'"),
    ("search a --backbone resnet18 --data nowhere/at/all", 1, "no file or folder"),
    ("search a --backbone resnet18 --data digits --attention ecca", 2, "did you mean 'eca'"),
    (
        "search a --backbone test_resnet --data digits --attention se --ratio 1000",
        2,
        "no ratio of 1000 fits its 32 to 192 channels",
    ),
    ("search a --backbone vgg11 --data digits --position identity", 2, "there are mid, post"),
    ("search a --backbone resnet18 --data digits --position middle", 2, "unknown position"),
    ("search a --backbone resnet18 --data digits --objective speed", 2, "unknown objective"),
    (
        "search a --backbone resnet18 --data digits --objective params",
        2,
        "accuracy must be one of the objectives",
    ),
    ("search a --backbone resnet18 --data digits --trials 0", 2, "trials"),
    ("search a --backbone resnet18 --data digits --max-params lots", 2, "5M or 250k"),
    ("search a --backbone resnet18 --data digits --sampler magic", 2, "known: additive"),
    (
        "search a --backbone resnet18 --data digits --pruner magic",
        2,
        "should be 'asha', 'front' or 'none'",
    ),
    ("search a --backbone resnet18 --data digits --pruner asha:etta=4", 2, "did you mean 'eta'"),
    ("search a --backbone resnet18 --data digits --pruner asha:eta=1", 2, "pruner.eta"),
    ("search a --backbone resnet18 --data digits --pruner asha:first", 2, "write first=0.25"),
    ("search a --backbone resnet18 --data digits --pruner front:first", 2, "write first=0.125"),
    ("search a --backbone resnet18 --data digits --pruner front:signal=accuracy", 2, "no setting"),
    ("search a --backbone resnet18 --data digits --pruner front:chance=2", 2, "pruner.chance"),
    (
        "search a --backbone resnet18 --data digits --pruner none:eta=4",
        2,
        "none has no settings; write asha:eta=4",
    ),
    ("search a --backbone resnet18 --data digits --device cuda:99", 2, "use auto"),
    ("search a --backbone resnet18 --data digits --space everything", 2, "known: full"),
    ("search a --backbone resnet18 --data digits --max-params 1k", 2, "already exceeds a limit"),
    ("search a/b --backbone resnet18 --data digits", 2, "'a/b'"),
    ("search <script> --backbone resnet18 --data digits", 2, "'<script>'"),
    ("search a --data digits", 2, "--backbone is missing; write for example"),
    ("search", 2, "attentune search mine --backbone resnet18 --data photos"),
    ("search --trials 3", 2, "a search needs a name"),
    ("search a --backbone resnet18 --data digits --db nodatabase", 1, "no SQLite database"),
    ("search a --backbone resnet18 --data digits --db nowhere/a.db", 1, "does not exist"),
]


@pytest.mark.parametrize(("command", "code", "sentence"), REFUSED, ids=[r[0] for r in REFUSED])
def test_a_bad_request_gets_a_sentence_and_an_exit_code(
    run_here, tmp_path, command, code, sentence
):
    (tmp_path / "nodatabase").write_text("hello")
    exit_code, printed = run_here(*command.split(" "))
    assert exit_code == code, printed
    assert sentence in printed
    assert not list(tmp_path.glob("*.artifacts/*"))


@pytest.mark.slow
def test_the_example_of_a_search_without_a_name_works(run_here):
    example = next(line for line in EXAMPLE.splitlines() if "cued-digits" in line)
    exit_code, printed = run_here(*example.split()[1:])
    assert exit_code == 0, printed
    assert "Noise of one trial" in printed


@pytest.mark.parametrize("name", ["", "x" * 300, " ", ".hidden", "a\nb"])
def test_names_that_make_trouble_are_refused(run_here, name):
    exit_code, printed = run_here("search", name, *NET, *SMALL)
    assert exit_code == 2
    assert "letters, digits" in printed


def test_a_study_that_exists_is_refused_and_resume_is_named(finished):
    done = attentune("search", "first", *NET, *SMALL, cwd=finished, check=1)
    assert "attentune resume first" in done.stderr


def make_images(folder: Path, classes: int, count: int = 12) -> Path:
    for name in "abc"[:classes]:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            colour = (i * 9, 80 * "abc".index(name), 99)
            Image.new("RGB", (16, 16), colour).save(folder / name / f"{i}.png")
    return folder


def test_a_folder_with_one_class_is_refused(tmp_path):
    make_images(tmp_path / "one", 1)
    done = attentune("search", "s", *NET, "--data", "one", cwd=tmp_path, check=1)
    assert "class" in done.stderr


def test_a_broken_image_is_named_and_left_out_on_demand(tmp_path):
    folder = make_images(tmp_path / "images", 3)
    (folder / "b" / "torn.png").write_bytes(b"\x89PNG torn")
    words = ["search", "s", *NET, "--data", "images", "--trials", "1", "--epochs", "1"]
    words += ["--batch-size", "8", "--stem", "native", "--image-size", "16", "--lr", "0.004"]
    words += ["--workers", "1", "--precision", "float32", "--memory-format", "channels_last"]
    refused = attentune(*words, cwd=tmp_path, check=1)
    assert "torn.png" in refused.stderr
    assert "--skip-broken" in refused.stderr
    done = attentune(*words, "--skip-broken", cwd=tmp_path)
    assert "torn.png" in done.stdout


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path):
    tmp_path.chmod(0o555)
    done = attentune("search", "s", *NET, *SMALL, cwd=tmp_path, check=1)
    assert "write" in done.stderr
    tmp_path.chmod(0o755)


def test_an_interrupt_while_tuning_leaves_a_study_that_resume_continues(run_here, monkeypatch):
    from attentune.search.setup import resolve

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(resolve, "autotune_learning_rate", interrupt)
    for command in (("search", "s", *NET, *SMALL), ("resume", "s")):
        code, printed = run_here(*command)
        assert code == 130
        assert "Stopped while the study was being set up. Continue with:" in printed
        assert "  attentune resume s\n" in printed
    assert "being set up" in run_here("list")[1]
    assert run_here("show", "s")[0] == 0
