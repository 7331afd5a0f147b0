"""`rm` is killed before or after each of its steps, and the name is used again."""

from __future__ import annotations

import shutil

from .attack import AttackRun
from .command import check_stated
from .launcher import Patches, Trap, launcher
from .small_study import (
    STUDY,
    SmallStudy,
    check_study,
    read_content,
    run_reference,
)

OTHER = "other"
"""A study in the same database, which must not change."""


def kill_removals(run: AttackRun) -> None:
    """SIGKILL of `rm` at each of its points; then a new study of that name, from nothing."""
    study = SmallStudy(trials=3, epochs=1)
    before = run.folder / "before"
    reference = run_reference(study, before)
    other_words = (*study.search[:1], OTHER, *study.search[2:])
    other_ended = launcher().run(*other_words, cwd=before)
    assert other_ended.code == 0, other_ended.shown
    other = read_content(before / "attentune.db", OTHER)
    log = run.folder / "points.txt"
    shutil.copytree(before, run.folder / "count")
    trap = Trap("count", log=str(log))
    launcher().run("rm", STUDY, "--yes", cwd=run.folder / "count", patches=Patches(trap=trap))
    for point in run.each(log.read_text().splitlines()):
        with run.attempt(point) as attempt:
            shutil.copytree(before, attempt.folder, dirs_exist_ok=True)
            patches = Patches(trap=Trap("kill", number=int(point.split()[0])))
            launcher().run("rm", STUDY, "--yes", cwd=attempt.folder, patches=patches)
            content = read_content(attempt.folder / "attentune.db")
            if content.trials:
                if content.trials != reference.trials or content.epochs != reference.epochs:
                    attempt.wrong("the study is there, but not whole")
                again = launcher().run("rm", STUDY, "--yes", cwd=attempt.folder)
                if again.code != 0:
                    attempt.wrong(f"rm cannot be repeated: {again.shown}")
                check_stated(attempt, again)
            ended = launcher().run(*study.search, cwd=attempt.folder)
            if ended.code == 2 or "exists" in ended.error:  # Killed before anything was removed.
                launcher().run("rm", STUDY, "--yes", cwd=attempt.folder)
                ended = launcher().run(*study.search, cwd=attempt.folder)
            check_stated(attempt, ended)
            if ended.code != 0:
                attempt.wrong(f"the name cannot be used again: {ended.shown}")
            check_study(attempt, study, {}, reference)
            if read_content(attempt.folder / "attentune.db", OTHER) != other:
                attempt.lost("another study of the database has changed")
            folders = list((attempt.folder / "attentune.artifacts").iterdir())
            if len(folders) != 2:
                attempt.wrong(f"artifacts of the removed study are left: {folders}")
