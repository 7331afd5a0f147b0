"""Find the attention of a network that is at fault, and check maps while a network runs.

An attention that returns a map of another shape may raise nothing: (1, C, H, W) or (N, C, 1, 1) is
broadcast by the addition that follows, and the network trains to some other result. What an
attention does for a real batch is only known when one arrives, so `check_maps` compares the maps
before and after every attention of a user while the network runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from ...errors import AttentionError
from ..attentions.plugins.factory import find_map_problem

_LABEL, _IS_PLUGIN = "attention_label", "attention_of_user"


def label_attention(module: nn.Module, label: str, *, of_user: bool) -> None:
    """Remember on a module which attention it is and where.

    Args:
        module: the attention.
        label: its name, options and site, as in `Placement.label`.
        of_user: whether its class is a user's, so that the maps that it returns are checked.
    """
    module.__dict__[_LABEL], module.__dict__[_IS_PLUGIN] = label, of_user


def labelled_attentions(model: nn.Module) -> list[nn.Module]:
    """The inserted attentions of a network."""
    return [module for module in model.modules() if _LABEL in module.__dict__]


def find_attention_at_fault(error: BaseException) -> str | None:
    """The label of the attention in whose code an exception was raised; None if in none."""
    label: str | None = None
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        owner = traceback.tb_frame.f_locals.get("self")
        if isinstance(owner, nn.Module):
            label = owner.__dict__.get(_LABEL, label)
        traceback = traceback.tb_next
    return label


@contextmanager
def check_maps(model: nn.Module, *, once: bool = False, finite: bool = False) -> Iterator[None]:
    """Inside the context, check what the attentions of users in `model` return.

    Args:
        model: a network of `build_network`.
        once: check each attention only the first time that it is called.
        finite: also require that a finite map remains finite, for which the host waits for the
            device.

    Raises:
        AttentionError: an attention returns another kind of map. The message begins with its label.
    """
    checked: set[int] | None = set() if once else None
    check = partial(_check_map, checked, finite)
    handles: list[RemovableHandle] = [
        module.register_forward_hook(check)
        for module in model.modules()
        if module.__dict__.get(_IS_PLUGIN)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _check_map(
    checked: set[int] | None, finite: bool, module: nn.Module, args: tuple[Any, ...], result: Any
) -> None:
    """A forward hook; `checked` holds the modules that need no further check."""
    if checked is not None:
        if id(module) in checked:
            return
        checked.add(id(module))
    x: Tensor = args[0]
    label = module.__dict__[_LABEL]
    problem = find_map_problem(x, result)
    if problem is not None:
        raise AttentionError(f"{label} {problem}")
    if finite and not bool(result.isfinite().all()) and bool(x.isfinite().all()):
        raise AttentionError(f"{label} returns NaN or infinity for a finite map {tuple(x.shape)}")
