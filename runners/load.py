"""How busy the CPU and the GPU of a machine are while a trial is trained.

With them a time or a latency can be read: a GPU that waits for a busy CPU is slow for another
reason than one that computes all the time.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import psutil
import torch

_IDLE = ("idle", "iowait")
_COUNTED_TWICE = ("guest", "guest_nice")
"""Fields of `psutil.cpu_times` that are no work, and those that others include."""


@dataclass(frozen=True)
class Load:
    """Means over a trial, of all processes; None where it cannot be read.

    Attributes:
        cpu: the share of the time for which the cores of the machine were busy, from 0 to 1.
        gpu: the share of the time for which the GPU computed, from 0 to 1.
    """

    cpu: float | None = None
    gpu: float | None = None


class LoadMeter:
    """Measures the load from now on.

    Args:
        device: of the trial. The load of a GPU is read with `nvidia-ml-py`, if that is installed.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._began = _core_seconds()
        self._gpu: list[float] = []
        self._reads_gpu = device.type == "cuda"

    def sample(self) -> None:
        """Read how busy the GPU has been in the last moments; call it after every epoch."""
        if not self._reads_gpu:
            return
        try:
            self._gpu.append(torch.cuda.utilization(self._device) / 100)
        except Exception:  # The package is missing, or the driver denies it: each in its own way.
            self._reads_gpu = False

    def read(self) -> Load:
        """The load so far."""
        busy, total = (now - then for now, then in zip(_core_seconds(), self._began, strict=True))
        cpu = min(1.0, max(0.0, busy / total)) if total > 0 else None
        gpu = min(1.0, statistics.fmean(self._gpu)) if self._gpu else None
        return Load(cpu, gpu)


def _core_seconds() -> tuple[float, float]:
    """The time for which the cores of this machine were busy, and all their time."""
    times = psutil.cpu_times()._asdict()
    seconds = {name: value for name, value in times.items() if name not in _COUNTED_TWICE}
    idle = sum(seconds.pop(name, 0.0) for name in _IDLE)
    busy = sum(seconds.values())
    return busy, busy + idle
