"""A study's coordinator is stopped, restarted, or doubted; nobody steals, nobody writes twice."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from .attack import AttackRun, Attempt
from .command import Ended, check_stated
from .kills import list_points
from .launcher import Command, Patches, Trap, launcher
from .small_study import (
    STUDY,
    SmallStudy,
    StudyContent,
    check_study,
    read_content,
    resume_until_done,
    run_reference,
)

STALE_SECONDS = 1.5
"""Leases end sooner than in reality, so that nobody waits for half a minute."""
EPOCH_SECONDS = 0.25
LIVE = SmallStudy(trials=6, epochs=3)
"""A study that runs for some seconds."""
RESUME = ("resume", STUDY)


def patched(**changes: object) -> Patches:
    """Patches of all commands here, with changes."""
    common = {"epoch_seconds": EPOCH_SECONDS, "stale_seconds": STALE_SECONDS}
    return Patches(**(common | changes))  # type: ignore[arg-type]


def take_over(run: AttackRun) -> None:
    """Other processes try to run the study of a coordinator that lives, sleeps or has died."""
    reference = run_reference(LIVE, run.folder / "reference", patched(epoch_seconds=0.0))
    for step in run.steps():
        with run.attempt(step) as attempt:
            name = attempt.random.choice(sorted(CASES))
            CASES[name](attempt)
            resume_until_done(attempt, LIVE, patched(epoch_seconds=0.0))
            check_study(attempt, LIVE, {}, reference)
            attempt.note(name)


def start_live(attempt: Attempt, **changes: object) -> Command:
    """A search that has recorded something and goes on for some seconds."""
    command = launcher().start(*LIVE.search, cwd=attempt.folder, patches=patched(**changes))
    wait_for_epochs(attempt, attempt.random.randint(1, 4))
    return command


def wait_for_epochs(attempt: Attempt, number: int) -> None:
    """Wait until so many epochs are recorded."""
    ends = time.monotonic() + 60
    while len(read_content(attempt.folder / "attentune.db").epochs) < number:
        if time.monotonic() > ends:
            raise TimeoutError("no epoch was recorded")
        time.sleep(0.02)


def expect_refused(attempt: Attempt, ended: Ended, live: Command) -> None:
    """A rival of a living coordinator must be refused, and the coordinator must finish."""
    check_stated(attempt, ended)
    if ended.code != 1:
        attempt.wrong(f"a living study was not left alone: {ended.shown}")
    if (finished := live.wait()).code != 0:
        attempt.wrong(f"the rival ended the living coordinator: {finished.shown}")


def another_clock(attempt: Attempt) -> None:
    """The rival's clock is an hour or a day wrong."""
    live = start_live(attempt)
    seconds = attempt.random.choice([-86400.0, -3600.0, 3600.0, 86400.0])
    rival = launcher().run(*RESUME, cwd=attempt.folder, patches=patched(clock_seconds=seconds))
    expect_refused(attempt, rival, live)


def another_namespace(attempt: Attempt) -> None:
    """Rival or coordinator run in a container."""
    inside = attempt.random.random() < 0.5
    live = start_live(attempt, namespace=not inside)
    clock = attempt.random.choice([0.0, 3600.0, -3600.0])
    patches = patched(namespace=inside, clock_seconds=clock)
    rival = launcher().run(*RESUME, cwd=attempt.folder, patches=patches)
    expect_refused(attempt, rival, live)


def two_containers(attempt: Attempt) -> None:
    """Both run in containers, as process 1 of each."""
    live = start_live(attempt, namespace=True)
    rival = launcher().run(*RESUME, cwd=attempt.folder, patches=patched(namespace=True))
    expect_refused(attempt, rival, live)


def stopped_here(attempt: Attempt) -> None:
    """The coordinator is stopped and goes on; in the same namespace it counts as alive."""
    live = start_live(attempt)
    live.signal_group(signal.SIGSTOP)
    rival = launcher().run(*RESUME, cwd=attempt.folder, patches=patched())
    live.signal_group(signal.SIGCONT)
    expect_refused(attempt, rival, live)


def restarted_container(attempt: Attempt) -> None:
    """A container is killed and started again: process 1 as before."""
    live = start_live(attempt, namespace=True)
    live.signal_group(signal.SIGKILL)
    live.wait()
    again = launcher().run(*RESUME, cwd=attempt.folder, patches=patched(namespace=True))
    check_stated(attempt, again)
    if again.code != 0:
        attempt.wrong(f"a restarted container was refused: {again.shown}")


CASES: dict[str, Callable[[Attempt], None]] = {
    function.__name__: function
    for function in (
        another_clock,
        another_namespace,
        two_containers,
        stopped_here,
        restarted_container,
    )
}


def wake_up_after_takeover(run: AttackRun) -> None:
    """The coordinator sleeps at one of its writes, is taken over, and then writes nothing more."""
    study = SmallStudy(trials=6, epochs=2)
    points, reference = list_points(run.folder / "reference", study)
    for point in run.each([p for p in points if p.startswith("coordinator")]):
        with run.attempt(point) as attempt:
            sleep_through_takeover(attempt, study, point)
            resume_until_done(attempt, study)
            check_study(attempt, study, {}, reference)


def sleep_through_takeover(attempt: Attempt, study: SmallStudy, point: str) -> None:
    """Let a coordinator stop at a point until another one, in a container, has finished its study.

    Args:
        attempt: that is made.
        study: its settings.
        point: as in `list_points`.
    """
    trap, database = Trap("stop", number=int(point.split()[1])), attempt.folder / "attentune.db"
    patches = Patches(trap=trap, stale_seconds=STALE_SECONDS)
    sleeper = launcher().start(*study.search, cwd=attempt.folder, patches=patches)
    ends = time.monotonic() + 60
    while sleeper.state() not in ("stopped", None) and time.monotonic() < ends:
        time.sleep(0.02)
    rival = launcher().run(
        *RESUME,
        cwd=attempt.folder,
        patches=Patches(namespace=True, stale_seconds=STALE_SECONDS),
    )
    check_stated(attempt, rival)
    before: StudyContent = read_content(database)
    sleeper.signal(signal.SIGCONT)
    ended = sleeper.wait()
    check_stated(attempt, ended)
    if rival.code != 0:  # It slept inside a transaction, or before it had a study or a lease.
        return
    if ended.code == 0 and "taken over" not in ended.out + ended.error:
        attempt.wrong(f"it did not notice that it was taken over: {ended.shown}")
    after = read_content(database)
    if after != before:
        attempt.wrong("it wrote after it was taken over")
