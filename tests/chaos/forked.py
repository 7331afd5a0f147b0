"""The process of a `Launcher`: it imports attentune, then forks itself for every command."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

BEGUN_FILE = "begun"
"""In the folder of the output: the command begins now."""
MODULES = (
    "alembic.command",
    "attentune.runners.training.train",
    "attentune.runners.workers.trial",
    "attentune.runners.workers.worker",
    "attentune.search.cli",
    "attentune.search.cli.progress",
    "attentune.search.cli.summary",
    "attentune.search.run.confirm",
    "attentune.search.run.coordinator",
    "attentune.search.run.optuna_study",
    "attentune.search.run.propose",
    "attentune.search.run.study",
    "attentune.search.setup.resolve",
    "attentune.studies.outputs.export",
    "attentune.studies.outputs.report",
)


def main() -> None:
    """Answer requests until the input ends; in a forked process, run its command."""
    from attentune.spaces.backbones.timm_compat import import_timm

    import_timm()
    for module in MODULES:
        importlib.import_module(module)
    living: dict[int, int | None] = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            reply: dict[str, Any] = {"code": poll(request["poll"], living)}
        else:
            pid = os.fork()
            if pid == 0:
                run_command(**request)
                return
            living[pid] = None
            reply = {"pid": pid}
        print(json.dumps(reply), flush=True)
    for pid, code in living.items():
        if code is None and poll(pid, living) is None:
            os.kill(pid, signal.SIGKILL)


def poll(pid: int, living: dict[int, int | None]) -> int | None:
    """The exit code of a command, negative for a signal; None while it runs."""
    if living[pid] is None:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            living[pid] = os.waitstatus_to_exitcode(status)
    return living[pid]


def run_command(words: list[str], cwd: str, output: str, patches: dict[str, Any]) -> None:
    """Become `attentune WORDS`; the interpreter ends as it does after the command."""
    os.setsid()
    os.chdir(cwd)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, name in ((1, "out.txt"), (2, "error.txt")):
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND
        os.dup2(os.open(Path(output) / name, flags), number)
    sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115, PTH123
    from .patched import apply

    apply(patches)
    sys.argv = ["attentune", *words]
    from attentune.__main__ import main as attentune_main

    Path(output, BEGUN_FILE).touch()
    attentune_main()


if __name__ == "__main__":
    main()
