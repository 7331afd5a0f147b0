"""The layers of a backbone in timm's sense, and its head."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from torch import nn

from ...errors import BackboneError
from .timm_compat import import_timm


def count_layers_behind(model: Any, names: Iterable[str]) -> dict[str, int]:
    """The number of layers between each parameter and the output, by name; 0 for the head.

    The layers are the groups of the backbone's `group_matcher`: mostly a block each, with the stem
    before them and the head behind them.

    Args:
        model: a backbone of timm.
        names: the parameters to count for.

    Raises:
        BackboneError: the backbone does not say what its layers are.
    """
    if not hasattr(model, "group_matcher"):
        raise BackboneError(
            f"{type(model).__name__} has no `group_matcher`, which says what its layers are; leave "
            "out --layer-decay"
        )
    matcher = model.group_matcher(coarse=False)
    # timm reads nothing but the names of a module's parameters, so these stand for the module.
    named = SimpleNamespace(named_parameters=lambda: ((name, None) for name in names))
    layers: dict[str, int] = import_timm().models.group_parameters(named, matcher, reverse=True)
    last = max(layers.values(), default=0)
    return {name: last - layer for name, layer in layers.items()}


def find_head(model: Any) -> list[nn.Module]:
    """The layers whose outputs are the classes: one, or two of a distilled network; no parameters
    of theirs come from weights for other classes."""
    if not hasattr(model, "get_classifier"):
        return []
    head = model.get_classifier()
    modules = head if isinstance(head, tuple | list | nn.ModuleList) else [head]
    return [module for module in modules if isinstance(module, nn.Module)]
