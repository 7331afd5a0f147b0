"""Give an architecture a name that timm knows: `register`.

Libraries that take a timm model by its name (segmentation_models_pytorch as `tu-NAME`, for example)
then build the backbone with its attention.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from ...errors import UsageError
from ..architecture import Architecture
from ..backbones.stem import Stem
from ..backbones.timm_compat import import_timm
from .build import create_model
from .canonical import resolve_architecture
from .insertion_observer import current_observer

default_cfgs: dict[str, Any] = {}
"""What timm knows of the weights of each registered name, as in timm's own modules."""


def register(
    alias: str,
    architecture: str | Architecture,
    *,
    weights: str | Path | None = None,
    stem: Stem = "native",
    image_size: int | None = None,
    seed: int | None = None,
) -> None:
    """Let `timm.create_model(alias, …)` make the network of an architecture, in this process.

    Its arguments have their meaning in timm: `pretrained=True` loads the published weights of the
    backbone, and `features_only=True` gives a feature extractor. A name that was registered before
    is registered again.

    Args:
        alias: the name; letters, digits and underscores.
        architecture: the text, or a parsed `Architecture`.
        weights: a local file with weights of the plain backbone, which is loaded in any case.
        stem: as in `create_model`.
        image_size: as in `create_model`.
        seed: as in `create_model`.

    Raises:
        UsageError: timm has a model of that name, or cannot have one.
        ArchitectureError: the text is wrong, or names a site that this backbone does not have.
        BackboneError: timm does not know the backbone, or it has no sites for attention.
    """
    timm = import_timm()
    if not re.fullmatch(r"[A-Za-z_]\w*", alias, re.ASCII):
        raise UsageError(
            f"{alias!r} cannot be the name of a timm model; use letters, digits and underscores"
        )
    if timm.is_model(alias) and timm.model_entrypoint(alias).__module__ != __name__:
        raise UsageError(f"timm has a model {alias!r} already; choose another name")
    resolved, _ = resolve_architecture(architecture, image_size=image_size, stem=stem)
    options = {"weights": weights, "stem": stem, "image_size": image_size, "seed": seed}
    config = timm.get_pretrained_cfg(resolved.backbone)
    if config is not None:
        default_cfgs[alias] = config.to_dict()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Overwriting", category=UserWarning)
        timm.models.register_model(_entrypoint(alias, resolved, options))
    if not resolved.bare and (observer := current_observer()):
        observer.on_register(alias)


def _entrypoint(
    alias: str, architecture: Architecture, options: dict[str, Any]
) -> Callable[..., nn.Module]:
    """The function that timm calls to make the model."""

    def entrypoint(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        arguments = {name: value for name, value in kwargs.items() if value is not None}
        return create_model(architecture, pretrained=pretrained, **{**options, **arguments})

    entrypoint.__name__ = entrypoint.__qualname__ = alias
    entrypoint.__module__ = __name__
    return entrypoint
