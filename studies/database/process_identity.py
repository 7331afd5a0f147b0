"""Which process is meant, so that a later one with the same number is not mistaken for it.

A process number alone means little: it is used again after the process has ended, two containers
have a process 1 each, and so have two hosts of one name. Together these identify a process:

    boot id         the running kernel; another one after every boot
    PID namespace   the container within which the number counts
    start time      in clock ticks since the boot, which no change of the clock alters

If boot id and PID namespace are those of this process, this process sees the other one in its own
process table, so the table says at once and with certainty whether it is alive. (The inode number
of a PID namespace may be used again once the namespace is gone, with all of its processes. Their
start times then fit no process here, so the table is right in this case too.) If either differs, or
is unknown, nothing that this process can see proves anything.
"""

from __future__ import annotations

import os
import platform
import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import psutil

_ON_LINUX = platform.system() == "Linux"
_NO_NAMESPACES = "none"
"""Stands for the PID namespace on systems that have no such thing."""
MAX_PROCESS_ID = 2**31 - 1
"""No system has a process with a higher number, and no call takes one."""


@dataclass(frozen=True)
class ProcessIdentity:
    """A process, on any machine.

    Attributes:
        host: the name of its host, for messages.
        pid: its number in its PID namespace.
        boot_id, pid_namespace: see above; None if the system does not say.
        start: when it started: on Linux in clock ticks since the boot, elsewhere in seconds since
            1970; None if the system does not say.
    """

    host: str
    pid: int
    boot_id: str | None = None
    pid_namespace: str | None = None
    start: float | None = None

    @classmethod
    def current(cls) -> ProcessIdentity:
        """This process."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, _boot_id(), _pid_namespace(), _start_time(pid))

    def is_alive(self) -> bool | None:
        """Whether the process is running now; None if that cannot be determined from here."""
        if None in (self.boot_id, self.pid_namespace, self.start):
            return None
        if (self.boot_id, self.pid_namespace) != (_boot_id(), _pid_namespace()):
            return None
        if not 0 < self.pid <= MAX_PROCESS_ID:
            return False
        try:
            if psutil.Process(self.pid).status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
                return False
            start = _start_time(self.pid)
        except psutil.NoSuchProcess:
            return self._hidden()
        except psutil.AccessDenied:
            return None
        return None if start is None else start == self.start

    def _hidden(self) -> bool | None:
        """What a missing entry of the process table means: False, or None if it may be hidden.

        Linux can hide the processes of other users (`hidepid`), but not from `kill`.
        """
        if not _ON_LINUX:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return None
        return None  # It has started between the two calls, or is hidden.


@lru_cache(maxsize=1)
def _boot_id() -> str | None:
    if _ON_LINUX:
        try:
            return (
                Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip() or None
            )
        except OSError:
            return None
    return f"{socket.gethostname()} {psutil.boot_time():.0f}"[-64:]


def _pid_namespace() -> str | None:
    if not _ON_LINUX:
        return _NO_NAMESPACES
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return None


def _start_time(pid: int) -> float | None:
    """See `ProcessIdentity.start`. psutil would add the boot time, which follows the clock.

    Raises:
        psutil.NoSuchProcess: there is no such process, or it is hidden.
        psutil.AccessDenied: the process belongs to another user, outside Linux.
    """
    if not _ON_LINUX:
        return float(psutil.Process(pid).create_time())
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(pid) from None
    except OSError:
        return None
    # The second field is the program's name in parentheses, which may contain both.
    fields = stat[stat.rindex(b")") + 2 :].split()
    return float(fields[19])
