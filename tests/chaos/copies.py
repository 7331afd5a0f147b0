"""After every command the database is one file: a copy of it alone holds everything."""

from __future__ import annotations

import shutil
import signal
import time

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
                shown = [
                    launcher().run("show", STUDY, "--json", cwd=place) for place in (folder, copy)
                ]
                if shown[0].out != shown[1].out or shown[0].code != 0:
                    attempt.lost(f"the copy after `{' '.join(words)}` shows {shown[1].shown}")
                copied = launcher().run("db", "compact", cwd=copy)
                check_stated(attempt, copied)
