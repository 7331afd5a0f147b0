"""A search over an attention from a package, and its study where the package is not installed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from attentune import load
from attentune.errors import StoreError
from attentune.search.cli import main

CLASS = '''
import torch
from torch import nn

class Wave(nn.Module):
    """Wave attention."""
    def __init__(self, channels, reduction_ratio=8, waves: int = 2):
        super().__init__()
        self.fc = nn.Linear(channels, channels, bias=False)
    def forward(self, x):
        return x * self.fc(x.mean((2, 3))).sigmoid()[:, :, None, None]
'''
ORIGIN = "attentune-wave 1.2 (attentune_wave:Wave)"
SEARCH = ["search", "waves", "--backbone", "test_resnet", "--data", "digits", "--image-size", "16"]
SEARCH += ["--stem", "native", "--train-limit", "256", "--batch-size", "64", "--epochs", "1"]
SEARCH += ["--attention", "none", "--attention", "wave", "--trials", "7", "--workers", "1"]
SEARCH += ["--lr", "0.004", "--precision", "float32", "--memory-format", "channels_last"]


@pytest.fixture(scope="module")
def package(tmp_path_factory) -> Path:
    """A folder as pip leaves it after installing attentune-wave 1.2."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "attentune_wave.py").write_text(CLASS)
    facts = folder / "attentune_wave-1.2.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: attentune-wave\nVersion: 1.2\n")
    (facts / "entry_points.txt").write_text("[attentune.attentions]\nwave=attentune_wave:Wave\n")
    return folder


def installed(*words: str, cwd: Path, path: Path) -> str:
    """Run the command where the package is installed; what it prints."""
    command = [sys.executable, "-m", "attentune", *words]
    variables = {**os.environ, "PYTHONPATH": str(path)}
    done = subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def searched(package, tmp_path_factory, cache) -> tuple[Path, str]:
    """A folder with a study over `wave`, and what `show --json` said where it was installed."""
    del cache
    folder = tmp_path_factory.mktemp("waves")
    installed(*SEARCH, cwd=folder, path=package)
    return folder, installed("show", "waves", "--json", cwd=folder, path=package)


@pytest.fixture(scope="module")
def number(searched) -> str:
    """A complete trial that has the attention."""
    trials = json.loads(searched[1])["trials"]
    return str(next(t["number"] for t in trials if "+wave(" in t["architecture"]))


@pytest.fixture
def here(searched, monkeypatch, capsys):
    """Run the command in this process, where the package is not installed."""
    monkeypatch.chdir(searched[0])

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["attentune", *words])
        try:
            main()
        except SystemExit as ended:
            return (int(ended.code or 0), *capsys.readouterr())
        raise AssertionError("the command line ends by exiting")

    return run


def test_all_that_was_recorded_is_shown_without_the_package(here, searched, number):
    code, out, err = here("show", "waves", "--json")
    assert (code, out) == (0, searched[1])
    assert f"the attention 'wave' of {ORIGIN}, which is not installed here" in err
    assert len(err.splitlines()) == 1
    code, out, err = here("show", "waves")
    assert code == 0
    assert "Pareto front" in out
    assert "'wave' of attentune-wave 1.2" in err
    code, out, err = here("show", "waves", "--trial", number)
    assert code == 0
    assert "test_resnet+wave(" in out.replace("\n", "")
    assert "'wave' of attentune-wave 1.2" in err
    assert here("show", "waves", "--trial", "0")[::2] == (0, "")
    assert "waves" in here("list")[1]
    assert here("report", "waves", "-o", "report.html")[0] == 0
    assert "which is not installed here" in Path("report.html").read_text("utf-8")


def test_a_trial_says_which_plug_in_it_ran_on(here, number):
    for trial, recorded in ((number, ORIGIN), ("0", None)):
        environment = json.loads(here("show", "waves", "--trial", trial, "--json")[1])[
            "environment"
        ]
        assert environment.get("attention wave") == recorded
        assert environment["torch"]


def test_what_needs_the_class_is_refused_by_name(here, number):
    words = f"needs the attention 'wave' of {ORIGIN}, which is not installed here; install the"
    code, _, err = here("resume", "waves", "--trials", "9")
    assert (code, f"Error: the study 'waves' {words}" in err) == (1, True), err
    code, _, err = here("export", "waves", "--pick", number, "-o", "model")
    assert (code, f"Error: trial {number} of 'waves' {words}" in err) == (1, True), err
    assert here("export", "waves", "--pick", "0", "-o", "bare")[0] == 0


def test_the_export_names_its_plug_in_where_it_is_loaded(searched, number, package):
    folder, _ = searched
    installed("export", "waves", "--pick", number, "-o", "waved", cwd=folder, path=package)
    with pytest.raises(
        StoreError, match=rf"waved needs the attention 'wave' of {re.escape(ORIGIN)}"
    ):
        load(folder / "waved")
    code = [sys.executable, "-c", "import attentune; attentune.load('waved')"]
    subprocess.run(code, cwd=folder, env={**os.environ, "PYTHONPATH": str(package)}, check=True)


def test_viewing_the_study_does_not_import_the_package(searched, package):
    watch = (
        "import sys\nfrom attentune.search.cli import main\n"
        "sys.argv = ['attentune', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'torch', 'attentune_wave'} & set(sys.modules)\n"
    )
    variables = {**os.environ, "PYTHONPATH": str(package)}
    for words in (["show", "waves"], ["report", "waves"]):
        done = subprocess.run(
            [sys.executable, "-c", watch, *words],
            cwd=searched[0],
            env=variables,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
