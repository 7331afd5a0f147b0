"""Start processes that have imported what workers need, and that end with this process.

On Linux, they are forked from a server process that has imported torch and timm (`preload`). The
imports take seconds. `warm_up` starts the server while the coordinator does other work, and the
imports happen only once, also for further pools and replaced workers. On other systems, where
forking after such imports is not safe, every worker is a new process.

The processes ignore interrupts and requests to end, which terminals and batch systems send to all
processes of a group; the coordinator handles them. A server that is killed is replaced.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import multiprocessing.process
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import psutil

from ...errors import MachineError
from ...interrupts import defer_interrupts
from .parent_death import BLOCKED_SIGNALS, COORDINATOR_VARIABLE
from .socket_folders import shorten_paths_of_multiprocessing

logger = logging.getLogger(__name__)

Process = multiprocessing.process.BaseProcess

PRELOAD_MODULE = f"{__package__}.preload"
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
LOG_VARIABLE = "TORCH_CPP_LOG_LEVEL"
"""Environment variable: what torch's own code writes to standard error, past Python. In workers it
is errors alone, because it would be written into the coordinator's display."""
MAX_START_ATTEMPTS = 3
"""A process is started again if the server has ended meanwhile, at most this many times."""
END_SECONDS = 10.0
"""Time for a process to end after SIGKILL. One that waits for a broken device may never end."""
EXIT_CODE_WITHOUT_SERVER = 255
"""What multiprocessing reports if the server, which knows the exit code of a process, has ended."""
EXIT_CODE_ABOVE_LIMIT = 86
"""How a worker ends that uses more memory than its trial may; see `memory_limit`."""

_server_pid: int | None = None
"""The server that has forked the last process; None before the first one."""
_server_pids: WeakKeyDictionary[Process, int] = WeakKeyDictionary()
"""The server that has forked each process."""


def start_process(
    function: Callable[..., None], *arguments: Any, name: str, threads: int = 1
) -> Process:
    """Start a process that has imported what workers need, and that ends with this one.

    Args:
        function: is called in the process, with this process's environment variables.
        arguments: of the function.
        name: of the process.
        threads: how many threads it computes with on a CPU.

    Raises:
        MachineError: the server ends whenever a process is started.
    """
    for attempt in range(1, MAX_START_ATTEMPTS + 1):
        try:
            return _start(function, *arguments, name=name, threads=threads)
        except (EOFError, ConnectionError) as error:
            logger.debug("%s cannot be started: %r", name, error)
            server_error = error
            has_ended(_server_pid, seconds=attempt)
    raise MachineError(
        f"the process {name} could not be started, because the process that starts workers has "
        f"ended {MAX_START_ATTEMPTS} times; is there enough memory?"
    ) from server_error


def _start(function: Callable[..., None], *arguments: Any, name: str, threads: int) -> Process:
    global _server_pid
    warm_up(threads=threads)
    _continue(_server_pid)
    # The server has blocked the signals already, and may need seconds until it forks a process.
    with _start_conditions(threads, block=not _forks()):
        process: Process = _context().Process(
            target=_call_with_environment,
            args=(dict(os.environ), function, *arguments),
            name=name,
            daemon=True,
        )
        with _environment(_log_settings()):  # torch reads them when it is imported.
            process.start()
    if _forks():
        with contextlib.suppress(psutil.Error):
            _server_pid = _server_pids[process] = psutil.Process(process.pid).ppid()
    return process


def kill_process(process: Process) -> None:
    """Kill a process, and those that it has started: a user's code may have started some."""
    children: list[psutil.Process] = []
    if process.pid is not None and process.is_alive():
        with contextlib.suppress(psutil.Error):
            children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.kill()


def end_process(process: Process) -> None:
    """Kill a process with those that it has started, and wait until it has ended."""
    kill_process(process)
    await_end(process)


def await_end(process: Process) -> None:
    """Wait for the end of a process that is ending; kill it if it does not end."""
    _continue(_server_pid)  # It reports that the process has ended.
    process.join(END_SECONDS)
    if process.is_alive():
        process.kill()
        process.join(END_SECONDS)


def lost_its_server(process: Process) -> bool:
    """Whether a process has ended because its server was killed."""
    # A server that ends closes its pipes first, and can still be found for a moment.
    server_pid = _server_pids.get(process)
    return process.exitcode == EXIT_CODE_WITHOUT_SERVER and has_ended(server_pid)


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


def warm_up(*, threads: int = 1) -> None:
    """Start the server process that imports what workers need, and return at once.

    Does nothing if it runs already, or on a system where workers are not forked.

    Raises:
        MachineError: the folder of temporary files has a path that is too long for sockets.
    """
    shorten_paths_of_multiprocessing()
    if not _forks():
        return
    from multiprocessing import forkserver

    _context()
    # The server has to import the same package as this process.
    search_path = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    variables = {
        "PYTHONPATH": search_path,
        "PYTHONSAFEPATH": "1",
        COORDINATOR_VARIABLE: str(os.getpid()),
        **_log_settings(),
    }

    def start_server() -> None:
        with _start_conditions(threads), _environment(variables):
            forkserver.ensure_running()

    # The server ends with the thread that has started it.
    if threading.current_thread() is threading.main_thread():
        start_server()
    else:
        _lasting_thread().submit(start_server).result()


@lru_cache(maxsize=1)
def _lasting_thread() -> ThreadPoolExecutor:
    """A thread that lasts until this process ends."""
    return ThreadPoolExecutor(1, "start-worker-server")


def _context() -> Any:
    if not _forks():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([PRELOAD_MODULE])
    return context


def _log_settings() -> dict[str, str]:
    """What a process has in its environment while it imports torch; see `LOG_VARIABLE`."""
    return {LOG_VARIABLE: os.environ.get(LOG_VARIABLE, "ERROR")}


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


def has_ended(pid: int | None, seconds: float = 1.0) -> bool:
    """Whether a process ends within some seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if pid is None or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.Error:
            return True
        time.sleep(0.01)
    return False


def _continue(pid: int | None) -> None:
    """Continue a process that was stopped, so that it does what this one waits for."""
    with contextlib.suppress(psutil.Error):
        if pid is not None and psutil.Process(pid).status() == psutil.STATUS_STOPPED:
            psutil.Process(pid).resume()


@contextlib.contextmanager
def _start_conditions(threads: int, *, block: bool = True) -> Iterator[None]:
    """Processes started inside the context inherit a number of threads and blocked signals.

    Args:
        threads: has to be set before the process imports torch.
        block: whether `BLOCKED_SIGNALS` are blocked. One that arrives inside the context reaches
            this process afterwards.
    """
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
    with _blocked_signals() if block else contextlib.nullcontext(), _environment(variables):
        yield


@contextlib.contextmanager
def _blocked_signals() -> Iterator[None]:
    """Let signals wait until the context ends, here and in processes that are started in it."""
    set_mask = getattr(signal, "pthread_sigmask", None)
    if set_mask is None:  # Windows has no signal masks that processes could inherit.
        with defer_interrupts():
            yield
        return
    mask = set_mask(signal.SIG_BLOCK, BLOCKED_SIGNALS)
    try:
        # Starting the resource tracker unblocks some of them, so it has to be started first.
        resource_tracker.ensure_running()
        set_mask(signal.SIG_BLOCK, BLOCKED_SIGNALS)
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
