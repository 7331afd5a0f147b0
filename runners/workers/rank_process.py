"""The processes that train the trials of a worker together with its first one, on further devices.

The first process runs the trial (`worker`, `trial`): it counts costs, reports epochs, waits for
decisions and writes files. When it begins to train, it sends the job to the others, which build the
same network from the same seed, and follow it through the training loop. They send an event only if
their part of the trial raises.
"""

from __future__ import annotations

from multiprocessing import connection

from .worker import prepare_process


def follow(
    pipe: connection.Connection,
    name: str,
    device: str,
    threads: int,
    link: connection.Connection,
    rank: int,
    ranks: int,
) -> None:
    """Train jobs with the first process of a worker until it has ended.

    Args:
        pipe: to the coordinator.
        name: of this process, for messages.
        device: where it trains.
        threads: how many threads torch computes with on a CPU.
        link: to the first process.
        rank: of this process, from 1.
        ranks: how many processes the worker has.
    """
    del name
    torch_device = prepare_process(device, threads)

    from ..training.distributed_rank import DistributedRank
    from .recipe_evaluator import SharedTraining, follow_training
    from .trial import describe_exception

    parallel = DistributedRank(rank, ranks, torch_device, [link])
    while True:
        try:
            training: SharedTraining = parallel.receive()
        except (EOFError, OSError):
            return
        try:
            follow_training(training, torch_device, parallel)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        except (Exception, SystemExit) as error:
            pipe.send(describe_exception(training.job, error))
