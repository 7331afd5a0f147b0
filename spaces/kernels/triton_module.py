"""Triton kernels that are tried out on a device before they are used there.

Triton comes with torch for CUDA; on other machines it is missing and nothing here is called. Where
kernels cannot be compiled, or compute something else than torch does, their callers keep to torch.
"""

from __future__ import annotations

import importlib
from functools import cached_property
from typing import Any

import torch


class TritonKernels:
    """The kernels of one module, imported when they are first needed.

    The module has `check(device)`, which raises whatever keeps the kernels from being used there.
    """

    def __init__(self, module: str) -> None:
        self.name = module
        self.reasons: dict[torch.device, str | None] = {}

    @cached_property
    def module(self) -> Any:
        """Where the kernels are; ImportError without Triton."""
        return importlib.import_module(self.name)

    def unusable(self, device: torch.device) -> str | None:
        """Why they are not used on a CUDA device; None if they are.

        The first call compiles them and takes some seconds.
        """
        if device not in self.reasons:
            if torch.cuda.is_current_stream_capturing():
                return "a graph is being captured, which the trial would spoil"
            self.reasons[device] = self._tried(device)
        return self.reasons[device]

    def _tried(self, device: torch.device) -> str | None:
        try:
            kernels = self.module
        except ImportError as error:
            return f"no Triton: {error}"
        try:
            kernels.check(device)
        except Exception as error:  # no compiler, an old driver, a device that Triton does not know
            return f"{type(error).__name__}: {error}"
        return None
