"""The costs of a trial that are measured before its network is trained: latency and memory."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..costs import count_training_memory_mib
from ..latency import Latency, TimedNetwork, measure_latency
from ..results import Costs, Job


def add_measured_costs(
    costs: Costs, job: Job, num_classes: int, device: torch.device
) -> tuple[Costs, str | None]:
    """Costs with the latency and the training memory, as far as the job requires them.

    Args:
        costs: counted, or those that are known.
        job: the costs to measure.
        num_classes: outputs of the head; 0: as many as the backbone has by itself.
        device: where to measure the latency.

    Returns:
        The costs, and why the machine was not quiet while the latency was measured; None if it was.
    """
    recipe, disturbance = job.recipe, None
    if "latency_ms" in job.measure and costs.latency_ms is None:
        settings = (recipe.size, num_classes, recipe.stem, recipe.in_chans)
        latency = measure_latency(TimedNetwork(job.architecture, *settings), device)
        disturbance = latency.disturbance
        if job.reference_latency_ms is not None:
            reference = Latency(job.reference_latency_ms, job.reference_latency_error_ms or 0.0)
            latency = latency.as_multiple_of(reference)
        costs = latency.add_to(costs)
    if "memory_mib" in job.measure:
        memory = count_training_memory_mib(job.architecture, recipe, num_classes)
        costs = replace(costs, memory_mib=memory)
    return costs, disturbance
