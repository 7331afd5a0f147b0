"""Apply `Patches` in a forked command, before attentune runs."""

from __future__ import annotations

import ctypes
import hashlib
import json
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import psutil

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000
MS_REC, MS_PRIVATE = 0x4000, 0x40000


def apply(patches: dict[str, Any]) -> None:
    """Apply patches; the arguments are the fields of `Patches`."""
    os.environ.update(patches["environment"])
    if patches["namespace"]:
        enter_namespace()
    fork_workers()
    if patches["formula"]:
        train_by_formula(patches["epoch_seconds"])
    if patches["clock_seconds"]:
        shift_clock(patches["clock_seconds"])
    if patches["stale_seconds"]:
        shorten_leases(patches["stale_seconds"])
    if patches["probe"]:
        probe_after_trials(Path(patches["probe"]))
    if patches["trap"]:
        from .crash_points import set_trap

        set_trap(**patches["trap"])


def fork_workers() -> None:
    """Fork workers from the coordinator itself, where everything is imported.

    As in the workers of the fork server, signals to the group are left to the coordinator.
    """
    from attentune.runners.workers import processes
    from attentune.runners.workers.parent_death import BLOCKED_SIGNALS

    processes._context = lambda: multiprocessing.get_context("fork")
    forkserver.ensure_running = lambda: None  # type: ignore[assignment]
    os.register_at_fork(
        after_in_child=lambda: signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED_SIGNALS)
    )


def train_by_formula(epoch_seconds: float) -> None:
    """Replace the training of an epoch by a formula.

    An epoch adds 1 to a weight, and the accuracy is a hash of that weight. So a training that
    continues from wrong weights or from the wrong epoch ends with another accuracy. The predictions
    are of as many images as the hash has values.
    """
    import numpy as np
    import torch
    from attentune.runners.predictions import Predictions
    from attentune.runners.results import EpochReport
    from attentune.runners.training.train import Training
    from attentune.runners.workers import checkpoint_schedule

    def train_epoch(training: Training, epoch: int) -> EpochReport:
        time.sleep(epoch_seconds)
        weights = next(w for w in training.model.parameters() if w.dim() == 1).detach()
        parameters = sum(parameter.numel() for parameter in training.model.parameters())
        with torch.no_grad():
            weights[0] += 1.0
        text = f"{parameters} {training.seed} {float(weights[0]):.4f}"
        digest = hashlib.sha256(text.encode()).digest()
        correct = int.from_bytes(digest[:2], "big")
        accuracy = correct / 2**16
        labels = np.zeros(2**16, np.int64)
        training.predictions = Predictions(labels, (np.arange(2**16) >= correct).astype(int), 2)
        return EpochReport(epoch + 1, 1.0, accuracy, 1.0 - accuracy, 0.1, max(epoch_seconds, 0.01))

    Training.train_epoch = train_epoch  # type: ignore[method-assign]
    checkpoint_schedule.MIN_TRAINING_PER_WRITE = 0


def shift_clock(seconds: float) -> None:
    """Let the database's clock be ahead, as that of a host whose time is wrong."""
    from attentune.studies.database.connection import Database

    clock = Database.clock
    Database.clock = lambda self, connection: clock(self, connection) + seconds  # type: ignore


def shorten_leases(stale_seconds: float) -> None:
    """Let leases end sooner, and a locked database be given up sooner, so that nobody waits."""
    from attentune.studies.database import connection, leases

    leases.STALE_SECONDS = stale_seconds
    leases.POLL_SECONDS = stale_seconds / 20
    leases.HEARTBEAT_SECONDS = stale_seconds / 8
    connection.BUSY_SECONDS = 5


def enter_namespace() -> None:
    """Continue in a child that is process 1 of a new PID namespace, with its own /proc."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWPID | CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), "unshare")
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        os._exit(code if code >= 0 else 128 - code)
    libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    if libc.mount(b"proc", b"/proc", b"proc", 0, None):
        raise OSError(ctypes.get_errno(), "mount /proc")


def probe_after_trials(path: Path) -> None:
    """After each trial write a line with the time and what the process uses."""
    from attentune.search.cli.progress import LiveDisplay

    on_trial_end = LiveDisplay.on_trial_end
    process = psutil.Process()

    def probed(self: LiveDisplay, *arguments: Any) -> None:
        on_trial_end(self, *arguments)
        facts = {
            "seconds": time.monotonic(),
            "memory": process.memory_info().rss,
            "handles": process.num_fds(),
            "threads": threading.active_count(),
        }
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(facts) + "\n")

    LiveDisplay.on_trial_end = probed  # type: ignore[method-assign]
