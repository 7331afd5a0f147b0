"""The command line as a user meets it: real trials, exit codes and sentences.

One search and those that are interrupted or killed are processes of their own; the others run in
this one, where torch has been imported, with workers beside it.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import pytest
from attentune.search.cli import main
from PIL import Image

SMALL = ["--data", "digits", "--image-size", "16", "--train-limit", "256"]
SMALL += ["--batch-size", "64", "--stem", "native"]
SMALL += ["--lr", "0.004", "--precision", "float32", "--memory-format", "channels_last"]
SMALL += ["--workers", "1"]
NET = ["--backbone", "test_resnet"]


def attentune(
    *words: str, cwd: Path, check: int | None = 0, beside: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run the command; its exit code must be `check`."""
    run = _beside if beside else _within
    done = run(words, cwd)
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done


def _beside(words: tuple[str, ...], cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "attentune", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def _within(words: tuple[str, ...], cwd: Path) -> subprocess.CompletedProcess[str]:
    out, error = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["attentune", *words])
        with pytest.raises(SystemExit) as ended:
            main()
    code = int(ended.value.code or 0)
    return subprocess.CompletedProcess(words, code, out.getvalue(), error.getvalue())


@pytest.fixture
def here(tmp_path, monkeypatch, capsys):
    """Run a command in this process, in a folder of its own: quick, for what ends at once."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["attentune", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out + told.err

    return run


@pytest.fixture(scope="module")
def finished(tmp_path_factory, cache) -> Path:
    """A folder with a finished study of nine trials, called `first`."""
    del cache
    folder = tmp_path_factory.mktemp("finished")
    words = ["search", "first", *NET, *SMALL, "--trials", "9", "--epochs", "2", "--workers", "2"]
    objectives = ["--objective", "accuracy", "--objective", "macs"]
    done = attentune(*words, *objectives, cwd=folder, beside=True)
    assert "Pareto front" in done.stdout
    assert "attentune report first" in done.stdout
    return folder


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


def test_show_and_list_tell_people_the_same(finished):
    assert "test_resnet" in attentune("show", "first", cwd=finished).stdout
    listed = attentune("list", cwd=finished).stdout
    assert "first" in listed
    assert re.search(r"\b9\b", listed)
    trial = attentune("show", "first", "--trial", "1", cwd=finished).stdout
    assert "test_resnet+se(r=16,start=identity)@all.residual" in trial
    assert "torch" in trial


def test_resume_counts_totals(finished):
    attentune("resume", "first", "--trials", "9", cwd=finished)
    shown = json.loads(attentune("show", "first", "--json", cwd=finished).stdout)
    assert len(shown["trials"]) == 9


def test_the_report_is_written(finished):
    attentune("report", "first", "-o", "out.html", cwd=finished)
    assert "test_resnet" in (finished / "out.html").read_text()


def test_an_export_gives_the_outputs_that_the_trial_gave(finished):
    import torch
    from attentune import create_model, load
    from attentune.runners.data import load_data
    from attentune.runners.recipe import Recipe
    from attentune.runners.training.device_data import DeviceData
    from attentune.runners.training.evaluation import evaluate
    from safetensors.torch import load_file

    shown = json.loads(attentune("show", "first", "--json", cwd=finished).stdout)
    for pick in ("best", "knee", "4"):
        attentune("export", "first", "--pick", pick, "-o", f"model-{pick}", cwd=finished)
        model = load(finished / f"model-{pick}")
        facts = json.loads((finished / f"model-{pick}" / "architecture.json").read_text())
        assert facts["architecture"] in (finished / f"model-{pick}" / "README.md").read_text()
        recipe = Recipe.of(**facts["recipe"])
        data = DeviceData.of(load_data(recipe), torch.device("cpu"))
        trial = shown["trials"][facts["trial"]]
        assert evaluate(model, data, recipe).accuracy == trial["values"]["accuracy"]
        assert trial["key"] == facts["key"]
        again = create_model(facts["architecture"], num_classes=10, stem=facts["stem"])
        again.load_state_dict(load_file(finished / f"model-{pick}" / "model.safetensors"))
        pictures = data.normalised(data.val.take(torch.arange(8)))
        assert torch.equal(again.eval()(pictures), model(pictures))
    assert facts["trial"] == 4
    refused = attentune("export", "first", "-o", "model-4", cwd=finished, check=1)
    assert "not empty" in refused.stderr


def test_a_confirmation_judges_on_the_test_split_and_says_what_can_be_claimed(finished):
    import torch
    from attentune import load
    from attentune.runners.data import load_data
    from attentune.runners.recipe import Recipe
    from attentune.runners.training.device_data import DeviceData, DeviceImages
    from attentune.runners.training.evaluation import evaluate

    asked = ["confirm", "first", "--top", "1", "--seeds", "2", "--epochs", "3"]
    done = attentune(*asked, cwd=finished)
    assert "2 fresh seeds × 3 epochs" in done.stdout
    assert "95 % interval" in done.stdout
    assert re.search(r"better than the bare backbone", done.stdout)
    told = json.loads(attentune("confirm", "first", "--json", cwd=finished).stdout)
    shown = json.loads(attentune("show", "first", "--json", cwd=finished).stdout)
    assert shown["confirmation"] == told
    assert shown["counts"]["complete"] == len(shown["trials"]) == 9
    assert told["sentence"] in done.stdout.replace("\n", " ")
    assert any(c["finalist"] for c in told["contenders"])
    assert all(len(set(c["seeds"])) == 2 for c in told["contenders"])
    assert "Confirmation: " in attentune("show", "first", cwd=finished).stdout

    number, accuracy = (told["contenders"][0][key][0] for key in ("trials", "accuracies"))
    attentune("export", "first", "--pick", str(number), "-o", "confirmed", cwd=finished)
    facts = json.loads((finished / "confirmed" / "architecture.json").read_text())
    assert (facts["judged_on"], facts["epochs"], facts["recipe"]["epochs"]) == ("test", 3, 3)
    recipe = Recipe.of(**facts["recipe"])
    dataset = load_data(recipe)
    cpu = torch.device("cpu")
    test = DeviceImages.of(dataset.test, cpu)
    data = DeviceData.of(dataset, cpu)
    assert evaluate(load(finished / "confirmed"), data, recipe, test).accuracy == accuracy
    refused = attentune("confirm", "first", "--epochs", "5", cwd=finished, check=1)
    assert "confirmed with 3 epochs already" in refused.stderr


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


def test_ctrl_c_saves_and_says_how_to_go_on_and_resume_finishes(tmp_path):
    words = ["search", "s", *NET, *SMALL, "--trials", "6", "--epochs", "6", "--workers", "1"]
    mine = ["--db", "my studies.db"]
    process = subprocess.Popen(
        [sys.executable, "-m", "attentune", *words, *mine],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _wait_for_epochs(tmp_path / mine[1], 2)
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "attentune resume s --db 'my studies.db'\n" in out
    before = json.loads(attentune("show", "s", "--json", *mine, cwd=tmp_path).stdout)
    attentune("resume", "s", *mine, cwd=tmp_path)
    after = json.loads(attentune("show", "s", "--json", *mine, cwd=tmp_path).stdout)
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


def test_a_config_file_holds_the_settings_and_flags_win(tmp_path):
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


def test_rm_removes_the_study_everywhere(finished, tmp_path):
    import optuna

    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    assert list((tmp_path / "attentune.artifacts").glob("*"))
    assert "--yes" in attentune("rm", "first", cwd=tmp_path, check=2).stderr
    attentune("rm", "first", "--yes", cwd=tmp_path)
    assert json.loads(attentune("list", "--json", cwd=tmp_path).stdout) == []
    assert optuna.get_all_study_names(f"sqlite:///{tmp_path}/attentune.db") == []
    assert not list((tmp_path / "attentune.artifacts").glob("*"))


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
    ("search a --data digits", 2, "--backbone is missing"),
    ("search a --backbone resnet18 --data digits --db nodatabase", 1, "no SQLite database"),
    ("search a --backbone resnet18 --data digits --db nowhere/a.db", 1, "does not exist"),
    ("measure resnet18+ecca@all.residual", 2, "           ^"),
    ("measure resnet18+se(r=1000)@all.residual", 2, "use r ≤ 64"),
    ("measure resnet18+se@s9.residual", 2, "its stages are s1 to s4"),
    ("measure vgg11+se@all.identity", 2, "no identity"),
    ("sites resnet19", 1, "did you mean"),
    ("sites vit_tiny_patch16_224", 1, "tokens"),
    ("attentions ecca", 2, "did you mean 'eca'"),
    ("show nothing --db empty.db", 1, "empty.db"),
]


@pytest.mark.parametrize(("command", "code", "sentence"), REFUSED, ids=[r[0] for r in REFUSED])
def test_bad_input_gets_a_sentence_and_an_exit_code(here, tmp_path, command, code, sentence):
    (tmp_path / "nodatabase").write_text("hello")
    ended, told = here(*command.split(" "))
    assert ended == code, told
    assert sentence in told
    assert not list(tmp_path.glob("*.artifacts/*"))


@pytest.mark.parametrize("name", ["", "x" * 300, " ", ".hidden", "a\nb"])
def test_names_that_make_trouble_are_refused(here, name):
    ended, told = here("search", name, *NET, *SMALL)
    assert ended == 2
    assert "letters, digits" in told


def test_a_study_that_exists_is_refused_and_resume_is_named(finished):
    done = attentune("search", "first", *NET, *SMALL, cwd=finished, check=1)
    assert "attentune resume first" in done.stderr


def _pictures(folder: Path, classes: int, count: int = 12) -> Path:
    for name in "abc"[:classes]:
        (folder / name).mkdir(parents=True)
        for i in range(count):
            colour = (i * 9, 80 * "abc".index(name), 99)
            Image.new("RGB", (16, 16), colour).save(folder / name / f"{i}.png")
    return folder


def test_a_folder_with_one_class_is_refused(tmp_path):
    _pictures(tmp_path / "one", 1)
    done = attentune("search", "s", *NET, "--data", "one", cwd=tmp_path, check=1)
    assert "class" in done.stderr


def test_a_broken_picture_is_named_and_left_out_on_demand(tmp_path):
    folder = _pictures(tmp_path / "pictures", 3)
    (folder / "b" / "torn.png").write_bytes(b"\x89PNG torn")
    words = ["search", "s", *NET, "--data", "pictures", "--trials", "1", "--epochs", "1"]
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


def test_looking_around_starts_without_torch(finished):
    watch = (
        "import sys, runpy\n"
        "sys.argv = ['attentune', *sys.argv[1:]]\n"
        "try:\n"
        "    runpy.run_module('attentune', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "heavy = {'torch', 'timm', 'torchvision'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    for words in (
        ["--help"],
        ["list"],
        ["show", "first"],
        ["show", "first", "--json"],
        ["attentions"],
        ["report", "first"],
    ):
        done = subprocess.run(
            [sys.executable, "-c", watch, *words], cwd=finished, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_every_command_and_option_has_help(tmp_path):
    import typer
    from attentune.search.cli import app

    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"
