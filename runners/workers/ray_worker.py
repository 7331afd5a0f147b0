"""What runs in the actors of a pool on Ray: `RayWorker`, and `DataServer`.

An actor holds a `LocalPool` with one worker, so a trial runs in a process beside the actor, as it
does without Ray. Training in the actor itself would need fewer processes, and would be unsound:

- Ray cannot interrupt a method that runs, so a trial that hangs or takes too long could only be
  ended with its actor. A new actor takes seconds and may not get its GPU back (ray#44821).
- A trial that crashes or uses more memory than it may ends a process whose exit code says why. Of
  an actor that ends, Ray says little more than that.
- Limits of memory, signals, threads and the environment are those of local workers, so that one
  seed has one result wherever it is trained.

An actor takes about 130 MiB of memory beside its worker.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..data.prepared.cache import find_prepared_data
from ..data.prepared.copied_data import copy_prepared_data, list_prepared_files, read_part
from ..events import Decision, Event
from ..results import Job
from .local_pool import LocalPool

NOT_INHERITED = ("ATTENTUNE_CACHE", "ATTENTUNE_DB")
"""Environment variables of attentune that each machine has for itself."""


@dataclass(frozen=True)
class WorkerSetup:
    """How a worker on another machine begins.

    Attributes:
        name: of the worker, for the record.
        device: where it trains, among those that Ray lets it see.
        environment: variables to set.
        import_path: folders of modules, which follow those that the machine has by itself.
        folder: to run in, if it exists there.
    """

    name: str
    device: str
    environment: Mapping[str, str] = field(default_factory=dict)
    import_path: tuple[str, ...] = ()
    folder: str = ""

    @classmethod
    def like_this_process(cls, name: str, device: str) -> WorkerSetup:
        """The setup of a worker that imports what this process can import.

        Args:
            name: of the worker.
            device: where it trains.
        """
        environment = {
            variable: value
            for variable, value in os.environ.items()
            if variable.startswith("ATTENTUNE_") and variable not in NOT_INHERITED
        }
        path = tuple(str(Path(folder).absolute()) for folder in sys.path)
        return cls(name, device, environment, path, str(Path.cwd()))

    def apply(self) -> None:
        """Change this process accordingly."""
        os.environ.update(self.environment)
        sys.path += [folder for folder in self.import_path if folder not in sys.path]
        if Path(self.folder).is_dir():
            os.chdir(self.folder)


class RayWorker:
    """One worker, in an actor of its own.

    `events` runs in a thread of its own and waits there; the other methods take turns in a second
    thread.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        setup.apply()
        self._pool = LocalPool([setup.device], names=[setup.name])
        self._lock = threading.Lock()
        self._woken, self._waker = multiprocessing.Pipe(duplex=False)
        self._run = 0

    def missing_data(self, keys: Sequence[str]) -> list[str]:
        """The keys of those prepared data that are not in the cache of this machine."""
        return [key for key in keys if find_prepared_data(key) is None]

    def copy_data(self, keys: Sequence[str], server: Any) -> list[str]:
        """Copy prepared data into the cache of this machine, and return what is missing then.

        Args:
            keys: of the data.
            server: the actor of a `DataServer`.
        """
        import ray

        def read(key: str, name: str, offset: int) -> bytes:
            part: bytes = ray.get(server.read_part.remote(key, name, offset))
            return part

        for key in keys:
            files = ray.get(server.list_files.remote(key))
            copy_prepared_data(key, files, partial(read, key))
        return self.missing_data(keys)

    def start(self, run: int, job: Job) -> None:
        """Give a job to the worker.

        Args:
            run: comes with every event of the job.
            job: the trial.
        """
        with self._lock:
            self._run = run
            self._pool.start(job)

    def reply(self, number: int, decision: Decision) -> None:
        """Send the decision that a trial waits for."""
        with self._lock:
            self._pool.reply(number, decision)

    def kill(self, number: int) -> None:
        """End a trial at once. When this returns, the worker is free."""
        with self._lock:
            self._pool.kill(number)
            self._waker.send_bytes(b"-")  # `events` has to wait for another process now.

    def events(self, timeout: float) -> list[tuple[int, Event]]:
        """The events since the last call, each with the run of its job.

        Args:
            timeout: seconds to wait for the first event; the list may be empty before that.
        """
        with self._lock:
            handles = [*self._pool.handles, self._woken]
        multiprocessing.connection.wait(handles, timeout)
        with self._lock:
            while self._woken.poll():
                self._woken.recv_bytes()
            return [(self._run, event) for event in self._pool.events(0)]


class DataServer:
    """Serves the prepared data of the coordinator's cache, on the coordinator's machine.

    Args:
        cache: the coordinator's cache folder.
    """

    def __init__(self, cache: str) -> None:
        os.environ["ATTENTUNE_CACHE"] = cache

    def list_files(self, key: str) -> dict[str, int]:
        """See `list_prepared_files`."""
        return list_prepared_files(key)

    def read_part(self, key: str, name: str, offset: int) -> bytes:
        """See `copied_data.read_part`."""
        return read_part(key, name, offset)
