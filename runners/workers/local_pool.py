"""The pool of worker processes on this machine.

Workers are long-lived processes, each with its own pipe. A worker ends when the coordinator ends,
even by SIGKILL. The coordinator detects a dead worker at once and replaces it. Workers ignore
interrupts from the terminal; the coordinator handles them.

On Linux, workers are forked from a server process that has imported torch and timm (`preload`). The
imports take seconds. `warm_up` starts them while the coordinator does other work, and they happen
only once, also for further pools and replaced workers. On other systems, where forking after such
imports is not safe, every worker is a new process.
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
from typing import Any

from ...interrupts import defer_interrupts
from ..events import END_OF_TRIAL, Aborted, Decision, Event, WorkerDied
from ..results import Job

PRELOAD_MODULE = f"{__package__}.preload"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class _Worker:
    name: str
    device: str
    process: multiprocessing.process.BaseProcess
    pipe: multiprocessing.connection.Connection
    job: int | None = None


class LocalPool:
    """Worker processes on this machine; see `pool.Pool`.

    Args:
        devices: the device of each worker; worker i trains on `devices[i]`.
        threads: how many threads each worker computes with on a CPU.
    """

    def __init__(self, devices: Sequence[str], *, threads: int = 1) -> None:
        self._context = _context()
        self._threads = threads
        self._workers = [self._spawn(f"w{i + 1}", device) for i, device in enumerate(devices)]

    def _spawn(self, name: str, device: str) -> _Worker:
        from .worker import main

        coordinator_end, worker_end = self._context.Pipe()
        arguments = (worker_end, name, device, self._threads)
        process = start_process(main, *arguments, name=name, threads=self._threads)
        worker_end.close()
        return _Worker(name, device, process, coordinator_end)

    @property
    def idle(self) -> int:
        """How many workers have no job."""
        return sum(worker.job is None for worker in self._workers)

    def start(self, job: Job) -> None:
        """Give the job to the first idle worker."""
        worker = next((worker for worker in self._workers if worker.job is None), None)
        if worker is None:
            raise ValueError(f"no idle worker for trial {job.number}")
        worker.job = job.number
        # If the worker died while it was idle, `events` reports it as `WorkerDied`.
        with contextlib.suppress(OSError):
            worker.pipe.send(job)

    def reply(self, number: int, decision: Decision) -> None:
        """Send the decision that a trial waits for; does nothing if its worker has died."""
        for worker in self._workers:
            if worker.job == number:
                with contextlib.suppress(OSError):
                    worker.pipe.send(decision)

    def events(self, timeout: float) -> list[Event]:
        """All events that can be read now, or that arrive within `timeout` seconds."""
        watched: dict[Any, _Worker] = {w.pipe: w for w in self._workers}
        watched |= {w.process.sentinel: w for w in self._workers}
        ready = {
            id(watched[key]): watched[key]
            for key in multiprocessing.connection.wait(list(watched), timeout)
        }
        return [event for worker in ready.values() for event in self._read_events(worker)]

    def _read_events(self, worker: _Worker) -> list[Event]:
        """The events in a worker's pipe; if the worker is dead, it is replaced."""
        events: list[Event] = []
        try:
            while worker.pipe.poll():
                event: Event = worker.pipe.recv()
                events.append(event)
                if isinstance(event, END_OF_TRIAL):
                    worker.job = None
        except (EOFError, OSError):
            return events + self._replace(worker)
        if not worker.process.is_alive() and not worker.pipe.poll():
            events += self._replace(worker)
        return events

    def _replace(self, worker: _Worker) -> list[Event]:
        """Replace a worker that has ended; returns the end of its trial, if it had one."""
        worker.process.join()
        worker.pipe.close()
        number, exit_code = worker.job, worker.process.exitcode
        self._workers[self._workers.index(worker)] = self._spawn(worker.name, worker.device)
        if number is None:
            return []
        reason = describe_exit(worker.name, exit_code)
        if exit_code == -getattr(signal, "SIGBUS", 0) != 0:
            # A file that is mapped into memory has lost its space, or was cut off.
            return [Aborted(number, f"{reason}; is the disk full, or the cache damaged?")]
        return [WorkerDied(number, reason)]

    def kill(self, number: int) -> None:
        """End a trial at once by ending its worker; another worker replaces it."""
        for worker in list(self._workers):
            if worker.job == number:
                worker.process.kill()
                self._replace(worker)

    def close(self) -> None:
        """End all workers. Their trials can be resumed from their last checkpoints."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()


def describe_exit(name: str, code: int | None) -> str:
    """How a worker ended, from the exit code of its process (negative: the signal)."""
    if code is not None and code < 0:
        try:
            cause = signal.Signals(-code).name
        except ValueError:
            cause = f"signal {-code}"
        hint = "; out of memory?" if cause == "SIGKILL" else ""
        return f"worker {name} was ended by {cause}{hint}"
    return f"worker {name} ended with exit code {code}"


def start_process(
    function: Callable[..., None], *arguments: Any, name: str, threads: int = 1
) -> multiprocessing.process.BaseProcess:
    """Start a process that has imported what workers need, and that ends with this one.

    Args:
        function: is called in the process, with this process's environment variables.
        arguments: of the function.
        name: of the process.
        threads: how many threads it computes with on a CPU.
    """
    warm_up(threads=threads)
    with _start_conditions(threads):
        process: multiprocessing.process.BaseProcess = _context().Process(
            target=_call_with_environment,
            args=(dict(os.environ), function, *arguments),
            name=name,
            daemon=True,
        )
        process.start()
    return process


def warm_up(*, threads: int = 1) -> None:
    """Start the server process that imports what workers need, and return at once.

    Does nothing if it runs already, or on a system where workers are not forked.
    """
    if not _forks():
        return
    from multiprocessing import forkserver

    _context()
    # The server has to import the same package as this process.
    search_path = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    variables = {"PYTHONPATH": search_path, "PYTHONSAFEPATH": "1"}
    with _start_conditions(threads), _environment(variables):
        forkserver.ensure_running()


def _context() -> Any:
    if not _forks():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOAD_MODULE])
    return context


def _forks() -> bool:
    return sys.platform == "linux"


def _call_with_environment(
    environment: Mapping[str, str], function: Callable[..., None], *arguments: Any
) -> None:
    """Call a function in a worker with the coordinator's current environment variables.

    Otherwise a forked worker would have those of the time when the server started.
    """
    os.environ.clear()
    os.environ.update(environment)
    function(*arguments)


@contextlib.contextmanager
def _start_conditions(threads: int) -> Iterator[None]:
    """Processes started inside the context inherit a number of threads and blocked interrupts.

    The number of threads has to be set before the process imports torch. An interrupt that arrives
    inside the context reaches this process afterwards.
    """
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
    with _blocked_interrupts(), _environment(variables):
        yield


@contextlib.contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Let interrupts wait until the context ends, here and in processes that are started in it."""
    set_mask = getattr(signal, "pthread_sigmask", None)
    if set_mask is None:  # Windows has no signal masks that processes could inherit.
        with defer_interrupts():
            yield
        return
    # Starting the resource tracker unblocks interrupts, so it has to be started first.
    resource_tracker.ensure_running()
    mask = set_mask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        set_mask(signal.SIG_SETMASK, mask)


@contextlib.contextmanager
def _environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables inside the context, and restore the earlier values afterwards."""
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
