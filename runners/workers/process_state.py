"""What code of a user may change in a process, so that later trials would be trained differently.

A worker runs many trials. The code of a user's attention could change torch's default type, its
number of threads or one of its functions, and every later trial of that worker would have other
results without a word. `ProcessState` finds such changes and undoes them.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...errors import AttentionError
from ...spaces.architecture import Architecture
from ...spaces.attentions.catalogue import ATTENTIONS

_MISSING = object()


@dataclass(frozen=True)
class _Setting:
    """A setting of a process: how to read and how to write it.

    A change of one that is `harmless` decides nothing about the results of the trial that made it.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    harmless: bool = False


def _attribute(owner: Any, name: str, shown: str) -> _Setting:
    return _Setting(shown, lambda: getattr(owner, name), lambda value: setattr(owner, name, value))


def _write_deterministic(value: tuple[bool, bool]) -> None:
    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _write_environment(value: dict[str, str]) -> None:
    os.environ.clear()
    os.environ.update(value)


_SETTINGS = (
    _Setting("torch's default type", torch.get_default_dtype, torch.set_default_dtype),
    _Setting("torch's default device", torch.get_default_device, torch.set_default_device),
    _Setting("whether torch computes gradients", torch.is_grad_enabled, torch.set_grad_enabled),
    _Setting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
    _Setting(
        "torch's deterministic algorithms",
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        _write_deterministic,
    ),
    _Setting(
        "torch's precision of matrix products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    ),
    _Setting(
        "torch's detection of anomalies",
        torch.is_anomaly_enabled,
        torch.autograd.set_detect_anomaly,
    ),
    *(
        _attribute(torch.backends.cudnn, name, f"torch.backends.cudnn.{name}")
        for name in ("enabled", "benchmark", "deterministic", "allow_tf32")
    ),
    _attribute(torch.backends.cuda.matmul, "allow_tf32", "torch.backends.cuda.matmul.allow_tf32"),
    _Setting("the working directory", Path.cwd, os.chdir, harmless=True),
    _Setting("environment variables", lambda: dict(os.environ), _write_environment, harmless=True),
    _Setting(
        "the handling of SIGTERM",
        lambda: signal.getsignal(signal.SIGTERM),
        lambda handler: signal.signal(signal.SIGTERM, handler),
        harmless=True,
    ),
)


@contextmanager
def restored_settings() -> Iterator[None]:
    """Restore afterwards what code inside the context changes in the settings of this process.

    Environment variables stay, because modules set some when they are imported, which is only once.
    """
    settings = [setting for setting in _SETTINGS if setting.name != "environment variables"]
    before = [setting.read() for setting in settings]
    try:
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            if setting.read() != value:
                setting.write(value)


def _owners_of_functions() -> Iterator[tuple[str, Any]]:
    """What holds the functions that networks and their training consist of, with its name."""
    yield from (
        ("torch", torch),
        ("torch.nn.functional", nn.functional),
        ("torch.Tensor", torch.Tensor),
        ("torch.optim.Optimizer", torch.optim.Optimizer),
    )
    for name, value in vars(nn).items():
        if isinstance(value, type):
            yield f"torch.nn.{name}", value


@dataclass(frozen=True)
class ProcessState:
    """Settings and functions of a process at one time; made by `capture`."""

    settings: tuple[Any, ...]
    functions: tuple[dict[str, Any], ...]
    names: tuple[frozenset[str], ...]
    threads: frozenset[int | None]

    @classmethod
    def capture(cls) -> ProcessState:
        """The state now."""
        return cls(
            tuple(setting.read() for setting in _SETTINGS),
            tuple(
                {name: value for name, value in vars(owner).items() if callable(value)}
                for _, owner in _owners_of_functions()
            ),
            tuple(frozenset(vars(owner)) for _, owner in _owners_of_functions()),
            frozenset(thread.ident for thread in threading.enumerate()),
        )

    def restore(self) -> list[str]:
        """Undo all changes since then; returns those that change results, in words.

        A thread that has been started is named, but cannot be ended.
        """
        changes = []
        for setting, before in zip(_SETTINGS, self.settings, strict=True):
            if setting.read() != before:
                changes += [] if setting.harmless else [setting.name]
                setting.write(before)
        owners = _owners_of_functions()
        for (owner_name, owner), functions, names in zip(
            owners, self.functions, self.names, strict=True
        ):
            now = vars(owner)
            for name, function in functions.items():
                if now.get(name, _MISSING) is not function:
                    changes.append(f"{owner_name}.{name}")
                    with suppress(AttributeError, TypeError):
                        setattr(owner, name, function)
            for name in _overriding(owner, set(now) - names):
                changes.append(f"{owner_name}.{name}")
                delattr(owner, name)
        for thread in threading.enumerate():
            dummy = type(thread).__name__ == "_DummyThread"  # One of torch's, seen from Python.
            if thread.ident not in self.threads and not dummy:
                changes.append(f"the running threads (it leaves {thread.name!r} behind)")
        return changes


def _overriding(owner: Any, added: set[str]) -> list[str]:
    """The names, of those added to a class, that override something of a base class."""
    if not added or not isinstance(owner, type):
        return []
    return sorted(name for name in added if any(name in vars(base) for base in owner.__mro__[1:]))


@contextmanager
def refuse_changes(architecture: Architecture) -> Iterator[None]:
    """Undo what users' attentions change in this process inside the context.

    Raises:
        AttentionError: something was changed, so that the result of this trial, too, would be that
            of a changed backbone or training.
    """
    names = sorted({insertion.attention for insertion in architecture.insertions} - {*ATTENTIONS})
    if not names:
        yield
        return
    before = ProcessState.capture()
    try:
        yield
    finally:
        changes = before.restore()
    if changes:
        raise AttentionError(f"the attention {describe_changes(' or '.join(names), changes)}")


def describe_changes(subject: str, changes: list[str]) -> str:
    """What code has changed in its process, as a sentence."""
    more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
    return (
        f"{subject} changes {changes[0]}{more}, which would change other trials as well. "
        "Remove that from its code."
    )
