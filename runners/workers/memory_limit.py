"""A limit of the memory of one trial.

On CUDA, torch refuses to allocate more, and the trial fails as one for which memory runs out. On a
CPU nothing can refuse an allocation without breaking others, so a thread reads the memory of the
process (its resident set) and ends the process above the limit; the pool reports that.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from .processes import EXIT_CODE_ABOVE_LIMIT

SECONDS_BETWEEN_READINGS = 0.1


@contextmanager
def limit_memory(limit_mib: float | None, device: torch.device) -> Iterator[None]:
    """Limit the memory of what runs inside the context.

    Args:
        limit_mib: of tensors on a CUDA device, or of this process elsewhere; None: no limit.
        device: where the network is trained.
    """
    if limit_mib is None:
        yield
    elif device.type == "cuda":
        total_mib = torch.cuda.get_device_properties(device).total_memory / 2**20
        torch.cuda.set_per_process_memory_fraction(min(1.0, limit_mib / total_mib), device)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, device)
    else:
        ended = threading.Event()
        arguments = (limit_mib, ended)
        thread = threading.Thread(target=_watch_memory, args=arguments, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


def _watch_memory(limit_mib: float, ended: threading.Event) -> None:
    process = psutil.Process()
    while not ended.wait(SECONDS_BETWEEN_READINGS):
        if process.memory_info().rss > limit_mib * 2**20:
            os._exit(EXIT_CODE_ABOVE_LIMIT)
