"""Train with less memory: the gradient of a batch as the sum over its micro-batches.

A step sees the same images in the same order, and the loss is the mean over the whole batch. So a
network without batch normalisation has the same gradients as from whole batches, to rounding. Batch
normalisation normalises each micro-batch by itself, which is another function of the batch; its
running statistics move as far per step as from whole batches. Dropout draws other masks. A trial
that was trained in this way therefore records it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

MIN_MICRO_BATCH_IMAGES = 2
"""Batch normalisation of 1×1 maps needs two images."""


def split_batch(
    images: Tensor, targets: Tensor, micro_batches: int
) -> Iterator[tuple[Tensor, Tensor, float]]:
    """The micro-batches of a batch, each with its share of the images of the batch.

    Args:
        images: uint8 (N, H, W, C).
        targets: (N, …).
        micro_batches: how many; fewer if they would have fewer than two images.
    """
    count = max(1, min(micro_batches, len(images) // MIN_MICRO_BATCH_IMAGES))
    for part, part_targets in zip(
        images.tensor_split(count), targets.tensor_split(count), strict=True
    ):
        yield part, part_targets, len(part) / len(images)


@contextmanager
def running_statistics_of_micro_batches(model: nn.Module, micro_batches: int) -> Iterator[None]:
    """Let running statistics of batch normalisation keep their pace per step inside the context.

    With momentum m per batch, an update per micro-batch has the momentum 1 - (1 - m)^(1/n), so that
    n updates keep the same share of the earlier statistics.

    Args:
        model: the network.
        micro_batches: micro-batches per step, n.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    before = [norm.momentum for norm in norms]
    try:
        for norm in norms:
            if norm.momentum is not None and micro_batches > 1:
                norm.momentum = 1 - (1 - norm.momentum) ** (1 / micro_batches)
        yield
    finally:
        for norm, momentum in zip(norms, before, strict=True):
            norm.momentum = momentum
