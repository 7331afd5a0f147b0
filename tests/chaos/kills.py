"""Processes are killed, at random times and at every point of a search."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from attentune.search.run.lost_workers import MAX_LOST_WORKERS

from .attack import AttackRun, Attempt
from .command import check_stated
from .launcher import Patches, Trap, launcher
from .small_study import (
    STUDY,
    Observer,
    SmallStudy,
    check_no_process,
    check_study,
    read_content,
    resume_until_done,
    run_reference,
)

MAX_KILLS = 4
"""Kills of the coordinator of one study before it may end."""


def kill_coordinators(run: AttackRun) -> None:
    """SIGKILL of the coordinator alone, or of it and all of its workers, at random times."""
    study = SmallStudy(trials=8, epochs=3)
    patches = Patches(epoch_seconds=0.02)
    reference = run_reference(study, run.folder / "reference", patches)
    for step in run.steps():
        with run.attempt(step) as attempt, Observer(attempt.folder / "attentune.db") as observer:
            words = study.search
            for _ in range(attempt.random.randint(1, MAX_KILLS)):
                command = launcher().start(*words, cwd=attempt.folder, patches=patches)
                time.sleep(attempt.random.uniform(0.1, 1.8))
                if attempt.random.random() < 0.5:
                    command.signal(signal.SIGKILL)
                else:
                    command.signal_group(signal.SIGKILL)
                while command.poll() is None:
                    time.sleep(0.005)
                check_no_process(attempt, command.pid)
                words = next_words(attempt, study)
            finish(attempt, study, patches, observer)
            check_study(attempt, study, observer.acknowledged, reference, sealed=False)


def next_words(attempt: Attempt, study: SmallStudy) -> tuple[str, ...]:
    """The command that continues after a kill: `search` again, if it had made no study yet."""
    database = attempt.folder / "attentune.db"
    exists = read_content(database).folder is not None
    return ("resume", STUDY, "--trials", str(study.trials)) if exists else study.search


def finish(attempt: Attempt, study: SmallStudy, patches: Patches, observer: Observer) -> None:
    """Resume until the study is complete, and report what vanished meanwhile.

    Args:
        attempt: that is made.
        study: its settings.
        patches: of the commands.
        observer: has watched the attack.
    """
    resume_until_done(attempt, study, patches)
    observer.read()
    for what in observer.vanished:
        attempt.lost(what)


def kill_workers(run: AttackRun) -> None:
    """SIGKILL of random workers while two of them train."""
    study = SmallStudy(trials=8, epochs=4, workers=2)
    patches = Patches(epoch_seconds=0.05)
    results = run_reference(
        SmallStudy(trials=8, epochs=4), run.folder / "reference", Patches(epoch_seconds=0.0)
    )
    for step in run.steps():
        with run.attempt(step) as attempt, Observer(attempt.folder / "attentune.db") as observer:
            command = launcher().start(*study.search, cwd=attempt.folder, patches=patches)
            # A trial that loses `MAX_LOST_WORKERS` is recorded as failed, which is right.
            for _ in range(attempt.random.randint(1, MAX_LOST_WORKERS - 1)):
                time.sleep(attempt.random.uniform(0.3, 1.0))
                workers = [p for p in command.descendants() if p.ppid() == command.pid]
                workers = [p for p in workers if "resource_tracker" not in " ".join(p.cmdline())]
                if workers:
                    attempt.random.choice(workers).kill()
            ended = command.wait()
            check_stated(attempt, ended)
            if ended.code != 0:
                attempt.wrong(f"lost workers ended the search: {ended.shown}")
            finish(attempt, study, patches, observer)
            check_study(attempt, study, observer.acknowledged, results, sealed=False)


def kill_at_crash_points(run: AttackRun) -> None:
    """SIGKILL of the coordinator or of its worker before and after each of its writes."""
    study = SmallStudy(trials=6, epochs=2)
    points, reference = list_points(run.folder / "reference", study)
    for point in run.each(points):
        with run.attempt(point) as attempt:
            process, number = point.split()[0], int(point.split()[1])
            trap = Trap("kill", process, number)
            command = launcher().start(
                *study.search, cwd=attempt.folder, patches=Patches(trap=trap)
            )
            ended = command.wait()
            if process == "worker":
                check_stated(attempt, ended)
            acknowledged = read_content(attempt.folder / "attentune.db").ended
            resume_until_done(attempt, study)
            check_study(attempt, study, acknowledged, reference)


def list_points(folder: Path, study: SmallStudy) -> tuple[list[str], object]:
    """All crash points of a study, such as `coordinator 12 before a commit`, and its content.

    Args:
        folder: for an undisturbed run.
        study: its settings.
    """
    points = []
    for process in ("coordinator", "worker"):
        log = folder / process / "points.txt"
        trap = Trap("count", process, log=str(log))
        reference = run_reference(study, folder / process, Patches(trap=trap))
        points += [f"{process} {line}" for line in log.read_text().splitlines()]
    return points, reference
