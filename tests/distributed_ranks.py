"""Functions that run on several ranks, each in a process of its own, as a worker of trials does."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import torch
from attentune.runners.data import load_data
from attentune.runners.recipe import Recipe
from attentune.runners.training.data_parallel import DataParallel
from attentune.runners.training.device_data import DeviceData
from attentune.runners.training.distributed_rank import DistributedRank
from attentune.runners.training.optimizer import flatten_parameters, make_optimizer
from attentune.runners.training.steps import EagerStep
from attentune.runners.workers.processes import end_process, start_process
from torch import nn

CPU = torch.device("cpu")


def linked_ranks(count: int) -> list[list[Any]]:
    """The ends of pipes that each rank has: the first one to all others, these to the first."""
    pipes = [multiprocessing.Pipe() for _ in range(count - 1)]
    return [[first for first, _ in pipes], *([other] for _, other in pipes)]


def run_on_ranks(function: Callable[..., Any], count: int, *arguments: Any) -> list[Any]:
    """What a function of this module returns on each of several ranks.

    Args:
        function: called with a `DistributedRank` and the arguments.
        count: number of ranks.
        arguments: of the function.
    """
    processes, outputs = [], []
    for rank, links in enumerate(linked_ranks(count)):
        output, child_end = multiprocessing.Pipe(duplex=False)
        call = (function, rank, count, links, child_end, arguments)
        processes.append(start_process(_call, *call, name=f"rank {rank}"))
        child_end.close()
        outputs.append(output)
    try:
        return [pickle.loads(output.recv_bytes()) for output in outputs]
    finally:
        for process in processes:
            end_process(process)


def _call(
    function: Callable[..., Any],
    rank: int,
    count: int,
    links: list[Any],
    output: Any,
    arguments: tuple[Any, ...],
) -> None:
    torch.set_num_threads(1)
    output.send_bytes(pickle.dumps(function(DistributedRank(rank, count, CPU, links), *arguments)))


def small_network(*, batch_norm: bool) -> nn.Module:
    """A network of three layers, and a parameter that it does not use."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8) if batch_norm else nn.GroupNorm(2, 8)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False),
        norm,
        nn.SiLU(),  # Smooth, so that rounding cannot decide whether a value counts.
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 10),
    )
    network[0].register_parameter("unused", nn.Parameter(torch.ones(3)))
    return network


def take_steps(
    parallel: DataParallel, recipe: Recipe, batch_sizes: list[int], batch_norm: bool
) -> dict[str, Any]:
    """Train the small network on a few batches; what follows, as values that can be compared.

    Returns:
        The gradients of the last step, the sum of the losses of this rank, the weights and buffers.
    """
    data = DeviceData.of(load_data(recipe), CPU)
    model = small_network(batch_norm=batch_norm).train()
    optimizer = make_optimizer(flatten_parameters(model), recipe)
    step = EagerStep(model, optimizer, data, recipe, micro_batches=1, parallel=parallel)
    first = 0
    for size in batch_sizes:
        optimizer.clear_gradients()
        share = torch.arange(size)
        if parallel.size > 1:
            from attentune.runners.training.epoch_share import share_batch

            share = torch.tensor(share_batch(size, parallel.rank, parallel.size))
        index = share + first
        step.for_share(len(index), size).backward(data.train.take(index), data.train.labels[index])
        gradients = [weight.grad for weight in model.parameters()]
        if size != batch_sizes[-1]:
            optimizer.step()
        first += size
    return {
        "gradients": [None if g is None else g.clone().numpy() for g in gradients],
        "loss": float(step.loss_sum),
        "state": {name: value.numpy() for name, value in model.state_dict().items()},
    }
