"""Signals: an interrupt or a request to end, once or several times, at any time."""

from __future__ import annotations

import signal
import time

from .attack import AttackRun, Attempt
from .command import Ended, check_stated
from .kills import finish, next_words
from .launcher import Command, Patches, launcher
from .small_study import (
    STUDY,
    Observer,
    SmallStudy,
    check_no_process,
    check_study,
    run_reference,
)

SECONDS_TO_STOP = 10.0
"""A search whose epochs last some hundredths of a second has to end in this time."""
VOLLEYS = {
    "one interrupt": ("process", [signal.SIGINT]),
    "one interrupt of the group": ("group", [signal.SIGINT]),
    "two interrupts": ("process", [signal.SIGINT] * 2),
    "three interrupts of the group": ("group", [signal.SIGINT] * 3),
    "one request to end": ("process", [signal.SIGTERM]),
    "two requests to end": ("process", [signal.SIGTERM] * 2),
    "one request to the group": ("group", [signal.SIGTERM]),
    "two requests to the group": ("group", [signal.SIGTERM] * 2),
    "a request, then an interrupt": ("process", [signal.SIGTERM, signal.SIGINT]),
}
"""By name, who receives which signals."""


def send_signals(run: AttackRun) -> None:
    """Signals at random times while a study runs."""
    study = SmallStudy(trials=6, epochs=3)
    patches = Patches(epoch_seconds=0.05)
    reference = run_reference(study, run.folder / "reference", patches)
    for step in run.steps():
        with run.attempt(step) as attempt, Observer(attempt.folder / "attentune.db") as observer:
            words = study.search
            for _ in range(attempt.random.randint(1, 2)):
                command = launcher().start(*words, cwd=attempt.folder, patches=patches)
                time.sleep(attempt.random.uniform(0.05, 2.5))
                ended = fire(attempt, command)
                check_interrupted(attempt, ended)
                words = next_words(attempt, study)
            finish(attempt, study, patches, observer)
            check_study(attempt, study, observer.acknowledged, reference, sealed=False)


def interrupt_tuning(run: AttackRun) -> None:
    """Signals while the learning rate is tuned; `resume` goes on with the study."""
    words = [word for word in SmallStudy(trials=2).search if word not in ("--lr", "0.004")]
    reference = SmallStudy(trials=2)
    for step in run.steps():
        with run.attempt(step) as attempt:
            command = launcher().start(*words, cwd=attempt.folder)
            time.sleep(attempt.random.uniform(0.2, 4.0))
            if attempt.random.random() < 0.3:
                command.signal_group(signal.SIGKILL)
                ended = command.wait(SECONDS_TO_STOP)
            else:
                ended = fire(attempt, command)
                check_interrupted(attempt, ended)
            resumed = launcher().run("resume", STUDY, cwd=attempt.folder)
            if "there is no" in resumed.error + resumed.out or "holds no" in resumed.error:
                resumed = launcher().run(*words, cwd=attempt.folder)
            check_stated(attempt, resumed)
            if resumed.code != 0:
                attempt.wrong(f"cannot go on: {resumed.shown}")
            check_study(attempt, reference, {})


def fire(attempt: Attempt, command: Command) -> Ended:
    """Send the signals of a random volley with random pauses, and wait for the end."""
    name = attempt.random.choice(sorted(VOLLEYS))
    receiver, numbers = VOLLEYS[name]
    for number in numbers:
        send = command.signal_group if receiver == "group" else command.signal
        send(number)
        time.sleep(attempt.random.choice([0.0, 0.01, 0.2]))
    ended = command.wait(SECONDS_TO_STOP)
    if ended.code is None:
        attempt.unstated(f"did not end after {name}: {ended.shown}")
    check_no_process(attempt, command.pid)
    return Ended((*ended.words, f"[{name}]"), ended.code, ended.out, ended.error)


def check_interrupted(attempt: Attempt, ended: Ended) -> None:
    """Report an interrupted command that did not end with 130 and a sentence."""
    if ended.code is None or not check_stated(attempt, ended) or ended.code == 0:
        return
    if ended.code != 130:
        attempt.unstated(f"exit code {ended.code} after a signal: {ended.shown}")
    elif not (ended.out + ended.error).strip() or "Aborted." in ended.error:
        attempt.unstated(f"no words after a signal: {ended.shown}")
