"""Import timm, and look up facts about its models. All other code imports timm by `import_timm`.

torchvision's wheel on PyPI is built for CUDA. With a CPU build of torch its compiled operators
cannot be loaded, and importing it, and thereby timm, fails with `operator torchvision::nms does not
exist`. timm uses none of those operators. Therefore, on exactly this error, their two schemas are
declared and the import is tried again. Detectors that are trained in the same process need `nms`,
so its Python function is replaced. Where the import works, nothing is changed.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from functools import cache
from pathlib import Path
from typing import Any

from ...errors import BackboneError, did_you_mean
from ...interrupts import defer_interrupts
from ..attentions.plugins.environment import import_modules
from .overlapping_boxes import suppress_overlapping_boxes

_MISSING_OPERATOR_MESSAGE = "operator torchvision::nms does not exist"
_NMS_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@cache
def import_timm() -> Any:
    """The module timm, with attentune's own backbones (`resnet6.py`) among its models."""
    with defer_interrupts():
        timm = _import_timm()
        importlib.import_module(".resnet6", __package__)  # Registers attentune's own backbones.
        return timm


def _import_timm() -> Any:
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if str(error) != _MISSING_OPERATOR_MESSAGE:
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        _declare_operators()
        torchvision = importlib.import_module("torchvision")
        torchvision.ops.nms = torchvision.ops.boxes.nms = suppress_overlapping_boxes
    except ImportError:
        pass  # Importing timm then raises an error that names what is missing.
    return importlib.import_module("timm")


@cache
def _declare_operators() -> Any:
    # The cache keeps the library alive, because its declarations are deleted with it.
    from torch.library import Library

    library = Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(name + _NMS_SCHEMA)  # type: ignore[no-untyped-call]
    return library


@cache
def backbone_names() -> tuple[str, ...]:
    """Every model name that timm knows, sorted, without tags of pretrained weights."""
    return tuple(sorted(import_timm().list_models()))


def check_backbone(name: str) -> None:
    """Raise BackboneError unless timm knows `name`, which may carry a tag (`resnet50.a1_in1k`).

    A module of ATTENTUNE_PLUGINS may have registered it with timm.
    """
    timm = import_timm()
    model, _, tag = name.partition(".")
    if not (timm.is_model(model) or (import_modules() and timm.is_model(model))):
        hint = did_you_mean(model, backbone_names())
        raise BackboneError(f"timm has no model {model!r}{hint.rstrip('.')}")
    if not tag:
        return
    tags = [full_name.partition(".")[2] for full_name in timm.list_pretrained(f"{model}.*")]
    if tag not in tags:
        if not tags:
            raise BackboneError(
                f"timm has no pretrained weights for {model}; write {model!r} alone"
            )
        hint = did_you_mean(tag, tags)
        raise BackboneError(f"timm has no pretrained weights {tag!r} for {model}{hint}")


def source_version(name: str) -> str:
    """The version of a backbone's code: timm's, and a digest of the file of a user's own model."""
    timm = import_timm()
    version = str(timm.__version__)
    module = sys.modules[timm.model_entrypoint(name.partition(".")[0]).__module__]
    if module.__name__.partition(".")[0] == "timm" or not module.__file__:
        return version
    return f"{version} {hashlib.sha256(Path(module.__file__).read_bytes()).hexdigest()}"


def native_size(name: str) -> int:
    """Side in pixels of the images that the backbone is made for; 224 if timm does not say."""
    config = import_timm().get_pretrained_cfg(name)
    return int(config.input_size[-1]) if config is not None and config.input_size else 224


def has_fixed_size(name: str) -> bool:
    """Whether weights or masks of the backbone depend on the size of the map (Swin, MaxViT)."""
    config = import_timm().get_pretrained_cfg(name)
    return config is not None and bool(config.fixed_input_size)


def size_options(name: str, image_size: int) -> dict[str, int]:
    """Arguments for `timm.create_model` that build the backbone for images of `image_size` pixels.

    Empty for backbones that run on images of any size.
    """
    differs = has_fixed_size(name) and image_size != native_size(name)
    return {"img_size": image_size} if differs else {}
