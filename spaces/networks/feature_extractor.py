"""Where the modules of a backbone are once timm has wrapped it as a feature extractor.

`features_only=True` makes timm build the plain network and put its modules into a wrapper: as they
are, with the first level of its sequences flattened (`layer1.0` becomes `layer1_0`), or whole,
under a name. They stay the same modules, so attention is hooked into them there; only their paths
are others, and what the features do not need (the head, the last norm) is gone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...errors import ArchitectureError
from ..backbones.sites import Anchor
from ..backbones.timm_compat import import_timm
from ..backbones.trace import NCHW, layout_of

_WRAPPED = ("{}", "model.{}", "body.{}")


def wanted(timm_kwargs: dict[str, Any]) -> bool:
    """Whether these arguments of timm ask for a feature extractor."""
    return bool(timm_kwargs.get("features_only"))


class Relocation:
    """From the plain network `backbone` to `model`, which may be its feature extractor."""

    def __init__(self, model: nn.Module, backbone: str, timm_kwargs: dict[str, Any]) -> None:
        self.model = model
        self.plain: nn.Module | None = None
        if wanted(timm_kwargs):
            with torch.device("meta"):
                self.plain = import_timm().create_model(backbone.partition(".")[0])

    def paths(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        """Where these modules are now, without those that are gone."""
        return tuple(found for path in paths if (found := self._find(path)) is not None)

    def anchor(self, anchor: Anchor) -> Anchor | None:
        """The same point of the network; None if it lies behind the last feature.

        ArchitectureError if attention there would miss the features: because it is hooked to what
        follows the last one, or because timm builds this part of an extractor in another way.
        """
        kind, *rest = anchor
        layout = [rest.pop()] if layout_of(anchor) != NCHW else []
        found = self.paths(tuple(rest))
        if len(found) < len(rest) and kind != "in":
            return None
        if len(found) < len(rest) or not all(map(self._same, rest, found)):
            raise ArchitectureError(
                f"attention at {rest[0]} cannot be put into a feature extractor of this backbone; "
                f"leave features_only out, or take another place"
            )
        return (kind, *found, *layout)

    def _same(self, path: str, found: str) -> bool:
        if self.plain is None:
            return True
        return type(self.plain.get_submodule(path)) is type(self.model.get_submodule(found))

    def _find(self, path: str) -> str | None:
        flat = path.replace(".", "_", 1)
        for candidate in [wrapped.format(p) for p in (path, flat) for wrapped in _WRAPPED]:
            try:
                self.model.get_submodule(candidate)
            except AttributeError:
                continue
            return candidate
        return None
