"""A network of one's own as a backbone: `my_module:make_model`, or `models/net.py:make_model`.

They name the function that makes it, and may stand wherever the name of a timm model is expected.
The network's stages, blocks and modules are discovered by running it
(`network_sites.find_own_sites`), in every process once.
"""

from __future__ import annotations

import contextlib
import copy
import inspect
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ...errors import BackboneError, UsageError
from ...named_objects import load_named_object
from .sites import ImageSize

if TYPE_CHECKING:
    from torch import nn

_NAME = r"[A-Za-z_]\w*(\.\w+)*"
_REFERENCE = re.compile(rf"({_NAME}|[\w.\-/]+\.py):{_NAME}", re.ASCII)

DEFAULT_SIZE_PIXELS = 224
"""Side of the images of a network of one's own, unless another is asked for."""

ANY_NUM_CLASSES = 2
"""Passed to a function that requires a number of classes where none is known: sites do not depend
on it."""


def is_own_backbone(name: str) -> bool:
    """Whether a backbone is a reference to a network of one's own, and no timm model."""
    return _REFERENCE.fullmatch(name) is not None and not name.startswith("hf_hub:")


def make_own_network(reference: str, **arguments: Any) -> nn.Module:
    """The network that a reference makes.

    Args:
        reference: `my_module:make_model` or `models/net.py:make_model`, a function or a class
            without required arguments; or a network, of which it is a copy.
        **arguments: those of them are passed that the function declares by name; those that are
            None are not.

    Raises:
        UsageError: it cannot be imported.
        BackboneError: it raises an exception, or returns no network.
    """
    # Imported here, because commands that start without torch import this module.
    from torch import nn

    from .timm_compat import import_timm

    import_timm()  # Where torchvision does not fit torch, the user's code could not import it.
    make = load_named_object(reference)
    if isinstance(make, nn.Module):
        return copy.deepcopy(make)
    if not callable(make):
        raise _no_network(reference, make)
    parameters: Mapping[str, inspect.Parameter] = {}
    with contextlib.suppress(ValueError):  # A function in C does not say.
        parameters = inspect.signature(make).parameters
    passed = {
        name: value for name, value in arguments.items() if name in parameters and value is not None
    }
    classes = parameters.get("num_classes")
    if classes is not None and classes.default is classes.empty:
        passed.setdefault("num_classes", ANY_NUM_CLASSES)
    try:
        model = make(**passed)
    except Exception as error:
        raise BackboneError(
            f"{reference} raised {type(error).__name__}: {str(error).strip() or 'no message'}"
        ) from error
    if not isinstance(model, nn.Module):
        raise _no_network(reference, model)
    return model


def _no_network(reference: str, value: object) -> BackboneError:
    return BackboneError(
        f"{reference} is no network and returns none, but a {type(value).__name__}; name a "
        "function that returns a torch.nn.Module"
    )


def check_own_stem(backbone: str, stem: str) -> None:
    """Raise UsageError if the stem of a network of one's own should be changed."""
    if stem != "native":
        raise UsageError(
            f"--stem {stem} changes timm's backbones, and {backbone} is a network of your own; "
            "leave it out"
        )


def square_side(image_size: ImageSize | None, backbone: str) -> int | None:
    """The side of the images of a timm backbone, in pixels; UsageError unless they are square."""
    if not isinstance(image_size, tuple):
        return image_size
    height, width = image_size
    if height != width:
        raise UsageError(
            f"images of {height}×{width} are for networks of your own; {backbone} takes square ones"
        )
    return height
