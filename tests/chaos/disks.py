"""The disk becomes full at any write of a search, a report or an export."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from .attack import AttackRun, Attempt
from .command import check_stated
from .crash_points import FILLER, fill_disk
from .kills import list_points
from .launcher import Patches, Trap, launcher
from .small_study import (
    STUDY,
    SmallStudy,
    StudyContent,
    check_study,
    read_content,
    resume_until_done,
    run_reference,
)

DISK_BYTES = 48 * 2**20
BEGIN_FULL: dict[str, tuple[str, ...]] = {
    "report": ("report", STUDY, "-o", "report.html"),
    "export": ("export", STUDY, "-o", "model"),
    "search": (),
    "cache": (),
}
"""Commands that find the disk full from their first byte; those without words are a search."""


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A small file system in memory at `folder`; OSError if this process may not mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"size={DISK_BYTES}".encode()
    if libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", 0, options):
        raise OSError(ctypes.get_errno(), "mount tmpfs")
    try:
        yield
    finally:
        libc.umount2(os.fsencode(folder), 2)  # Also if a file is still open.


def fill_disks(run: AttackRun) -> None:
    """The disk becomes full at one of the points of a search; later there is space again."""
    try:
        with small_disk(run.folder / "try"):
            pass
    except OSError as error:
        run.tally.facts["left out"] = f"no file system can be mounted here: {error}"
        return
    study = SmallStudy(trials=6, epochs=2)
    points, reference = list_points(run.folder / "reference", study)
    cases = [point for point in points if " before " in point] + [*BEGIN_FULL]
    for case in run.each(cases):
        with run.attempt(case) as attempt:
            full = attempt.folder / "cache" if case == "cache" else attempt.folder
            with small_disk(full):
                if case in BEGIN_FULL:
                    begin_full(attempt, study, case, full)
                else:
                    become_full(attempt, study, reference, case)


def become_full(attempt: Attempt, study: SmallStudy, reference: StudyContent, point: str) -> None:
    """Fill the disk at a point of the search.

    Args:
        attempt: that is made.
        study: its settings.
        reference: without an attack.
        point: as in `list_points`.
    """
    process, number = point.split()[0], int(point.split()[1])
    patches = Patches(trap=Trap("fill", process, number))
    ended = launcher().run(*study.search, cwd=attempt.folder, patches=patches)
    check_full_disk_end(attempt, ended.code, ended.shown)
    check_stated(attempt, ended)
    acknowledged = read_content(attempt.folder / "attentune.db").ended
    failed = [row for row in acknowledged.values() if row[4] == "failed"]
    if failed:
        attempt.wrong(f"the full disk made trials fail: {failed}")
    (attempt.folder / FILLER).unlink(missing_ok=True)
    resume_until_done(attempt, study)
    check_study(attempt, study, acknowledged, reference)


def check_full_disk_end(attempt: Attempt, code: int | None, shown: str) -> None:
    """Report a command that ended as if it had done everything, on a disk without a free byte."""
    is_full = shutil.disk_usage(attempt.folder).free == 0
    content = read_content(attempt.folder / "attentune.db")
    complete = content.trials and all(row[4] == "complete" for row in content.trials)
    if is_full and code == 0 and not complete:
        attempt.wrong(f"exit code 0 on a full disk: {shown}")


def begin_full(attempt: Attempt, study: SmallStudy, name: str, full: Path) -> None:
    """A command finds the disk full; it says so and leaves nothing half done.

    Args:
        attempt: that is made.
        study: its settings.
        name: one of `BEGIN_FULL`.
        full: the folder on the full disk.
    """
    folder, words = attempt.folder, BEGIN_FULL[name] or study.search
    patches = Patches(environment={"ATTENTUNE_CACHE": str(full)} if name == "cache" else {})
    if BEGIN_FULL[name]:
        run_reference(study, folder)
    fill_disk(full)
    ended = launcher().run(*words, cwd=folder, patches=patches)
    check_stated(attempt, ended)
    if ended.code == 0 and name != "cache":
        attempt.wrong(f"exit code 0 on a full disk: {ended.shown}")
    if left := [path.name for path in (folder / "report.html", folder / "model") if path.exists()]:
        attempt.wrong(f"{left} is there after an error")
    (full / FILLER).unlink()
    if name == "cache":
        resume_until_done(attempt, study, patches)
    elif (again := launcher().run(*words, cwd=folder, patches=patches)).code != 0:
        attempt.wrong(f"failed although there is space again: {again.shown}")
