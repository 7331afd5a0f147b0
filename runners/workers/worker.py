"""The main function of a worker process, which runs jobs in turn and sends their events.

torch is imported once per worker. The images of a study stay on the device from trial to trial.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing import connection, parent_process
from typing import TYPE_CHECKING

from ...standard_streams import protect_standard_streams
from ..events import Decision, EpochDone, Event
from ..results import Job
from . import parent_death
from .late_decision import LateDecision, patience

if TYPE_CHECKING:
    import torch


def main(
    pipe: connection.Connection,
    name: str,
    device: str,
    threads: int,
    links: Sequence[connection.Connection] = (),
) -> None:
    """Run jobs from a pipe until it closes or the coordinator has ended.

    Args:
        pipe: receives jobs and decisions, and sends events.
        name: the worker's, for the record.
        device: where it trains, such as `cpu` or `cuda:0`.
        threads: how many threads torch computes with on a CPU.
        links: to the other processes of the worker, on whose devices its trials are trained too;
            see `rank_process`.
    """
    torch_device = prepare_process(device, threads)

    from ..training.data_parallel import SINGLE_DEVICE, DataParallel
    from .trial import run_trial

    parallel: DataParallel = SINGLE_DEVICE
    if links:
        from ..training.distributed_rank import DistributedRank

        parallel = DistributedRank(0, len(links) + 1, torch_device, links)

    def send(event: Event) -> Decision | LateDecision:
        pipe.send(event)
        if not isinstance(event, EpochDone):
            return Decision.GO_ON
        late = LateDecision(pipe)
        return late.wait(patience(event.report.seconds)) or late

    while True:
        try:
            job: Job = pipe.recv()
            run_trial(job, send, device=torch_device, worker=name, parallel=parallel)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def prepare_process(device: str, threads: int) -> torch.device:
    """Prepare a process that trains; returns its device.

    Args:
        device: where it trains, such as `cpu` or `cuda:0`.
        threads: how many threads torch computes with on a CPU.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The coordinator decides what an interrupt means.
    protect_standard_streams(drop_output=True)  # An attention that prints must not fail for that.
    die_with_parent()

    import torch

    from ..devices import keep_freed_memory

    torch.set_num_threads(threads)
    torch_device = torch.device(device)
    if torch_device.type == "cpu":
        keep_freed_memory()
    return torch_device


def die_with_parent() -> None:
    """End this process when the coordinator ends, however that happens.

    A forked worker ends with the server process, which ends with the coordinator. The thread is for
    other workers.
    """
    if parent_death.server_pid is not None:
        parent_death.end_with_parent(parent_death.server_pid)
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="watch-parent", daemon=True).start()
