"""Several commands at once on one database."""

from __future__ import annotations

import json
import random
import signal
import threading
import time
from collections.abc import Callable

from .attack import AttackRun, Attempt
from .command import Ended, check_stated
from .kills import next_words
from .launcher import Patches, launcher
from .small_study import (
    STUDY,
    Observer,
    SmallStudy,
    check_study,
    read_content,
    resume_until_done,
    run_reference,
)

PATCHES = Patches(epoch_seconds=0.05)
OTHER = "other"
READERS: tuple[tuple[str, ...], ...] = (
    ("show", STUDY, "--json"),
    ("list", "--json"),
    ("show", STUDY),
    ("report", STUDY, "-o", "report.html"),
    ("export", STUDY, "-o", "model"),
    ("show", STUDY, "--trial", "0", "--json"),
)


def run_rivals(run: AttackRun) -> None:
    """Two commands begin at almost the same time."""
    study = SmallStudy(trials=5, epochs=2)
    reference = run_reference(study, run.folder / "reference")
    for step in run.steps():
        with run.attempt(step) as attempt:
            case = attempt.random.choice(CASES)
            case(attempt, study)
            resume_until_done(attempt, study)
            check_study(attempt, study, {}, reference)
            attempt.note(case.__name__)


def together(attempt: Attempt, *commands: tuple[str, ...], pause: float = 0.3) -> list[Ended]:
    """Start commands one after the other within a short time, and wait for all."""
    started = []
    for words in commands:
        started.append(launcher().start(*words, cwd=attempt.folder, patches=PATCHES))
        time.sleep(attempt.random.uniform(0.0, pause))
    ended = [command.wait() for command in started]
    for end in ended:
        check_stated(attempt, end)
    return ended


def two_searches(attempt: Attempt, study: SmallStudy) -> None:
    """The same name twice: one runs, the other is refused."""
    codes = sorted(str(end.code) for end in together(attempt, study.search, study.search))
    if codes != ["0", "1"]:
        attempt.wrong(f"two searches of one name ended with {codes}")


def two_resumes(attempt: Attempt, study: SmallStudy) -> None:
    """One runs, the other is refused or finds nothing to do."""
    interrupted = launcher().start(*study.search, cwd=attempt.folder, patches=PATCHES)
    time.sleep(attempt.random.uniform(0.5, 1.5))
    interrupted.signal(signal.SIGINT)
    interrupted.wait()
    if not read_content(attempt.folder / "attentune.db").trials:
        return
    codes = [end.code for end in together(attempt, ("resume", STUDY), ("resume", STUDY))]
    if 0 not in codes:
        attempt.wrong(f"two resumes ended with {codes}")


def removed_while_running(attempt: Attempt, study: SmallStudy) -> None:
    """`rm` of a running study is refused."""
    ended = together(attempt, study.search, ("rm", STUDY, "--yes"), pause=1.5)
    removed = ended[1].code == 0
    if ended[0].code != 0 and not removed:
        attempt.wrong(f"the search ended with {ended[0].shown}")


def two_studies(attempt: Attempt, study: SmallStudy) -> None:
    """Two studies of one database run side by side."""
    other = (study.search[0], OTHER, *study.search[2:])
    codes = [end.code for end in together(attempt, study.search, other)]
    if codes != [0, 0]:
        attempt.wrong(f"two studies side by side ended with {codes}")
    ours, theirs = (read_content(attempt.folder / "attentune.db", n) for n in (STUDY, OTHER))
    if ours.trials != theirs.trials:
        attempt.wrong("two equal studies side by side differ")


def changed_while_running(attempt: Attempt, study: SmallStudy) -> None:
    """A refused `resume` with other settings changes nothing."""
    together(
        attempt,
        study.search,
        ("resume", STUDY, "--trials", "2", "--budget", "1s"),
        ("resume", STUDY, "--workers", "3", "--device", "cuda"),
        pause=1.5,
    )
    ended = launcher().run("resume", STUDY, cwd=attempt.folder)
    check_stated(attempt, ended)


CASES: tuple[Callable[[Attempt, SmallStudy], None], ...] = (
    two_searches,
    two_resumes,
    removed_while_running,
    two_studies,
    changed_while_running,
)


def read_during_kills(run: AttackRun) -> None:
    """Readers run again and again while a search is killed and resumed."""
    study = SmallStudy(trials=6, epochs=3)
    for step in run.steps():
        with run.attempt(step) as attempt, Observer(attempt.folder / "attentune.db") as observer:
            ended = threading.Event()
            killer = threading.Thread(target=kill_repeatedly, args=(attempt, study, ended))
            killer.start()
            numbers: list[int] = []
            try:
                while not ended.is_set():
                    read_once(attempt, numbers)
            finally:
                ended.set()
                killer.join()
            resume_until_done(attempt, study)
            for what in observer.vanished:
                attempt.lost(what)
            check_study(attempt, study, observer.acknowledged, sealed=False)


def kill_repeatedly(attempt: Attempt, study: SmallStudy, ended: threading.Event) -> None:
    """Start the search, kill it, resume it, and so on, some times."""
    pauses = random.Random(attempt.label)
    words = study.search
    for _ in range(3):
        if ended.is_set():
            break
        command = launcher().start(*words, cwd=attempt.folder, patches=PATCHES)
        time.sleep(pauses.uniform(0.5, 2.0))
        command.signal_group(signal.SIGKILL)
        command.wait()
        words = next_words(attempt, study)
    ended.set()


def read_once(attempt: Attempt, numbers: list[int]) -> None:
    """Run a random reader; JSON has to be JSON, and no trial may disappear.

    Args:
        attempt: that is made.
        numbers: how many trials had ended before, which is extended.
    """
    words = attempt.random.choice(READERS)
    ended = launcher().run(*words, cwd=attempt.folder)
    check_stated(attempt, ended)
    if ended.code == 0 and "--json" in words:
        try:
            value = json.loads(ended.out)
        except ValueError:
            attempt.wrong(f"no JSON: {ended.shown}")
            return
        if words == READERS[0]:
            counts = value["counts"]
            numbers.append(counts["complete"] + counts["pruned"] + counts["failed"])
            if numbers[-1] < max(numbers):
                attempt.lost(f"trials that had ended: {numbers}")
