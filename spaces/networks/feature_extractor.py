"""Locate the modules of a backbone after timm has wrapped it as a feature extractor.

With `features_only=True` timm builds the plain network and moves its modules into a wrapper. They
keep their names, or the first level of nesting is flattened (`layer1.0` becomes `layer1_0`), or the
whole network becomes one child of the wrapper. The modules are the same objects, so attention can
be inserted at them; only their paths differ, and modules that the features do not need (the head,
the last norm) are missing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...errors import ArchitectureError
from ..backbones.sites import Anchor
from ..backbones.timm_compat import import_timm
from ..backbones.trace import NCHW, layout_of
from .attended_module import unwrapped

_WRAPPED_PATHS = ("{}", "model.{}", "body.{}")


def requests_features(timm_kwargs: dict[str, Any]) -> bool:
    """Whether these arguments of `timm.create_model` ask for a feature extractor."""
    return bool(timm_kwargs.get("features_only"))


class ModuleLocator:
    """Finds modules of a plain backbone in `model`, which may be its feature extractor.

    Args:
        model: the network that timm made.
        backbone: its name in timm.
        timm_kwargs: the further arguments of `timm.create_model` that it was made with.
    """

    def __init__(
        self, model: nn.Module, backbone: str, timm_kwargs: dict[str, Any] | None = None
    ) -> None:
        self.model = model
        self.plain: nn.Module | None = None
        if requests_features(timm_kwargs or {}):
            with torch.device("meta"):
                self.plain = import_timm().create_model(backbone.partition(".")[0])

    def find_paths(self, paths: tuple[str, ...]) -> tuple[str, ...]:
        """The paths of these modules in `model`; modules that it does not have are left out."""
        candidates = map(self._find_path, paths)
        return tuple(path for path in candidates if path is not None)

    def find_anchor(self, anchor: Anchor) -> Anchor | None:
        """The same point in `model`; None if it is behind the last feature.

        Raises:
            ArchitectureError: an attention there would not affect the features, because it
                belongs to a module behind the last one, or because timm builds this part of a
                feature extractor differently.
        """
        kind, *plain_paths = anchor
        layout = [plain_paths.pop()] if layout_of(anchor) != NCHW else []
        paths = self.find_paths(tuple(plain_paths))
        if len(paths) < len(plain_paths) and kind != "in":
            return None
        if len(paths) < len(plain_paths) or not all(map(self._same_class, plain_paths, paths)):
            raise ArchitectureError(
                f"attention at {plain_paths[0]} cannot be inserted into a feature extractor of "
                "this backbone; leave features_only out, or choose another position"
            )
        return (kind, *paths, *layout)

    def _same_class(self, plain_path: str, path: str) -> bool:
        if self.plain is None:
            return True
        module = unwrapped(self.model.get_submodule(path))
        return type(self.plain.get_submodule(plain_path)) is type(module)

    def _find_path(self, plain_path: str) -> str | None:
        flat = plain_path.replace(".", "_", 1)
        for candidate in [
            wrapped.format(path) for path in (plain_path, flat) for wrapped in _WRAPPED_PATHS
        ]:
            try:
                self.model.get_submodule(candidate)
            except AttributeError:
                continue
            return candidate
        return None
