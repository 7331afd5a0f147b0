"""Files of trials are damaged between two runs of a study, or before an export."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from damaged_files import CHECKPOINT_FORGERIES, DAMAGES, RESULT_FORGERIES, Damage

from .attack import AttackRun, Attempt
from .command import check_stated
from .kills import list_points
from .launcher import Patches, Trap, launcher
from .small_study import (
    CHECKPOINT_FILE,
    STUDY,
    WEIGHTS_FILE,
    SmallStudy,
    StudyContent,
    check_study,
    read_content,
    resume_until_done,
    run_reference,
)

PAUSED = SmallStudy(trials=3, epochs=2)
"""The damages are made for the checkpoint after the first of two epochs."""


def damage_checkpoints(run: AttackRun) -> None:
    """The checkpoint of a killed trial is damaged; the trial begins anew, with the same result."""
    reference = run_reference(PAUSED, run.folder / "reference")
    paused = run.folder / "paused"
    paused.mkdir()
    command = launcher().start(*PAUSED.search, cwd=paused, patches=Patches(epoch_seconds=0.5))
    wait_for(lambda: list(paused.rglob(CHECKPOINT_FILE)))
    time.sleep(0.1)
    command.kill_session()
    damage_and_resume(run, paused, CHECKPOINT_FILE, DAMAGES | CHECKPOINT_FORGERIES, reference)


def damage_results(run: AttackRun) -> None:
    """The weights of a trial whose result was not recorded yet are damaged; it is trained again."""
    points, reference = list_points(run.folder / "reference", PAUSED)
    finished = run.folder / "finished"
    for point in [point for point in points if point.endswith("before a commit")]:
        shutil.rmtree(finished, ignore_errors=True)
        finished.mkdir()
        trap = Trap("kill", number=int(point.split()[1]))
        launcher().run(*PAUSED.search, cwd=finished, patches=Patches(trap=trap))
        running = [
            row[0] for row in read_content(finished / "attentune.db").trials if row[4] == "running"
        ]
        if running and list(finished.rglob(f"trial-{running[0]:05d}/{WEIGHTS_FILE}")):
            break
    damage_and_resume(run, finished, WEIGHTS_FILE, DAMAGES | RESULT_FORGERIES, reference)


def damage_and_resume(
    run: AttackRun,
    before: Path,
    name: str,
    damages: Mapping[str, Damage],
    reference: StudyContent,
) -> None:
    """Damage a file of the trial that was running in each way, and resume its study.

    Args:
        run: of the attack.
        before: the folder of a killed search.
        name: of the file.
        damages: by name.
        reference: the study without an attack.
    """
    acknowledged = read_content(before / "attentune.db").ended
    for kind in run.each([*damages]):
        with run.attempt(kind) as attempt:
            shutil.copytree(before, attempt.folder, dirs_exist_ok=True)
            [*_, path] = sorted(attempt.folder.rglob(name))
            damages[kind](path)
            resume_until_done(attempt, PAUSED)
            check_study(attempt, PAUSED, acknowledged, reference)


def export_damaged_weights(run: AttackRun) -> None:
    """The weights of a complete trial are damaged; `export` refuses them, and leaves no folder."""
    before = run.folder / "reference"
    run_reference(PAUSED, before)
    for kind in run.each([*DAMAGES]):
        with run.attempt(kind) as attempt:
            shutil.copytree(before, attempt.folder, dirs_exist_ok=True)
            for path in sorted(attempt.folder.rglob(WEIGHTS_FILE)):
                DAMAGES[kind](path)
            export(attempt)


def export(attempt: Attempt) -> None:
    """Export the best trial, whose weights are damaged."""
    ended = launcher().run("export", STUDY, "-o", "model", cwd=attempt.folder)
    check_stated(attempt, ended)
    if ended.code == 0:
        attempt.wrong(f"damaged weights were exported: {ended.shown}")
    if (attempt.folder / "model").exists():
        attempt.wrong("a folder is left after an error")


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait until a condition holds; TimeoutError after `seconds`."""
    ends = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError):
            if condition():
                return
        if time.monotonic() > ends:
            raise TimeoutError
        time.sleep(0.01)
