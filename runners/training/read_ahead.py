"""Read images that are not on the device ahead of the steps that need them.

The order of an epoch's images is known before it begins. A thread therefore reads the next batches
from the cache while the device computes:

    cache → buffer in the host's memory → on a GPU: buffer on the device → batch

On a GPU the first buffers are pinned, and batches are copied on a stream of their own, so that
neither the host nor the steps wait for a copy. There are at most `MAX_BATCHES_AHEAD + 1` buffers of
the largest batch, of at most `MAX_BUFFER_BYTES` together, but at least two; on a GPU there are as
many on the device again. They are freed at the end of the epoch, with the thread. The batches are
bit for bit those of `DeviceImages.take`.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import Images
from ..data.prepared.stored_images import read_images
from .device_data import DeviceImages

MAX_BATCHES_AHEAD = 3
MAX_BUFFER_BYTES = 2**28

TakeImages = Callable[[Tensor], Tensor]
"""Takes the numbers of images (n,) and returns the images, uint8 (n, H, W, C), on their device."""


@contextmanager
def read_ahead(images: DeviceImages, batches: Sequence[Tensor]) -> Iterator[TakeImages]:
    """A function like `images.take` for batches that are known in advance.

    Images that are not on the device are read ahead by a thread, which ends with the context. The
    batches have to be taken in order, and each is valid until the next is taken.

    Args:
        images: of a split.
        batches: the numbers of the images of each batch, (n,), on their device.
    """
    if isinstance(images.images, Tensor) or not batches:
        yield images.take
        return
    with BatchReader(images.images, batches) as reader:
        yield reader.take


class BatchReader:
    """Reads batches of images in a thread, which runs inside of its context.

    Args:
        images: uint8 (N, H, W, C), in the cache.
        batches: the numbers of the images of each batch, (n,), on the device that needs them.
    """

    def __init__(self, images: Images, batches: Sequence[Tensor]) -> None:
        self._images, self._expected = images, iter(batches)
        sizes = [len(batch) for batch in batches]
        numbers = torch.cat(list(batches)).cpu().numpy()
        self._numbers = np.split(numbers, np.cumsum(sizes)[:-1])
        shape = (max(sizes), *images.shape[1:])
        count = count_buffers(math.prod(shape), len(batches))
        self._buffers = allocate_buffers(count, shape, batches[0].device)
        self._free: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._filled: queue.SimpleQueue[int | BaseException] = queue.SimpleQueue()
        for number in range(count):
            self._free.put(number)
        self._in_use: int | None = None
        self._is_closed = False
        self._thread = threading.Thread(target=self._read, name="read-ahead", daemon=True)

    def __enter__(self) -> BatchReader:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._is_closed = True
        self._free.put(None)
        self._thread.join()
        self._buffers.close()

    def take(self, index: Tensor) -> Tensor:
        """The images of the next batch, uint8 (n, H, W, C), valid until the next is taken.

        Args:
            index: the next of the batches; the same memory, because comparing values would wait
                for the device.

        Raises:
            ValueError: it is another one.
            DataError: the images cannot be read; see `read_images`.
        """
        expected = next(self._expected, None)
        if expected is None or not _is_same(index, expected):
            raise ValueError("batches that are read ahead have to be taken in their order")
        if self._in_use is not None:
            self._buffers.release(self._in_use)
            self._free.put(self._in_use)
            self._in_use = None
        filled = self._filled.get()
        if isinstance(filled, BaseException):
            self._filled.put(filled)  # The thread has ended: whoever asks again gets the error too.
            raise filled
        self._in_use = filled
        return self._buffers.receive(filled, len(index))

    def _read(self) -> None:
        """Fill buffers until all batches are read; the main function of the thread."""
        try:
            for numbers in self._numbers:
                buffer = self._free.get()
                if buffer is None or self._is_closed:
                    return
                read_images(self._images, numbers, self._buffers.begin(buffer, len(numbers)))
                self._buffers.send(buffer, len(numbers))
                self._filled.put(buffer)
        except BaseException as error:  # `take` raises it where the batch is needed.
            self._filled.put(error)


def _is_same(index: Tensor, expected: Tensor) -> bool:
    """Whether two tensors of numbers are the same part of the same memory."""
    return index.data_ptr() == expected.data_ptr() and len(index) == len(expected)


def count_buffers(batch_bytes: int, num_batches: int) -> int:
    """How many buffers there are; see the head of this module.

    Args:
        batch_bytes: of the largest batch.
        num_batches: in the epoch.
    """
    affordable = MAX_BUFFER_BYTES // max(1, batch_bytes)
    return min(num_batches, max(2, min(MAX_BATCHES_AHEAD + 1, affordable)))


class BatchBuffers(Protocol):
    """Buffers of one batch each, by number. A thread fills them and the trial uses them."""

    def begin(self, number: int, size: int) -> Images:
        """The array (size, H, W, C) to fill, once the buffer is not in use any more. (Thread.)"""

    def send(self, number: int, size: int) -> None:
        """Begin to copy a filled buffer to the device. (Thread.)"""

    def receive(self, number: int, size: int) -> Tensor:
        """The batch on the device, for work that is queued there from now on."""

    def release(self, number: int) -> None:
        """Work that is queued from now on does not use the batch."""

    def close(self) -> None:
        """Work that is queued from now on may use the memory of the buffers."""


def allocate_buffers(count: int, shape: tuple[int, ...], device: torch.device) -> BatchBuffers:
    """Buffers that suit a device.

    Args:
        count: how many.
        shape: of the largest batch, (n, H, W, C).
        device: where batches are needed.
    """
    kind = PinnedBuffers if device.type == "cuda" else HostBuffers
    return kind(count, shape, device)


class HostBuffers:
    """Buffers in the memory of the host. On a CPU, they are the batches themselves.

    Args:
        count: how many.
        shape: of the largest batch, (n, H, W, C).
        device: where batches are needed.
    """

    def __init__(self, count: int, shape: tuple[int, ...], device: torch.device) -> None:
        self._device = device
        self._host = [torch.empty(shape, dtype=torch.uint8) for _ in range(count)]

    def begin(self, number: int, size: int) -> Images:
        """See `BatchBuffers`."""
        return _as_array(self._host[number][:size])

    def send(self, number: int, size: int) -> None:
        """See `BatchBuffers`; the copy is made by `receive`."""

    def receive(self, number: int, size: int) -> Tensor:
        """See `BatchBuffers`."""
        return self._host[number][:size].to(self._device)

    def release(self, number: int) -> None:
        """See `BatchBuffers`."""

    def close(self) -> None:
        """See `BatchBuffers`."""


class PinnedBuffers:
    """Pairs of a buffer in pinned memory and one on a GPU.

    Each pair has two events: `copied` when the copy to the GPU is complete, after which steps may
    read the one and the thread may fill the other; and `used` when the steps have read it, after
    which the next copy may begin. Only the thread waits for an event; streams wait by themselves.

    Args:
        count: how many.
        shape: of the largest batch, (n, H, W, C).
        device: the GPU.
    """

    def __init__(self, count: int, shape: tuple[int, ...], device: torch.device) -> None:
        self._device, numbers, pin_memory = device, range(count), device.type == "cuda"
        self._host = [torch.empty(shape, dtype=torch.uint8, pin_memory=pin_memory) for _ in numbers]
        self._on_device = [torch.empty(shape, dtype=torch.uint8, device=device) for _ in numbers]
        self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # What is queued may still use memory that the buffers are now in.
        self._stream.wait_stream(torch.cuda.current_stream(device))
        self._copied = [torch.cuda.Event(blocking=True) for _ in numbers]  # type: ignore[no-untyped-call]
        self._used = [torch.cuda.Event() for _ in numbers]  # type: ignore[no-untyped-call]

    def begin(self, number: int, size: int) -> Images:
        """See `BatchBuffers`."""
        self._copied[number].synchronize()
        return _as_array(self._host[number][:size])

    def send(self, number: int, size: int) -> None:
        """See `BatchBuffers`."""
        with torch.cuda.stream(self._stream):
            self._stream.wait_event(self._used[number])
            batch = self._on_device[number][:size]
            batch.copy_(self._host[number][:size], non_blocking=True)
            self._copied[number].record(self._stream)

    def receive(self, number: int, size: int) -> Tensor:
        """See `BatchBuffers`."""
        torch.cuda.current_stream(self._device).wait_event(self._copied[number])
        return self._on_device[number][:size]

    def release(self, number: int) -> None:
        """See `BatchBuffers`."""
        self._used[number].record(torch.cuda.current_stream(self._device))

    def close(self) -> None:
        """See `BatchBuffers`."""
        torch.cuda.current_stream(self._device).wait_stream(self._stream)


def _as_array(tensor: Tensor) -> Images:
    array: Images = tensor.numpy()
    return array
