"""One training step on a batch that is on the device: forward, loss, backward, optimizer.

`EagerStep` runs one operator after the other. On CUDA, small networks then wait for the host to
launch their kernels. `GraphStep` captures the whole step once as a CUDA graph and replays it, with
the same kernels and results. `choose_step` uses the graph where the step can be captured, and
states the reason where it cannot.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn

from ..recipe import Recipe
from .data_parallel import SINGLE_DEVICE, DataParallel
from .device_data import DeviceData
from .epoch_share import smallest_share
from .fast_ops import fast_ops
from .micro_batches import MIN_MICRO_BATCH_IMAGES, split_batch
from .optimizer import TrainingOptimizer
from .task import Task, task_of

CAPTURED = "captured"
"""What a trial records of its steps where they are captured."""
WARM_UP_STEPS = 3
"""Steps on another stream before a capture, as PyTorch's notes on CUDA graphs require."""


class TrainingStep(Protocol):
    """Trains on one batch, and adds the mean loss to `loss_sum`, a scalar on the device."""

    loss_sum: Tensor

    def __call__(self, images: Tensor, targets: Tensor) -> None:
        """Take the step with `images` uint8 (N, H, W, C) and `targets` (N, …)."""


class EagerStep:
    """A step that runs one operator after the other.

    Args:
        model: the network; see `prepare_network.prepare_network`.
        optimizer: updates its weights.
        data: has the mean and deviation that images are normalised with; its device is used.
        recipe: precision and memory layout.
        task: default: the recipe's task.
        micro_batches: parts of a batch whose gradients are computed one after the other.
        parallel: the devices that share every batch.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: TrainingOptimizer,
        data: DeviceData,
        recipe: Recipe,
        task: Task | None = None,
        micro_batches: int = 1,
        parallel: DataParallel = SINGLE_DEVICE,
    ) -> None:
        self.model, self.optimizer, self.micro_batches = model, optimizer, micro_batches
        self.data, self.recipe, self.parallel = data, recipe, parallel
        self.task = task or task_of(recipe, data)
        self.network = parallel.wrap(model)
        self.fast_ops = fast_ops(model, data.train.labels.device, parallel.batch_norm)
        self.loss_sum = torch.zeros((), device=data.train.labels.device)
        self.loss_weight: float | None = None

    def for_share(self, images: int, batch_size: int) -> EagerStep:
        """The step for the share of a batch, in which its loss counts by its number of images.

        Args:
            images: of the share.
            batch_size: images of the whole batch.
        """
        if images == batch_size:
            return self
        step, devices = copy.copy(self), self.parallel.size
        # Gradients are averaged over the devices.
        step.loss_weight = images / batch_size * devices
        # All devices need the same number, since batch norms and gradients are exchanged in each.
        most = smallest_share(batch_size, devices) // MIN_MICRO_BATCH_IMAGES
        step.micro_batches = max(1, min(self.micro_batches, most))
        return step

    def __call__(self, images: Tensor, targets: Tensor) -> None:
        """Take a step; see `TrainingStep`."""
        self.backward(images, targets)
        self.optimizer.step()
        self.optimizer.clear_gradients()

    def backward(self, images: Tensor, targets: Tensor) -> None:
        """Compute the gradients of a batch, and add its loss to `loss_sum`."""
        if self.micro_batches == 1:
            self._backward(images, targets)
            return
        for part, part_targets, share in split_batch(images, targets, self.micro_batches):
            self._backward(part, part_targets, share)

    def _backward(self, images: Tensor, targets: Tensor, share: float | None = None) -> None:
        """Add the gradients of a batch, or of a part that has a share of its images."""
        batch = self.data.normalised(images, channels_last=self.recipe.channels_last)
        with autocast(self.recipe, targets.device), self.fast_ops:
            outputs = self.network(batch)
        loss = self.task.loss(outputs.float(), targets)
        if share is not None:
            loss = loss * share
        if self.loss_weight is not None:
            loss = loss * self.loss_weight
        self.optimizer.backward(loss)
        self.loss_sum += loss.detach()


class GraphStep:
    """The step of `eager`, captured once for batches of one shape; CUDA only.

    It keeps a reference to `eager`, because the graph uses the memory of its weights, optimizer
    state and data.

    Args:
        eager: the step to capture.
        images: a batch, uint8 (N, H, W, C).
        targets: its targets, (N, …).
        earlier: a captured step for batches of another shape. Both use the same memory, because
            they never run at the same time and leave nothing in it.
    """

    def __init__(
        self, eager: EagerStep, images: Tensor, targets: Tensor, earlier: GraphStep | None = None
    ) -> None:
        self.images, self.targets = images.clone(), targets.clone()
        self.eager, self.loss_sum = eager, eager.loss_sum
        self.graph = torch.cuda.CUDAGraph()
        with undo_steps(eager):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP_STEPS):
                    eager(self.images, self.targets)
            torch.cuda.current_stream().wait_stream(stream)
            # Gradients are allocated from the graph's own memory, and freed with it.
            with torch.cuda.graph(self.graph, pool=earlier.graph.pool() if earlier else None):
                eager.backward(self.images, self.targets)
                eager.optimizer.step()
                eager.optimizer.clear_gradients()

    def __call__(self, images: Tensor, targets: Tensor) -> None:
        """Replay the step; the batch has to have the captured shape."""
        self.images.copy_(images)
        self.targets.copy_(targets)
        self.graph.replay()


def choose_step(
    eager: EagerStep, images: Tensor, targets: Tensor, earlier: TrainingStep | None = None
) -> tuple[TrainingStep, str]:
    """A captured step where that is possible, else `eager`; and a text for the trial's record.

    The text is `captured`, or `eager: REASON`. Changes that the capture made to weights, buffers,
    optimizer and random state are undone.

    Args:
        eager: the step.
        images: a batch, uint8 (N, H, W, C).
        targets: its targets, (N, …).
        earlier: the step for batches of another shape, if there is one.
    """
    if eager.parallel.size > 1:
        return eager, "eager: on several devices"
    if targets.device.type != "cuda":
        return eager, f"eager: no CUDA graphs on {targets.device.type}"
    if not eager.recipe.cuda_graph:
        return eager, "eager: asked for"
    try:
        captured = earlier if isinstance(earlier, GraphStep) else None
        return GraphStep(eager, images, targets, captured), CAPTURED
    except (RuntimeError, NotImplementedError) as error:
        torch.cuda.synchronize()
        if isinstance(error, torch.OutOfMemoryError):
            torch.cuda.empty_cache()
        return eager, f"eager: {str(error).strip().partition(chr(10))[0]}"


@contextmanager
def undo_steps(step: EagerStep) -> Iterator[None]:
    """Undo the steps that are taken inside the context.

    Weights, buffers, optimizer state, loss and random state are restored in the same memory, which
    a captured graph continues to use.
    """
    tensors = [*step.model.parameters(), *step.model.buffers(), step.loss_sum]
    values = [tensor.detach().clone() for tensor in tensors]
    device = step.loss_sum.device
    with step.optimizer.preserved_state(), _preserved_random_state(device):
        try:
            yield
        finally:
            with torch.no_grad():
                for tensor, value in zip(tensors, values, strict=True):
                    tensor.copy_(value)
            step.optimizer.clear_gradients()


@contextmanager
def _preserved_random_state(device: torch.device) -> Iterator[None]:
    cpu_state = torch.get_rng_state()
    cuda_state = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        torch.set_rng_state(cpu_state)
        if cuda_state is not None:
            torch.cuda.set_rng_state(cuda_state, device)


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """A context that computes in the recipe's precision."""
    dtype = torch.float16 if recipe.precision == "fp16" else torch.bfloat16
    return torch.autocast(device.type, dtype, enabled=recipe.precision != "float32")
