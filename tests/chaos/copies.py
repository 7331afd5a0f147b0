"""After every command the database is one file: a copy of it alone holds everything.

Only predictions are in files of their own, as weights are. Without them a confirmation has wider
intervals, and says so; with the artifacts beside it, the copy shows what the original shows.
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from typing import Any

from .attack import AttackRun
from .command import check_stated
from .launcher import Patches, launcher
from .small_study import STUDY, SmallStudy

COMMANDS: tuple[tuple[str, ...], ...] = (
    ("resume", STUDY, "--trials", "6"),
    ("resume", STUDY, "--trials", "8"),
    ("confirm", STUDY, "--seeds", "2", "--top", "1"),
    ("show", STUDY),
    ("list",),
    ("report", STUDY, "-o", "report.html"),
    ("export", STUDY, "-o", "model"),
    ("rm", "other", "--yes"),
    ("db", "compact"),
)
"""Commands that follow a search, in a random order."""


def copy_databases(run: AttackRun) -> None:
    """The file is copied after each command, and after an interrupt, without what lies beside."""
    study = SmallStudy(trials=5, epochs=1)
    for step in run.steps():
        with run.attempt(step) as attempt:
            folder = attempt.folder
            other = (*study.search[:1], "other", *study.search[2:])
            interrupted = ("resume", STUDY, "--trials", "40")
            later = attempt.random.sample(COMMANDS, 4)
            for words in (study.search, other, interrupted, *later):
                patches = Patches(epoch_seconds=0.02)
                command = launcher().start(*words, cwd=folder, patches=patches)
                if words == interrupted:
                    time.sleep(attempt.random.uniform(0.2, 1.0))
                    command.signal(signal.SIGINT)
                ended = command.wait()
                check_stated(attempt, ended)
                copy = folder / f"copy-{words[0]}-{attempt.random.random()}"
                copy.mkdir()
                beside = [p.name for p in folder.glob("attentune.db-*")]
                if beside:
                    attempt.wrong(f"beside the database: {beside}, after {ended.shown}")
                shutil.copy(folder / "attentune.db", copy)
                original, alone = _show(folder), _show(copy)
                original.pop("confirmation"), alone.pop("confirmation")
                artifacts = folder / "attentune.artifacts"
                if artifacts.exists():
                    shutil.copytree(artifacts, copy / artifacts.name)
                name = f"the copy after `{' '.join(words)}`"
                if alone != original or not original:
                    attempt.lost(f"{name} has not all of its content")
                if _show(copy) != _show(folder):
                    attempt.lost(f"{name} with its artifacts shows something else")
                copied = launcher().run("db", "compact", cwd=copy)
                check_stated(attempt, copied)


def _show(folder: Path) -> dict[str, Any]:
    """What a study in a folder shows; empty if it cannot be shown."""
    shown = launcher().run("show", STUDY, "--json", cwd=folder)
    return dict(json.loads(shown.out)) if shown.code == 0 else {"confirmation": None}
