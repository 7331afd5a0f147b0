"""The command as a user runs it: in this process, where torch is imported, or in a new one."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import pytest
from attentune.search.cli import main

SMALL = ["--data", "digits", "--image-size", "16", "--train-limit", "256"]
SMALL += ["--batch-size", "64", "--epochs", "8", "--stem", "native"]
SMALL += ["--lr", "0.004", "--precision", "float32", "--memory-format", "channels_last"]
SMALL += ["--workers", "1"]
NET = ["--backbone", "test_resnet"]


def attentune(
    *words: str, cwd: Path, check: int | None = 0, new_process: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run `attentune` with these words in the folder `cwd`.

    Its exit code must be `check`, unless that is None. Most commands run in this process.
    """
    run = _in_new_process if new_process else _in_this_process
    done = run(words, cwd)
    if check is not None:
        assert done.returncode == check, done.stdout + done.stderr
    return done


def _in_new_process(words: tuple[str, ...], cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "attentune", *words]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def _in_this_process(words: tuple[str, ...], cwd: Path) -> subprocess.CompletedProcess[str]:
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
