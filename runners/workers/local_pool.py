"""The pool of worker processes on this machine.

Workers are long-lived processes, each with its own pipe (`processes` starts them). A worker ends
when the coordinator ends, even by SIGKILL, and even if the worker is stopped (`parent_death`). The
coordinator detects a dead worker at once and replaces it.
"""

from __future__ import annotations

import multiprocessing.connection
import signal
from collections.abc import Sequence
from typing import Any

from ..events import END_OF_TRIAL, Aborted, Decision, Event, Failed, WorkerDied
from ..results import Job
from .processes import EXIT_CODE_ABOVE_LIMIT, Process, lost_its_server
from .worker_processes import Worker

SECONDS_TO_LOSE_PROCESS = 2.0
"""How long to wait for the end of a process that may be why a trial on several devices failed."""


class LocalPool:
    """Worker processes on this machine; see `pool.Pool`.

    Args:
        devices: of each worker: the device on which it trains, or several that train each of its
            trials together.
        threads: how many threads each process computes with on a CPU.
        names: of the workers, for the record; None: w1, w2, ….
    """

    def __init__(
        self,
        devices: Sequence[str | Sequence[str]],
        *,
        threads: int = 1,
        names: Sequence[str] | None = None,
    ) -> None:
        self._threads = threads
        names = names or [f"w{number}" for number in range(1, len(devices) + 1)]
        groups = [(group,) if isinstance(group, str) else tuple(group) for group in devices]
        self._workers = [Worker(*pair, threads) for pair in zip(names, groups, strict=True)]

    @property
    def size(self) -> int:
        """The number of workers."""
        return len(self._workers)

    @property
    def handles(self) -> list[Any]:
        """What `multiprocessing.connection.wait` can wait for: one is ready if there is an event.

        A worker that is replaced has others.
        """
        return [handle for worker in self._workers for handle in worker.handles]

    @property
    def idle(self) -> int:
        """How many workers have no job."""
        return sum(worker.job is None for worker in self._workers)

    def start(self, job: Job) -> None:
        """Give the job to the first idle worker."""
        worker = next((worker for worker in self._workers if worker.job is None), None)
        if worker is None:
            raise ValueError(f"no idle worker for trial {job.number}")
        worker.job = job
        # If the worker died while it was idle, `events` reports it as `WorkerDied`.
        worker.send(job)

    def reply(self, number: int, decision: Decision) -> None:
        """Send the decision that a trial waits for; does nothing if its worker has died."""
        for worker in self._workers_of(number):
            worker.send(decision)

    def events(self, timeout: float) -> list[Event]:
        """All events that can be read now, or that arrive within `timeout` seconds."""
        watched = {handle: worker for worker in self._workers for handle in worker.handles}
        ready = {
            id(watched[key]): watched[key]
            for key in multiprocessing.connection.wait(list(watched), timeout)
        }
        return [event for worker in ready.values() for event in self._read_events(worker)]

    def _read_events(self, worker: Worker) -> list[Event]:
        """The events of a worker; if one of its processes is dead, it is replaced."""
        events, lost = worker.read_events()
        if events and isinstance(events[-1], END_OF_TRIAL):
            if worker.size > 1 and isinstance(events[-1], Failed | Aborted):
                return [*events[:-1], self._end_ranks(worker, events[-1])]
            worker.job = None
        return events if lost is None else events + self._replace(worker, lost)

    def _end_ranks(self, worker: Worker, end: Failed | Aborted) -> Event:
        """Replace a worker of several processes, one of which has ended its trial by an exception.

        The others wait for it. If one has died, the exception is only that it could not be reached.

        Args:
            worker: of the trial.
            end: what the process has reported.

        Returns:
            How the trial has ended.
        """
        is_error = isinstance(end, Failed) and end.failure.kind == "error"
        lost = worker.wait_for_lost_process(SECONDS_TO_LOSE_PROCESS) if is_error else None
        deaths = self._replace(worker, lost)
        if deaths and lost is not None:
            return deaths[0]
        may_retry = worker.job is not None and worker.job.micro_batches == 1
        if may_retry and isinstance(end, Failed) and end.failure.kind == "out_of_memory":
            return WorkerDied(end.number, end.failure.message, out_of_memory=True)
        return end

    def _replace(self, worker: Worker, lost: Process | None = None) -> list[Event]:
        """End a worker and start another; returns the end of its trial, if it had one.

        Args:
            worker: the worker.
            lost: the process that has ended by itself.
        """
        worker.end(lost)
        deaths: list[Event] = []
        if worker.job is not None:
            deaths = [_describe_death(worker, worker.job.number, lost or worker.process)]
        new_worker = Worker(worker.name, worker.devices, self._threads)
        self._workers[self._workers.index(worker)] = new_worker
        return deaths

    def _workers_of(self, number: int) -> list[Worker]:
        """The worker that runs a trial, if there is one."""
        return [w for w in self._workers if w.job is not None and w.job.number == number]

    def kill(self, number: int) -> None:
        """End a trial at once by ending its worker; another worker replaces it."""
        for worker in self._workers_of(number):
            self._replace(worker)

    def close(self) -> None:
        """End all workers. Their trials can be resumed from their last checkpoints."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.end()


def _describe_death(worker: Worker, number: int, process: Process) -> WorkerDied | Aborted:
    """How a trial ended because a process of its worker did.

    Args:
        worker: that ran the trial.
        number: of the trial.
        process: that has ended.
    """
    if lost_its_server(process):
        reason = f"worker {worker.name} ended, because the process that starts workers was ended"
        return WorkerDied(number, reason, by_trial=False)
    if process.exitcode == EXIT_CODE_ABOVE_LIMIT:
        reason = "the trial used more memory than --trial-memory allows"
        return WorkerDied(number, reason, out_of_memory=True)
    reason = worker.describe_end(process)
    if process.exitcode == -getattr(signal, "SIGBUS", 0) != 0:
        # A file that is mapped into memory has lost its space, or was cut off.
        return Aborted(number, f"{reason}; is the disk full, or the cache damaged?")
    return WorkerDied(number, reason)
