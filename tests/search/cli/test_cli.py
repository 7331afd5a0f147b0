"""The command line as a whole: what it imports, and help for everything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def imported(words, folder):
    """The top-level modules in memory after a command."""
    code = (
        "import sys, runpy\n"
        "sys.argv = ['attentune', *sys.argv[1:]]\n"
        "try:\n"
        "    runpy.run_module('attentune', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "print('', *sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    modules = done.stderr.splitlines()[-1].split()
    assert "typer" in modules
    return set(modules)


@pytest.mark.parametrize("words", [["--help"], ["search", "--help"]], ids=" ".join)
def test_help_starts_without_database_and_analysis(words, tmp_path):
    assert not {"torch", "numpy", "sqlalchemy", "optuna", "plotly"} & imported(words, tmp_path)


def test_reading_commands_start_without_torch(finished):
    for words in (
        ["list"],
        ["show", "first"],
        ["show", "first", "--json"],
        ["attentions"],
        ["report", "first"],
    ):
        assert not {"torch", "timm", "torchvision"} & imported(words, finished), words


def test_every_command_and_option_has_help(tmp_path):
    import typer
    from attentune.search.cli import app

    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        assert command.help, name
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_the_shell_completes_commands_and_options(tmp_path):
    def completed(typed: str) -> list[str]:
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
        code = "import sys; sys.argv = ['attentune']; from attentune.search.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ | words | {"_ATTENTUNE_COMPLETE": "complete_bash"},
            capture_output=True,
            text=True,
        ).stdout.split()

    assert set(completed("attentune ex")) == {"export", "export-table"}
    assert completed("attentune search mine --back") == ["--backbone"]
