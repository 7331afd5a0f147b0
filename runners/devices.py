"""The devices on which trials train, and settings of a process that uses them."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

import torch

from ..errors import UsageError
from .cores import usable_cores


def resolve_device(name: str) -> torch.device:
    """The device of that name; `auto` prefers CUDA, then Apple's MPS, then the CPU.

    Raises:
        UsageError: the name is unknown, or there is no such device on this machine.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        name = "mps" if name == "cpu" and torch.backends.mps.is_available() else name
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError(f"unknown device {name!r}; use auto, cpu, cuda, cuda:1 or mps") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise UsageError(f"trials cannot train on {name!r}; use auto, cpu, cuda, cuda:1 or mps")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise UsageError(f"{name} is not on this machine, which has {count} CUDA devices; use auto")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UsageError("mps is not on this machine; use auto")
    return device


def worker_devices(device: torch.device, workers: int | None, per_gpu: int) -> list[str]:
    """The device of every worker, as text.

    Args:
        device: `cuda` without a number means all GPUs.
        workers: number of workers; None for one per core on a CPU, `per_gpu` for each GPU.
        per_gpu: workers that share one GPU.
    """
    if device.type == "cpu":
        return ["cpu"] * (workers or usable_cores())
    all_gpus = device.type == "cuda" and device.index is None
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if all_gpus else [str(device)]
    slots = gpus * per_gpu
    return (slots * workers)[:workers] if workers else slots


def device_groups(
    device: torch.device, workers: int | None, per_trial: int
) -> list[tuple[str, ...]]:
    """The devices of every worker, as text, where a trial is trained on several.

    Args:
        device: `cuda`, for all GPUs; or `cpu`, on which every trial has several processes.
        workers: number of workers, at most as many as the devices suffice for; None: that many.
        per_trial: devices of each worker.

    Raises:
        UsageError: there are not so many devices, or trials cannot be trained on several of them.
    """
    if str(device) not in ("cpu", "cuda"):
        raise UsageError(
            f"a trial cannot be trained on {per_trial} devices with --device {device}; use "
            "--device cuda, or leave out --gpus-per-trial"
        )
    if device.type == "cpu":
        most = max(1, usable_cores() // per_trial)
        return [("cpu",) * per_trial] * min(workers or most, most)
    count = torch.cuda.device_count()
    if per_trial > count:
        raise UsageError(
            f"--gpus-per-trial {per_trial} needs {per_trial} GPUs, and this machine has {count}"
        )
    gpus = [f"cuda:{number}" for number in range(count)]
    most = count // per_trial
    groups = [tuple(gpus[first : first + per_trial]) for first in range(0, count, per_trial)]
    return groups[: min(workers or most, most)]


@contextlib.contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Set torch's number of CPU threads inside the context, and restore it afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory() -> None:
    """Make the C library keep freed memory for the next allocation of this process.

    A training step frees all that it allocates. By default, the C library returns much of it to the
    system, which then has to clear thousands of pages for the next step. That takes 5 % of a step
    of ResNet-18 at 32 pixels, and 20 % of a step of a very small network. This works with glibc;
    with other C libraries nothing changes.
    """
    mmap_threshold, trim_threshold, top_pad = -3, -1, -2  # parameter numbers in malloc.h
    with contextlib.suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(mmap_threshold, 2**30)
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(top_pad, 2**26)
