"""Pretrained weights for a plain backbone: from the hub's cache, the hub, or a local file.

timm contacts the hub before it reads the hub's cache, and without a network it retries for most of
a minute. Here a cached file is used without a request, and a hub that does not respond is reported
after a few seconds.
"""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from torch import nn

from ...errors import AttentuneError
from .timm_compat import import_timm
from .weights_file import load_weights_file

Channels = tuple[float, float, float]

MAX_HUB_SECONDS = 5.0
"""How long the hub may take to respond, before it counts as out of reach."""
FEATURE_ARGUMENTS = ("features_only", "out_indices", "feature_cls")
"""Arguments of `timm.create_model` that make a feature extractor of a network."""
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
    if file is not None:
        return _backbone_from_file(backbone, file, options)
    source = _find_cached(backbone)
    if source is None:
        _require_hub(backbone)
    overlay = {"file": str(source)} if source else None
    try:
        model: nn.Module = import_timm().create_model(
            backbone, pretrained=True, pretrained_cfg_overlay=overlay, **options
        )
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise AttentuneError(
            f"the pretrained weights of {backbone} could not be loaded: {reason}"
        ) from error
    return model


def _backbone_from_file(backbone: str, file: Path, options: dict[str, Any]) -> nn.Module:
    """timm's model with the weights of a file."""
    create_model = import_timm().create_model
    plain = {name: value for name, value in options.items() if name not in FEATURE_ARGUMENTS}
    model: nn.Module = create_model(backbone, **plain)
    load_weights_file(model, file)
    if plain != options:  # A feature extractor: timm takes from a whole state what it needs.
        state = {"state_dict": model.state_dict()}
        model = create_model(backbone, pretrained=True, pretrained_cfg_overlay=state, **options)
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


def why_no_published_weights(backbone: str, *, probe_hub: bool = True) -> str | None:
    """Why timm's weights of a backbone cannot be had here; None if they can.

    Args:
        backbone: a timm model.
        probe_hub: whether the hub is asked if the weights are not in its cache, for which it has
            `MAX_HUB_SECONDS`.
    """
    try:
        if _find_cached(backbone) is None and probe_hub:
            _require_hub(backbone)
    except AttentuneError as error:
        return str(error)
    return None


def published_preprocessing(backbone: str) -> tuple[Channels, Channels, str] | None:
    """Mean, deviation (for values from 0 to 1) and interpolation with which timm's weights of a
    backbone were trained; None if timm does not say."""
    config = import_timm().get_pretrained_cfg(backbone)
    if config is None or len(config.mean or ()) != 3 or len(config.std or ()) != 3:
        return None
    mean, std = (tuple(map(float, values)) for values in (config.mean, config.std))
    interpolation = config.interpolation
    known = interpolation in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
    return mean, std, interpolation if known else "bicubic"  # type: ignore[return-value]


def _require_hub(backbone: str) -> None:
    """Raise AttentuneError if the hub does not respond within `MAX_HUB_SECONDS`."""
    reached: list[bool] = []
    # Resolving a name cannot be interrupted, and takes up to a minute where packets are dropped.
    probe = threading.Thread(target=lambda: reached.append(_reaches_hub()), daemon=True)
    probe.start()
    probe.join(MAX_HUB_SECONDS)
    if not any(reached):
        raise AttentuneError(
            f"the pretrained weights of {backbone} are not in the cache and the hub cannot be "
            f"reached; connect once, give a local file, or start from scratch"
        )


def _reaches_hub() -> bool:
    from huggingface_hub import constants, get_session

    host = urlsplit(constants.ENDPOINT).hostname
    if constants.HF_HUB_OFFLINE or host is None:
        return False
    has_proxy = any(os.environ.get(name) for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"))
    try:
        if not has_proxy:  # A name that does not resolve is the usual case, and known at once.
            socket.getaddrinfo(host, 443)
        get_session().head(constants.ENDPOINT, timeout=MAX_HUB_SECONDS)
    except Exception:  # The libraries for HTTP have exceptions of their own.
        return False
    return True
