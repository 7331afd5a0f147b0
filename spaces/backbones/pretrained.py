"""Pretrained weights for a plain backbone: from the hub's cache, the hub, or a local file.

timm contacts the hub before it reads the hub's cache, and without a network it retries for most of
a minute. Here a cached file is used without a request, and a hub whose name cannot be resolved is
reported at once.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from torch import nn

from ...errors import AttentuneError
from .timm_compat import import_timm

_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def pretrained_backbone(backbone: str, file: Path | None = None, **options: Any) -> nn.Module:
    """timm's model with pretrained weights.

    Args:
        backbone: a timm model.
        file: a local file with weights, instead of timm's published ones.
        **options: further arguments of `timm.create_model`.

    Raises:
        AttentuneError: there are no weights, they cannot be downloaded, or they do not fit.
    """
    if file is not None and not file.is_file():
        raise AttentuneError(f"there is no file of weights at {file}")
    source = file or _find_cached(backbone)
    if source is None:
        _require_hub(backbone)
    overlay = {"file": str(source)} if source else None
    try:
        model: nn.Module = import_timm().create_model(
            backbone, pretrained=True, pretrained_cfg_overlay=overlay, **options
        )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        subject = f"the weights in {file}" if file else f"the pretrained weights of {backbone}"
        raise AttentuneError(f"{subject} could not be loaded: {reason}") from error
    return model


def _pretrained_config(backbone: str) -> Any:
    """timm's description of the published weights."""
    config = import_timm().get_pretrained_cfg(backbone)
    if config is None or not config.has_weights:
        raise AttentuneError(f"timm publishes no weights for {backbone}; start from scratch")
    return config


def _find_cached(backbone: str) -> Path | None:
    """The file of the published weights in the hub's cache; None if there is none."""
    config = _pretrained_config(backbone)
    if not config.hf_hub_id or config.custom_load:
        return None
    from huggingface_hub import try_to_load_from_cache

    names = (config.hf_hub_filename,) if config.hf_hub_filename else _WEIGHT_FILES
    cached = (try_to_load_from_cache(config.hf_hub_id, name) for name in names)
    return next((Path(path) for path in cached if isinstance(path, str)), None)


def _require_hub(backbone: str) -> None:
    """Raise AttentuneError if the hub's name cannot be resolved; behind a proxy, do not check."""
    from huggingface_hub import constants

    if any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY")):
        return
    host = urlsplit(constants.ENDPOINT).hostname
    try:
        if constants.HF_HUB_OFFLINE or host is None:
            raise OSError("offline mode")
        socket.getaddrinfo(host, 443)
    except OSError:
        raise AttentuneError(
            f"the pretrained weights of {backbone} are not in the cache and the hub cannot be "
            f"reached; connect once, give a local file, or start from scratch"
        ) from None
