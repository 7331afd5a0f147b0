"""A finished study that commands read, and a way to run commands that end at once."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from attentune.search.cli import main
from command_line import NET, SMALL, attentune


@pytest.fixture
def run_here(tmp_path, monkeypatch, capsys):
    """A function that runs a command in an empty folder; it returns exit code and output."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["attentune", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory, cache) -> Path:
    """A folder with a finished study of nine trials, called `first`."""
    del cache
    folder = tmp_path_factory.mktemp("finished")
    words = ["search", "first", *NET, *SMALL, "--trials", "9", "--epochs", "2", "--workers", "2"]
    objectives = ["--objective", "accuracy", "--objective", "macs"]
    done = attentune(*words, *objectives, cwd=folder, new_process=True)
    assert "Pareto front" in done.stdout
    assert "attentune report first" in done.stdout
    return folder
