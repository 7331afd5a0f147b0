"""One of several ranks of a training, with `torch.distributed`: NCCL between GPUs, gloo on a CPU.

Tensors of the network are exchanged by `torch.distributed`, and everything else (decisions,
predictions) through pipes between the first rank and each of the others, which need no device and
end with the process at their other end. A rank that ends is noticed by the pool; see
`workers.worker_processes`.

`DistributedDataParallel` searches for parameters without a gradient in every step. So it accepts
attentions that do not use all of theirs, and it adds up gradients in the same order in every step:
a training that continues from a checkpoint repeats one that was not interrupted, bit for bit.
"""

from __future__ import annotations

import gc
import inspect
import os
import pickle
import socket
import weakref
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from multiprocessing.connection import Connection
from typing import Any, TypeVar, cast

import psutil
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .batch_plan import BatchPlan
from .epoch_share import EpochShare, share_epoch
from .synchronised_batch_norm import synchronised_batch_norm

T = TypeVar("T")

BUFFERS_SETTING = next(
    name
    for name in ("forward_sync_buffers", "broadcast_buffers")
    if name in inspect.signature(DistributedDataParallel).parameters
)
"""The argument of DDP, renamed in torch 2.13, for copying buffers before every forward pass."""
LOOPBACK_ADDRESS = "127.0.0.1"
TIMEOUT = timedelta(days=30)
"""For operations of several ranks. The pool ends them all if one has ended, so none waits in vain;
but the first rank may wait long for a decision, while a database cannot be reached."""
INTERFACE_VARIABLES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")
"""Environment variables with the network interface by which ranks connect."""


class DistributedRank:
    """A rank of a training on several devices; see `DataParallel`.

    Args:
        rank: from 0.
        size: number of ranks.
        device: of this rank.
        links: to all other ranks, in their order, if this is the first one; else to the first one.
    """

    def __init__(
        self, rank: int, size: int, device: torch.device, links: Sequence[Connection]
    ) -> None:
        self.rank, self.size = rank, size
        is_fast = device.type == "cuda" and distributed.is_nccl_available()
        self.backend = "nccl" if is_fast else "gloo"
        self.batch_norm: Callable[..., Any] | None = synchronised_batch_norm
        self._device, self._links = device, tuple(links)
        self._wrapper: Callable[[], nn.Module | None] = lambda: None
        self._is_connected = False

    @property
    def description(self) -> str:
        """The number of ranks, and what they exchange gradients by."""
        return f"{self.size} ranks, {self.backend}"

    def wait_for_all(self) -> None:
        """See `DataParallel`."""
        self._connect()
        self.gather([])

    def share(self, plan: BatchPlan) -> EpochShare:
        """See `DataParallel`."""
        return share_epoch(plan, self.rank, self.size)

    def wrap(self, model: nn.Module) -> nn.Module:
        """See `DataParallel`."""
        self._connect()
        gc.collect()  # Wrappers are cycles of objects, and act until they are freed.
        if self._wrapper() is not None:
            raise RuntimeError("an earlier wrapper of the network is still in use")
        # Buffers are copied once an epoch instead; those of batch norms are equal anyway.
        settings: dict[str, Any] = {BUFFERS_SETTING: False}
        wrapper = DistributedDataParallel(model, find_unused_parameters=True, **settings)
        self._wrapper = weakref.ref(wrapper)
        return wrapper

    @torch.no_grad()
    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """See `DataParallel`."""
        self._connect()
        for tensor in tensors:
            values = tensor.detach().contiguous()
            distributed.broadcast(values, 0)
            tensor.copy_(values)

    def call_on_first(self, function: Callable[[], T]) -> T:
        """See `DataParallel`."""
        if self.rank:
            return cast(T, self.receive())
        value = function()
        self._send(value)
        return value

    def receive(self) -> Any:
        """On another rank than the first: what `call_on_first` returns on the first one."""
        return pickle.loads(self._links[0].recv_bytes())

    def gather(self, values: Sequence[T]) -> list[T]:
        """See `DataParallel`."""
        own = [_moved(value, torch.device("cpu")) for value in values]
        if self.rank:
            self._send(own)
            all_values = self.receive()
        else:
            parts = [own, *(pickle.loads(link.recv_bytes()) for link in self._links)]
            all_values = [value for part in parts for value in part]
            self._send(all_values)
        return [_moved(value, self._device) for value in all_values]

    def _send(self, value: Any) -> None:
        # multiprocessing would share the memory of tensors, of which containers have little.
        message = pickle.dumps(value)
        for link in self._links:
            link.send_bytes(message)

    def _connect(self) -> None:
        """Connect the ranks, at the first operation that needs it."""
        if self._is_connected:
            return
        for variable in INTERFACE_VARIABLES:
            if name := _loopback_interface():
                os.environ.setdefault(variable, name)
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)
        distributed.init_process_group(
            self.backend,
            store=self._open_store(),
            rank=self.rank,
            world_size=self.size,
            timeout=TIMEOUT,
        )
        self._is_connected = True

    def _open_store(self) -> Any:
        """Where the ranks exchange their addresses; it can be reached from this machine only."""
        listener: socket.socket | None = None

        def listen() -> int:
            nonlocal listener
            listener = socket.create_server((LOOPBACK_ADDRESS, 0))
            port: int = listener.getsockname()[1]
            return port

        port = self.call_on_first(listen)
        return distributed.TCPStore(  # type: ignore[attr-defined]
            LOOPBACK_ADDRESS,
            port,
            self.size,
            is_master=listener is not None,
            timeout=TIMEOUT,
            wait_for_workers=False,
            master_listen_fd=None if listener is None else listener.detach(),
        )


def _moved(value: T, device: torch.device) -> T:
    """A value with its tensors, also in a tuple, on a device."""
    if isinstance(value, Tensor):
        return cast(T, value.to(device))
    if isinstance(value, tuple):
        return cast(T, tuple(_moved(item, device) for item in value))
    return value


def _loopback_interface() -> str | None:
    """The name of the network interface of this machine alone; None if it is not known."""
    for name, addresses in psutil.net_if_addrs().items():
        if any(address.address == LOOPBACK_ADDRESS for address in addresses):
            return str(name)
    return None
