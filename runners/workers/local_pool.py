"""The pool of worker processes on this machine.

Workers are long-lived processes, each with its own pipe (`processes` starts them). A worker ends
when the coordinator ends, even by SIGKILL, and even if the worker is stopped (`parent_death`). The
coordinator detects a dead worker at once and replaces it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..events import END_OF_TRIAL, Aborted, Decision, Event, WorkerDied
from ..results import Job
from .processes import (
    EXIT_CODE_ABOVE_LIMIT,
    Process,
    await_end,
    describe_exit,
    end_process,
    kill_process,
    lost_its_server,
    start_process,
)


@dataclass
class _Worker:
    name: str
    device: str
    process: Process
    pipe: multiprocessing.connection.Connection
    job: int | None = None


class LocalPool:
    """Worker processes on this machine; see `pool.Pool`.

    Args:
        devices: the device of each worker; worker i trains on `devices[i]`.
        threads: how many threads each worker computes with on a CPU.
        names: of the workers, for the record; None: w1, w2, ….
    """

    def __init__(
        self, devices: Sequence[str], *, threads: int = 1, names: Sequence[str] | None = None
    ) -> None:
        self._threads = threads
        names = names or [f"w{number}" for number in range(1, len(devices) + 1)]
        self._workers = list(map(self._spawn, names, devices))

    def _spawn(self, name: str, device: str) -> _Worker:
        from .worker import main

        coordinator_end, worker_end = multiprocessing.Pipe()
        arguments = (worker_end, name, device, self._threads)
        process = start_process(main, *arguments, name=name, threads=self._threads)
        worker_end.close()
        return _Worker(name, device, process, coordinator_end)

    @property
    def size(self) -> int:
        """The number of workers."""
        return len(self._workers)

    @property
    def handles(self) -> list[Any]:
        """What `multiprocessing.connection.wait` can wait for: one is ready if there is an event.

        A worker that is replaced has others.
        """
        return [handle for w in self._workers for handle in (w.pipe, w.process.sentinel)]

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
        await_end(worker.process)
        worker.pipe.close()
        number, exit_code = worker.job, worker.process.exitcode
        without_server = lost_its_server(worker.process)
        self._workers[self._workers.index(worker)] = self._spawn(worker.name, worker.device)
        if number is None:
            return []
        if without_server:
            reason = (
                f"worker {worker.name} ended, because the process that starts workers was ended"
            )
            return [WorkerDied(number, reason, by_trial=False)]
        if exit_code == EXIT_CODE_ABOVE_LIMIT:
            reason = "the trial used more memory than --trial-memory allows"
            return [WorkerDied(number, reason, out_of_memory=True)]
        reason = describe_exit(worker.name, exit_code)
        if exit_code == -getattr(signal, "SIGBUS", 0) != 0:
            # A file that is mapped into memory has lost its space, or was cut off.
            return [Aborted(number, f"{reason}; is the disk full, or the cache damaged?")]
        return [WorkerDied(number, reason)]

    def kill(self, number: int) -> None:
        """End a trial at once by ending its worker; another worker replaces it."""
        for worker in list(self._workers):
            if worker.job == number:
                kill_process(worker.process)
                self._replace(worker)

    def close(self) -> None:
        """End all workers. Their trials can be resumed from their last checkpoints."""
        for worker in self._workers:
            kill_process(worker.process)
        for worker in self._workers:
            end_process(worker.process)
            worker.pipe.close()
