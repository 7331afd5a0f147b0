"""The processes of one worker: one for each device of its trials, of which the first one reports.

A trial on several devices has a process (a *rank*) on each of them. They wait for one another in
every step, so if one of them ends, or its trial raises, the others wait in vain: they are ended
together, and the trial with them.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..events import END_OF_TRIAL, Event
from ..results import Job
from .processes import Process, await_end, describe_exit, kill_process, start_process


@dataclass
class _Rank:
    process: Process
    pipe: multiprocessing.connection.Connection


class Worker:
    """A worker of a `LocalPool`.

    Attributes:
        name: for the record.
        devices: on which its trials are trained; usually one.
        job: that it runs; None if it is idle.
    """

    def __init__(self, name: str, devices: Sequence[str], threads: int) -> None:
        """Start its processes.

        Args:
            name: of the worker.
            devices: of its trials.
            threads: how many threads each process computes with on a CPU.
        """
        self.name, self.devices = name, tuple(devices)
        self.job: Job | None = None
        self._ranks = self._start(threads)

    def _start(self, threads: int) -> list[_Rank]:
        from .rank_process import follow
        from .worker import main

        links = [multiprocessing.Pipe() for _ in self.devices[1:]]
        first_ends = tuple(first_end for first_end, _ in links)
        ranks = [_start_rank(main, self.name, self.devices[0], threads, first_ends)]
        for rank, (_, link) in enumerate(links, 1):
            name = f"{self.name}.{rank + 1}"
            arguments = (name, self.devices[rank], threads, link, rank, len(self.devices))
            ranks.append(_start_rank(follow, *arguments))
        for end in (end for link in links for end in link):
            end.close()  # So that a rank notices the end of the one at the other end.
        return ranks

    @property
    def processes(self) -> list[Process]:
        """All processes; the first one reports."""
        return [rank.process for rank in self._ranks]

    @property
    def process(self) -> Process:
        """The process that reports."""
        return self._ranks[0].process

    @property
    def pipe(self) -> multiprocessing.connection.Connection:
        """To the process that reports."""
        return self._ranks[0].pipe

    @property
    def size(self) -> int:
        """How many processes there are."""
        return len(self._ranks)

    @property
    def handles(self) -> list[Any]:
        """What `multiprocessing.connection.wait` can wait for: one is ready if there is an event,
        or if a process has ended."""
        return [handle for rank in self._ranks for handle in (rank.pipe, rank.process.sentinel)]

    def send(self, message: Any) -> None:
        """Send a job or a decision; a worker that has died is noticed when events are read."""
        with contextlib.suppress(OSError):
            self.pipe.send(message)

    def read_events(self) -> tuple[list[Event], Process | None]:
        """The events that can be read now, up to the end of a trial; and a process that has ended,
        whose events have all been read."""
        events: list[Event] = []
        for rank in self._ranks:
            try:
                while rank.pipe.poll():
                    event: Event = rank.pipe.recv()
                    events.append(event)
                    if isinstance(event, END_OF_TRIAL):
                        return events, None
            except (EOFError, OSError):
                return events, rank.process
            if not rank.process.is_alive() and not rank.pipe.poll():
                return events, rank.process
        return events, None

    def wait_for_lost_process(self, seconds: float) -> Process | None:
        """A process that ends within some seconds; None if all stay alive."""
        multiprocessing.connection.wait([process.sentinel for process in self.processes], seconds)
        return next((process for process in self.processes if not process.is_alive()), None)

    def describe_end(self, process: Process) -> str:
        """How one of its processes has ended, from its exit code."""
        number, count = self.processes.index(process) + 1, self.size
        name = self.name if count == 1 else f"{self.name} (process {number} of {count})"
        return describe_exit(name, process.exitcode)

    def kill(self) -> None:
        """Kill all processes."""
        for process in self.processes:
            kill_process(process)

    def end(self, lost: Process | None = None) -> None:
        """Kill all processes and wait until they have ended.

        Args:
            lost: one that ends by itself, so that its exit code says why.
        """
        for process in self.processes:
            if process is not lost:
                kill_process(process)
        for rank in self._ranks:
            await_end(rank.process)
            rank.pipe.close()


def _start_rank(function: Callable[..., None], name: str, *arguments: Any) -> _Rank:
    """Start a process that computes with as many threads as its third argument says."""
    coordinator_end, rank_end = multiprocessing.Pipe()
    threads: int = arguments[1]
    process = start_process(function, rank_end, name, *arguments, name=name, threads=threads)
    rank_end.close()
    return _Rank(process, coordinator_end)
