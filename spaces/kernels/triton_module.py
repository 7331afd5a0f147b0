"""The modules with Triton kernels, and how they are checked on a device before they are used.

Triton comes with torch for CUDA; on other machines it is missing, and nothing here is called. Where
kernels cannot be compiled, or compute something else than torch does, their callers use torch's
operators, and a trial records the reason (`fallback_reasons`).
"""

from __future__ import annotations

import importlib
from functools import cached_property
from typing import Any

import torch


class TritonKernels:
    """The kernels of one module, which is imported when they are first needed.

    The module has a function `check(device)`, which compares its kernels with torch's operators and
    raises an error if they cannot be used on the device.

    Args:
        name: what the kernels are for, as trials record it.
        module: the module's full name.
    """

    def __init__(self, name: str, module: str) -> None:
        self.name = name
        self.module_name = module
        self.reasons: dict[torch.device, str | None] = {}
        """By device on which they were checked, why they are not used; None if they are."""

    @cached_property
    def module(self) -> Any:
        """The module with the kernels; ImportError without Triton."""
        return importlib.import_module(self.module_name)

    def why_unusable(self, device: torch.device) -> str | None:
        """Why the kernels are not used on a CUDA device; None if they are.

        The first call on a device compiles and checks them, which takes some seconds.
        """
        if device not in self.reasons:
            if torch.cuda.is_current_stream_capturing():
                return "a graph is being captured, which checking the kernels would spoil"
            self.reasons[device] = self._check(device)
        return self.reasons[device]

    def _check(self, device: torch.device) -> str | None:
        try:
            kernels = self.module
        except ImportError as error:
            return f"no Triton: {error}"
        try:
            kernels.check(device)
        except Exception as error:  # such as no compiler, or a device that Triton does not know
            return f"{type(error).__name__}: {error}"
        return None


POOL_SCALE = TritonKernels("attention", f"{__package__}.triton_pool_scale")
STRIPS = TritonKernels("strip", f"{__package__}.triton_strips")
BATCH_NORM = TritonKernels("batch norm", f"{__package__}.triton_batch_norm")

TRITON_KERNELS = (POOL_SCALE, STRIPS, BATCH_NORM)
"""All modules with Triton kernels."""


def fallback_reasons(device: torch.device) -> dict[str, str]:
    """Name and reason of the kernels that were needed on a device and could not be used."""
    reasons = {kernels.name: kernels.reasons.get(device) for kernels in TRITON_KERNELS}
    return {name: reason for name, reason in reasons.items() if reason is not None}
