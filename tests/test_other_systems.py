"""A search where Windows and macOS differ from Linux: without Unix modules, signals and forks.

A `sitecustomize` module takes from every process what Windows lacks, and gives the file system one
habit of Windows: what a process has open, it cannot rename, replace or delete.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from attentune.studies.database.store import Store
from command_line import NET, SMALL

LIMITED = """
import builtins, os, pathlib, signal, sys, types

UNIX_MODULES = set("resource fcntl pwd grp termios tty pty readline curses syslog".split())
UNIX_NAMES = set((
    "pthread_sigmask pthread_kill sigwait sigpending setitimer alarm siginterrupt pause SIGKILL "
    "SIGHUP SIGQUIT SIGSTOP SIGTSTP SIGCONT SIGCHLD SIGALRM SIGUSR1 SIGUSR2 SIGPIPE SIG_BLOCK "
    "SIG_UNBLOCK SIG_SETMASK fork forkpty getuid geteuid getgid setsid killpg getpgid getpgrp "
    "sched_getaffinity sched_setaffinity statvfs fstatvfs posix_fallocate uname mkfifo chown "
    "fchown wait waitid sysconf nice O_NOFOLLOW O_DIRECTORY O_NONBLOCK O_SYNC getloadavg"
).split())
import_module = builtins.__import__


def is_ours(frame):
    # Other packages have imported their part for Linux, which needs what Linux has.
    return frame.f_globals.get("__name__", "").startswith("attentune")


def refuse_unix_modules(name, *rest, **named):
    if name in UNIX_MODULES and is_ours(sys._getframe(1)):
        raise ModuleNotFoundError(f"No module named {name!r}")
    return import_module(name, *rest, **named)


class LimitedModule(types.ModuleType):
    def __getattribute__(self, name):
        if name in UNIX_NAMES and is_ours(sys._getframe(1)):
            raise AttributeError(f"no {name} on Windows")
        if name == "kill" and is_ours(sys._getframe(1)):
            return send_signal
        return super().__getattribute__(name)


def send_signal(pid, number):
    assert pid != os.getpid(), "os.kill ends this process on Windows, whatever the signal"
    assert number, "0 is CTRL_C_EVENT on Windows"
    os.kill(pid, number)


pathlib.Path(__file__).with_name(f"process-{os.getpid()}").touch()
builtins.__import__ = refuse_unix_modules
os.__class__ = signal.__class__ = LimitedModule


def open_files():
    for entry in os.listdir("/proc/self/fd"):
        try:
            yield os.readlink(f"/proc/self/fd/{entry}")
        except OSError:
            pass
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as maps:
        yield from (line.split(maxsplit=5)[-1].strip() for line in maps if "/" in line)


def refuse_open_files(function):
    def refusing(*paths, **options):
        for path in (os.path.abspath(os.fsdecode(path)) for path in paths):
            for name in open_files():
                if name == path or name.startswith(path + os.sep):
                    raise PermissionError(13, "the file is open", path)
        return function(*paths, **options)

    return refusing


for name in ("rename", "replace", "unlink", "remove", "rmdir"):
    setattr(os, name, refuse_open_files(getattr(os, name)))
"""
DRIVER = f"""
import sys
from attentune.runners.workers import local_pool
from attentune.search.cli import main
from attentune.studies.database import process_identity

SMALL = {[*NET, *SMALL]!r}

if __name__ == "__main__":
    local_pool._forks = lambda: False
    process_identity._ON_LINUX = False
    for words in (
        ["search", "s", *SMALL, "--epochs", "2", "--trials", "1"],
        ["resume", "s", "--trials", "2"],
        ["show", "s"],
        ["report", "s", "-o", "report.html"],
        ["export", "s", "-o", "model"],
        ["db", "compact"],
        ["rm", "s", "--yes"],
    ):
        sys.argv = ["attentune", *words]
        try:
            main()
        except SystemExit as ending:
            print(words[0], ending.code, file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at open files in /proc")
def test_a_search_runs_without_what_only_unix_has(tmp_path):
    (tmp_path / "limited").mkdir()
    (tmp_path / "limited" / "sitecustomize.py").write_text(LIMITED, "utf-8")
    (tmp_path / "driver.py").write_text(DRIVER, "utf-8")
    done = subprocess.run(
        [sys.executable, "driver.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "limited")},
        capture_output=True,
        text=True,
    )
    commands = ("search", "resume", "show", "report", "export", "db", "rm")
    assert done.stderr.splitlines() == [f"{command} 0" for command in commands], done.stderr
    assert "2 complete" in done.stdout
    processes = list((tmp_path / "limited").glob("process-*"))
    assert len(processes) >= 3, "the search, a worker, and a worker of the resumed search"
    assert (tmp_path / "model" / "model.safetensors").stat().st_size
    with Store.open(tmp_path / "attentune.db", read_only=True) as store:
        assert store.studies.read_all() == []
    assert Path(tmp_path / "report.html").stat().st_size
