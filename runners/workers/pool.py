"""A pool of workers: start a job, answer after an epoch, receive events, survive a dead worker.

`LocalPool` keeps long-lived processes, each with its own pipe. A worker dies with the coordinator
(also when that is killed with -9), and the coordinator learns of a dead worker at once and gets
another in its place. Interrupts from the terminal reach only the coordinator, which decides.

On Linux workers are forked off a server that has imported torch and timm once (`warm`). That takes
seconds, which `warm_up` spends while the coordinator is busy with other things, and which neither a
second pool nor the successor of a dead worker spends again. Elsewhere, where a fork after such
imports is not safe, every worker is a process that starts from nothing.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Protocol

from ..events import END_OF_TRIAL, Decision, Event, WorkerDied
from ..results import Job

WARM = f"{__package__}.preload"


class Pool(Protocol):
    """What the coordinator needs of its workers, wherever they are."""

    @property
    def idle(self) -> int:
        """How many jobs could start now."""

    def start(self, job: Job) -> None:
        """Give a job to an idle worker."""

    def reply(self, number: int, decision: Decision) -> None:
        """Answer the `EpochDone` of a trial."""

    def events(self, timeout: float) -> list[Event]:
        """What has happened; waits up to `timeout` seconds for something."""

    def kill(self, number: int) -> None:
        """End a trial at once, with its worker; no further event comes of it."""

    def close(self) -> None:
        """End all workers."""


@dataclass
class _Worker:
    name: str
    device: str
    process: multiprocessing.process.BaseProcess
    pipe: multiprocessing.connection.Connection
    job: int | None = None


class LocalPool:
    """Worker processes on this machine; worker i trains on `devices[i]`."""

    def __init__(self, devices: Sequence[str], *, threads: int = 1) -> None:
        self._context = _context()
        self._threads = threads
        self._workers = [self._spawn(f"w{i + 1}", device) for i, device in enumerate(devices)]

    def _spawn(self, name: str, device: str) -> _Worker:
        from .worker import main

        ours, theirs = self._context.Pipe()
        given = (theirs, name, device, self._threads)
        warm_up(threads=self._threads)
        with _start_conditions(self._threads):
            process = self._context.Process(
                target=_as_here, args=(dict(os.environ), main, *given), name=name, daemon=True
            )
            process.start()
        theirs.close()
        return _Worker(name, device, process, ours)

    @property
    def idle(self) -> int:
        """Workers without a job."""
        return sum(worker.job is None for worker in self._workers)

    def start(self, job: Job) -> None:
        """Give the job to the first idle worker."""
        worker = next(worker for worker in self._workers if worker.job is None)
        worker.job = job.number
        with contextlib.suppress(OSError):  # it died while idle: shows as an event like any other
            worker.pipe.send(job)

    def reply(self, number: int, decision: Decision) -> None:
        """Answer the `EpochDone` of a trial; nothing happens if its worker has died."""
        for worker in self._workers:
            if worker.job == number:
                with contextlib.suppress(OSError):
                    worker.pipe.send(decision)

    def events(self, timeout: float) -> list[Event]:
        """All that can be read now, after at most `timeout` seconds."""
        watched: dict[Any, _Worker] = {w.pipe: w for w in self._workers}
        watched |= {w.process.sentinel: w for w in self._workers}
        ready = {
            id(watched[key]): watched[key]
            for key in multiprocessing.connection.wait(list(watched), timeout)
        }
        found: list[Event] = []
        for worker in ready.values():
            found += self._drain(worker)
        return found

    def _drain(self, worker: _Worker) -> list[Event]:
        found: list[Event] = []
        try:
            while worker.pipe.poll():
                event: Event = worker.pipe.recv()
                found.append(event)
                if isinstance(event, END_OF_TRIAL):
                    worker.job = None
        except (EOFError, OSError):
            found += self._bury(worker)
            return found
        if not worker.process.is_alive() and not worker.pipe.poll():
            found += self._bury(worker)
        return found

    def _bury(self, worker: _Worker) -> list[Event]:
        worker.process.join()
        worker.pipe.close()
        lost, code = worker.job, worker.process.exitcode
        self._workers[self._workers.index(worker)] = self._spawn(worker.name, worker.device)
        return [] if lost is None else [WorkerDied(lost, _why(worker.name, code))]

    def kill(self, number: int) -> None:
        """End a trial at once by ending its worker; another takes the place."""
        for worker in list(self._workers):
            if worker.job == number:
                worker.process.kill()
                self._bury(worker)

    def close(self) -> None:
        """End all workers; whatever they were doing continues from its last epoch another time."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()


def _why(name: str, code: int | None) -> str:
    if code is not None and code < 0:
        try:
            what = signal.Signals(-code).name
        except ValueError:
            what = f"signal {-code}"
        hint = "; out of memory?" if what == "SIGKILL" else ""
        return f"worker {name} was ended by {what}{hint}"
    return f"worker {name} ended with exit code {code}"


def warm_up(*, threads: int = 1) -> None:
    """Let what workers have to import be imported meanwhile, in a process of its own."""
    if not _forks():
        return
    from multiprocessing import forkserver

    _context()
    # It has to find this very package, wherever this process has found it.
    found = {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    with _start_conditions(threads), _environment({**found, "PYTHONSAFEPATH": "1"}):
        forkserver.ensure_running()


def _context() -> Any:
    if not _forks():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([WARM])
    return context


def _forks() -> bool:
    return sys.platform == "linux"


def _as_here(environment: Mapping[str, str], main: Callable[..., None], *given: Any) -> None:
    """Call `main` in a worker; the server it comes from has the environment of when that began."""
    os.environ.clear()
    os.environ.update(environment)
    main(*given)


@contextlib.contextmanager
def _start_conditions(threads: int) -> Iterator[None]:
    """What a child process inherits: its thread count, before it imports torch, and no interrupts.

    An interrupt that arrives meanwhile is held back and reaches this process afterwards.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    resource_tracker.ensure_running()  # as it starts, it lets interrupts through
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with _environment(dict.fromkeys(names, str(threads))):
            yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """The environment has these values inside, and its own again afterwards."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
