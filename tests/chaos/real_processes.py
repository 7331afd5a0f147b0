"""The command as it is: new processes, the fork server, real training; nothing is patched."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable

import psutil

from .attack import AttackRun, Attempt
from .command import check_stated, end_group, read_end, start_python
from .launcher import Patches, processes_of_session
from .small_study import (
    STUDY,
    Observer,
    SmallStudy,
    check_no_process,
    check_study,
    read_content,
    run_reference,
)

STUDY_SETTINGS = SmallStudy(trials=8, epochs=3)
SECONDS_TO_STOP = 30.0
MAX_RUNS = 3


def attack_real_processes(run: AttackRun) -> None:
    """Kill or signal a part of a real search after some seconds; then resume it."""
    reference = run_reference(STUDY_SETTINGS, run.folder / "reference", Patches(formula=False))
    for step in run.steps():
        with run.attempt(step) as attempt, Observer(attempt.folder / "attentune.db") as observer:
            name = attempt.random.choice(sorted(CASES))
            process = start_python("-m", "attentune", *STUDY_SETTINGS.search, cwd=attempt.folder)
            try:
                wait_until_busy(attempt)
                CASES[name](process.pid)
                code: int | None = process.wait(SECONDS_TO_STOP)
            except (TimeoutError, subprocess.TimeoutExpired):
                code = None
            finally:
                if process.poll() is not None:
                    check_no_process(attempt, process.pid)
                end_group(process)
            ended = read_end((*STUDY_SETTINGS.search[:2], f"[{name}]"), code, attempt.folder)
            if not (code is not None and code == -signal.SIGKILL):
                check_stated(attempt, ended)
            resume_really(attempt)
            observer.read()
            for what in observer.vanished:
                attempt.lost(what)
            check_study(attempt, STUDY_SETTINGS, observer.acknowledged, reference, sealed=False)


def wait_until_busy(attempt: Attempt) -> None:
    """Wait until an epoch is recorded, then for a random part of a second."""
    ends = time.monotonic() + 60
    while not read_content(attempt.folder / "attentune.db").epochs:
        if time.monotonic() > ends:
            raise TimeoutError("no epoch was recorded")
        time.sleep(0.02)
    time.sleep(attempt.random.uniform(0.0, 1.0))


def resume_really(attempt: Attempt) -> None:
    """Resume in new processes until the study is complete."""
    for _ in range(MAX_RUNS):
        words = ("resume", STUDY, "--trials", str(STUDY_SETTINGS.trials))
        process = start_python("-m", "attentune", *words, cwd=attempt.folder)
        try:
            code: int | None = process.wait(120)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end_group(process)
        ended = read_end(words, code, attempt.folder)
        if not check_stated(attempt, ended) or code == 0:
            return
    attempt.wrong(f"not complete after {MAX_RUNS} runs: {ended.shown}")


def workers_of(session: int) -> list[psutil.Process]:
    """The processes that were forked by the fork server."""
    servers = {process.pid for process in fork_servers_of(session)}
    workers = []
    for process in processes_of_session(session):
        with contextlib.suppress(psutil.Error):  # It may have ended in the meantime.
            if process.ppid() in servers:
                workers.append(process)
    return workers


def fork_servers_of(session: int) -> list[psutil.Process]:
    """The fork server of a search: the child of the coordinator that runs `forkserver`."""
    servers = []
    for process in processes_of_session(session):
        with contextlib.suppress(psutil.Error):
            if process.ppid() == session and "forkserver" in " ".join(process.cmdline()):
                servers.append(process)
    return servers


def kill_fork_server(session: int) -> None:
    """SIGKILL of the process from which workers are forked."""
    for process in fork_servers_of(session):
        process.kill()


def kill_fork_server_and_worker(session: int) -> None:
    """A worker dies, and the server that would replace it is dead as well."""
    victims = [*fork_servers_of(session), *workers_of(session)]
    for process in victims:
        process.kill()


def kill_worker(session: int) -> None:
    """SIGKILL of a worker."""
    for process in workers_of(session)[:1]:
        process.kill()


def kill_coordinator(session: int) -> None:
    """SIGKILL of the coordinator."""
    os.kill(session, signal.SIGKILL)


def kill_all(session: int) -> None:
    """SIGKILL of all processes."""
    os.killpg(session, signal.SIGKILL)


def request_end_twice(session: int) -> None:
    """SIGTERM twice to the group, as Slurm and systemd send it."""
    for _ in range(2):
        os.killpg(session, signal.SIGTERM)
        time.sleep(0.05)


def interrupt_three_times(session: int) -> None:
    """Three fast Ctrl-C."""
    for _ in range(3):
        os.killpg(session, signal.SIGINT)
        time.sleep(0.02)


def stop_worker(session: int) -> None:
    """A worker is stopped; then the search is interrupted, as by an impatient user."""
    for process in workers_of(session)[:1]:
        process.suspend()
    time.sleep(0.3)
    for _ in range(2):
        os.kill(session, signal.SIGINT)
        time.sleep(0.5)


CASES: dict[str, Callable[[int], None]] = {
    function.__name__: function
    for function in (
        kill_fork_server,
        kill_fork_server_and_worker,
        kill_worker,
        kill_coordinator,
        kill_all,
        request_end_twice,
        interrupt_three_times,
        stop_worker,
    )
}
