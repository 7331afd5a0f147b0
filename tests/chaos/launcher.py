"""Commands of attentune in forked processes: their imports are done already, and parts are patched.

A new process of `attentune search` imports for seconds. A `Launcher` starts one Python process that
imports everything once and then forks a copy of itself for each command, so a command begins within
milliseconds, and hundreds of them can be killed in a minute. The copy first applies `Patches`.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import psutil

from .command import Ended, read_end
from .forked import BEGUN_FILE

SECONDS_TO_END = 120.0
"""A command that runs longer hangs."""


@dataclass(frozen=True)
class Patches:
    """What a forked command does differently.

    Attributes:
        formula: workers compute accuracies from architecture, seed and epoch, and train nothing.
        epoch_seconds: how long an epoch of the formula lasts.
        trap: acts at one of the points of `crash_points`; None to leave them alone.
        clock_seconds: added to the clock of the database.
        stale_seconds: an owner of a lease without a heartbeat for so long is dead.
        namespace: run in PID and mount namespaces of its own, as in a container.
        probe: a file to which the command writes its memory, handles and threads after each trial.
        environment: variables to set.
    """

    formula: bool = True
    epoch_seconds: float = 0.0
    trap: Trap | None = None
    clock_seconds: float = 0.0
    stale_seconds: float | None = None
    namespace: bool = False
    probe: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Trap:
    """Something that happens at a point of the command; see `crash_points`.

    Attributes:
        action: `kill`, `stop`, `term`, `interrupt` (signals to the process itself), `fill` (fill
            the disk of the working directory), or `count`, which does nothing.
        process: `coordinator` or `worker`.
        number: at which of the process's points, counted from 1; 0 for `count`.
        log: a file to which the name of every point is appended.
    """

    action: str
    process: str = "coordinator"
    number: int = 0
    log: str | None = None


class Command:
    """A command that a launcher has started."""

    def __init__(self, launcher: Launcher, words: tuple[str, ...], pid: int, output: Path) -> None:
        self.launcher, self.words, self.pid, self.output = launcher, words, pid, output
        self.code: int | None = None

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.code is None:
            self.code = self.launcher.ask({"poll": self.pid})["code"]
        return self.code

    def state(self) -> str | None:
        """What the process is doing, in the words of `psutil`; None if it has ended."""
        if self.poll() is None:
            with contextlib.suppress(psutil.Error):
                return str(psutil.Process(self.pid).status())
        return None

    def wait(self, seconds: float = SECONDS_TO_END) -> Ended:
        """Wait for its end, and kill what it has left running; the code is None if it hangs."""
        ends = time.monotonic() + seconds
        while self.poll() is None and time.monotonic() < ends:
            time.sleep(0.005)
        code = self.code
        self.kill_session()
        return read_end(self.words, code, self.output)

    def signal(self, number: int) -> None:
        """Send a signal to the process."""
        with contextlib.suppress(ProcessLookupError):
            if self.poll() is None:
                os.kill(self.pid, number)

    def signal_group(self, number: int) -> None:
        """Send a signal to the process and all its descendants, as a terminal or Slurm does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def descendants(self) -> list[psutil.Process]:
        """The living processes of the command's session."""
        return processes_of_session(self.pid)

    def kill_session(self) -> None:
        """Kill the command and everything that it has started."""
        for process in self.descendants():
            with contextlib.suppress(psutil.Error):
                process.kill()
        while self.poll() is None:
            time.sleep(0.005)


def processes_of_session(session: int) -> list[psutil.Process]:
    """The living processes of a session."""
    living = []
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            if os.getsid(pid) == session and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                living.append(psutil.Process(pid))
    return living


class Launcher:
    """The process that forks commands."""

    def __init__(self) -> None:
        package_folder = str(Path(__file__).parents[1])
        environment = {**os.environ, "PYTHONPATH": package_folder, "OMP_NUM_THREADS": "1"}
        environment |= {"PYTHONUNBUFFERED": "1", "COLUMNS": "200", "NO_COLOR": "1"}
        environment.pop("ATTENTUNE_DB", None)
        self._outputs = tempfile.TemporaryDirectory(prefix="chaos-output-")
        self._commands = itertools.count()
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", f"{__package__}.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    def ask(self, request: Mapping[str, object]) -> dict[str, int | None]:
        """Send a request to the process and return its reply."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            reply: dict[str, int | None] = json.loads(self._process.stdout.readline())
        return reply

    def start(self, *words: str, cwd: Path, patches: Patches | None = None) -> Command:
        """Start `attentune` with these words in a forked process, in a session of its own.

        Args:
            words: after `attentune`.
            cwd: the folder to run in. The output goes to files elsewhere.
            patches: what is different; by default accuracies are those of the formula.
        """
        output = Path(self._outputs.name) / str(next(self._commands))
        output.mkdir()
        request = {"words": words, "cwd": str(cwd), "output": str(output)}
        pid = self.ask({**request, "patches": asdict(patches or Patches())})["pid"]
        assert pid is not None
        command = Command(self, words, pid, output)
        while not (output / BEGUN_FILE).exists() and command.poll() is None:
            time.sleep(0.001)
        return command

    def run(self, *words: str, cwd: Path, patches: Patches | None = None) -> Ended:
        """Run `attentune` with these words in a forked process until it ends."""
        return self.start(*words, cwd=cwd, patches=patches).wait()

    def close(self) -> None:
        """End the process and its commands."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._outputs.cleanup()


@functools.cache
def launcher() -> Launcher:
    """The launcher of this process, which ends with it."""
    started = Launcher()
    atexit.register(started.close)
    return started
