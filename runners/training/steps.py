"""One training step on a batch that is on the device: forward, loss, backward, optimizer.

`EagerStep` runs it operator by operator. On CUDA, where small networks wait for the host to launch
their kernels, `GraphStep` captures the whole step once, as a CUDA graph, and replays it: the same
kernels on the same numbers. `choose_step` takes the graph where it can be captured, and says why
where it cannot.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..recipe import Recipe
from .device_data import DeviceData
from .fast_ops import disable_inplace_activations, fast_ops
from .flat_parameters import clear_gradients

WARM_UPS = 3
"""Steps on another stream before a capture, as PyTorch's notes on CUDA graphs ask for."""


class TrainingStep(Protocol):
    """Trains on one batch; adds the mean loss to `loss_sum`, on the device."""

    loss_sum: Tensor

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """`images` uint8 (N, H, W, 3), `labels` int64 (N,)."""


class EagerStep:
    """Operator by operator."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        data: DeviceData,
        recipe: Recipe,
    ) -> None:
        self.model, self.optimizer = model, optimizer
        self.data, self.recipe = data, recipe
        disable_inplace_activations(model)
        self.fast_ops = fast_ops(model, data.train.labels.device)
        self.loss_sum = torch.zeros((), device=data.train.labels.device)

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """See `TrainingStep`."""
        self.backward(images, labels)
        self.optimizer.step()
        clear_gradients(self.optimizer)

    def backward(self, images: Tensor, labels: Tensor) -> None:
        """Forward and backward."""
        shown = self.data.normalised(images, channels_last=self.recipe.channels_last)
        with autocast(self.recipe, labels.device), self.fast_ops:
            logits = self.model(shown)
        smoothing = self.recipe.label_smoothing
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
        loss.backward()  # type: ignore[no-untyped-call]
        self.loss_sum += loss.detach()


class GraphStep:
    """The step of `eager`, captured once for batches like these; CUDA only.

    It keeps `eager`: the graph goes on using the memory of its weights, moments and data, whoever
    else has forgotten them.
    """

    def __init__(self, eager: EagerStep, images: Tensor, labels: Tensor) -> None:
        self.images, self.labels = images.clone(), labels.clone()
        self.eager, self.loss_sum = eager, eager.loss_sum
        self.graph = torch.cuda.CUDAGraph()
        with without_trace(eager):
            stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UPS):
                    eager(self.images, self.labels)
            torch.cuda.current_stream().wait_stream(stream)
            # Gradients are made inside the graph, from its own memory, and freed with it.
            with torch.cuda.graph(self.graph):
                eager.backward(self.images, self.labels)
                eager.optimizer.step()
                clear_gradients(eager.optimizer)

    def __call__(self, images: Tensor, labels: Tensor) -> None:
        """See `TrainingStep`; the batch has to have the captured shape."""
        self.images.copy_(images)
        self.labels.copy_(labels)
        self.graph.replay()


def choose_step(eager: EagerStep, images: Tensor, labels: Tensor) -> tuple[TrainingStep, str]:
    """A captured step where that is possible, and what became of it, for the record.

    Text: `captured`, or `eager: REASON`. Whatever the attempt did to weights, buffers, optimizer
    and random state is undone.
    """
    if labels.device.type != "cuda":
        return eager, f"eager: no CUDA graphs on {labels.device.type}"
    if not eager.recipe.cuda_graph:
        return eager, "eager: asked for"
    try:
        return GraphStep(eager, images, labels), "captured"
    except (RuntimeError, NotImplementedError) as error:
        torch.cuda.synchronize()
        if isinstance(error, torch.OutOfMemoryError):
            torch.cuda.empty_cache()
        return eager, f"eager: {str(error).strip().partition(chr(10))[0]}"


@contextmanager
def without_trace(step: EagerStep) -> Iterator[None]:
    """Steps taken inside leave no trace: weights, buffers, optimizer, loss and chances are put
    back, in the same memory, which a captured graph goes on to use."""
    tensors = [*step.model.parameters(), *step.model.buffers(), step.loss_sum]
    values = [tensor.detach().clone() for tensor in tensors]
    state = step.optimizer.state
    known = {
        parameter: {k: v.clone() for k, v in held.items() if isinstance(v, Tensor)}
        for parameter, held in state.items()
    }
    device = step.loss_sum.device
    chances = torch.get_rng_state()
    on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.copy_(value)
            for parameter, held in state.items():
                for key, now in held.items():
                    if isinstance(now, Tensor):
                        before = known.get(parameter, {}).get(key)
                        now.zero_() if before is None else now.copy_(before)
        clear_gradients(step.optimizer)
        torch.set_rng_state(chances)
        if on_device is not None:
            torch.cuda.set_rng_state(on_device, device)


def autocast(recipe: Recipe, device: torch.device) -> torch.autocast:
    """The recipe's precision as a context."""
    return torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16")
