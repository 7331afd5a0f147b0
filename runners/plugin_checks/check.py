"""Try a user's attention at a site: what it costs there, and whether it does what it has to.

An attention can do anything: raise for a map of one size only, return another shape for a large
batch, change a setting of torch. `check_use` runs in a process of its own; see `checker.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import AttentionError, AttentuneError
from ...sanitize import clean_error
from ...spaces.attentions.entry import Attention
from ...spaces.attentions.plugins.factory import find_map_problem
from ...spaces.attentions.plugins.register import REMEDY
from ...spaces.attentions.registry import get_attention, is_available
from ..costs import AttentionUse, count_macs
from ..results import Costs
from ..workers.process_state import ProcessState, describe_changes

REAL_IMAGES = 2
"""Images of the batch with which an attention computes on its real map."""
EVALUATION_IMAGES = 500
"""Images of a batch in evaluation. For it, and for one of training, only the shape is checked."""


class PluginChecks:
    """The checks of one process, which has imported no attention of a user before."""

    def __init__(self) -> None:
        self._broken: dict[str, str] = {}
        self._imported: set[str] = set()

    def check_use(self, use: AttentionUse) -> Costs:
        """Parameters and MACs of an attention at a site.

        Raises:
            AttentionError: it cannot be used there.
        """
        if use.name not in self._imported:
            self._imported.add(use.name)
            try:
                with _unchanged_process("importing it"), _named_failures("importing it"):
                    _import_attention(use.name)
            except AttentionError as error:
                self._broken[use.name] = str(error)
        if use.name in self._broken:
            raise AttentionError(self._broken[use.name])
        with _unchanged_process("it"), torch.random.fork_rng(devices=[]):
            return _check_use(get_attention(use.name), use)


def _import_attention(name: str) -> Attention:
    if not is_available(name):
        raise AttentionError(f"worker processes do not know the attention {name!r}; {REMEDY}.")
    return get_attention(name)


@contextmanager
def _unchanged_process(subject: str) -> Iterator[None]:
    """Undo what changes inside the context; AttentionError if anything does."""
    before = ProcessState.capture()
    try:
        yield
    finally:
        changes = before.restore()
    if changes:
        raise AttentionError(describe_changes(subject, changes))


@contextmanager
def _named_failures(subject: str) -> Iterator[None]:
    """Turn an exception into an AttentionError that says what raised it."""
    try:
        yield
    except AttentuneError as error:
        raise AttentionError(clean_error(error)) from error
    except (Exception, SystemExit) as error:
        cause = f"{type(error).__name__}: {clean_error(error)}"
        raise AttentionError(f"{subject} raises {cause}") from error


def _check_use(entry: Attention, use: AttentionUse) -> Costs:
    with _named_failures("its number of parameters"):
        parameters: Any = entry.parameters(use.channels, dict(use.settings), use.size)
    if type(parameters) is not int or parameters < 0:
        raise AttentionError(f"its number of parameters is {parameters!r:.80}, no whole number")
    modules = []
    for _ in range(2):  # A second one, in case that the number depends on more than the options.
        with _named_failures("making it"):
            modules.append(entry.load()(use.channels, **use.arguments))
        count = sum(p.numel() for p in modules[-1].parameters())
        if count != parameters:
            raise AttentionError(
                f"it has {count:,} parameters where {parameters:,} were counted before; the number "
                "may depend on nothing but its options and the map"
            )
    module = modules[0]
    _check_real_map(module, use)
    return Costs(parameters, _check_without_values(module, use))


def _check_real_map(module: nn.Module, use: AttentionUse) -> None:
    """Compute on a map of the real size: forward and backward in training, and in evaluation."""
    shape = (REAL_IMAGES, use.channels, *use.size)
    for training in (True, False):
        copied = copy.deepcopy(module).train(training)
        x = torch.rand(shape, requires_grad=training)
        before = x.detach().clone()
        with _named_failures(f"on a map of {use.shown} it"):
            result = copied(x * 1.0)  # As in a network, its input is the result of an operator.
        _require_map(before, result, use)
        if not bool(result.isfinite().all()):
            raise AttentionError(f"it returns NaN or infinity on a map of {use.shown}")
        if training:
            with _named_failures(f"on a map of {use.shown} its gradient"):
                if result.requires_grad:
                    result.float().sum().backward()


def _check_without_values(module: nn.Module, use: AttentionUse) -> int:
    """MACs for one image; and the shapes for large batches, which take no memory on torch's meta
    device. If the attention does not work there, MACs are counted on real maps."""
    try:
        macs = count_macs(_on_meta(module), torch.zeros(1, use.channels, *use.size, device="meta"))
    except (Exception, SystemExit):  # It reads the values of tensors, which are not there.
        with _named_failures(f"on a map of {use.shown} it"):
            copied = copy.deepcopy(module)
            return count_macs(copied, torch.zeros(1, use.channels, *use.size))
    for training, images in ((True, use.batch_size), (False, EVALUATION_IMAGES)):
        x = torch.zeros(images, use.channels, *use.size, device="meta")
        with torch.no_grad(), _named_failures(f"on {images} maps of {use.shown} it"):
            result = _on_meta(module).train(training)(x)
        _require_map(x, result, use)
    return macs


def _on_meta(module: nn.Module) -> nn.Module:
    """A copy of a module as it was made, on the device without values."""
    return copy.deepcopy(module).to("meta")


def _require_map(x: Tensor, result: Any, use: AttentionUse) -> None:
    problem = find_map_problem(x, result)
    if problem is not None:
        raise AttentionError(f"on a map of {use.shown} it {problem}")
