"""Networks of the user's own that a command names by a function, and their input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from ...errors import UsageError
from ...named_objects import load_named_object

if TYPE_CHECKING:
    from torch import Tensor, nn

_DEFAULT_SHAPE = "3x224x224"


def make_network(reference: str) -> nn.Module:
    """The network that a function makes.

    Args:
        reference: the function, or the network, such as `my_module:make_model`.

    Raises:
        UsageError: it cannot be imported, raises, or returns no network.
    """
    import torch

    make = load_named_object(reference)
    try:
        model = make() if callable(make) and not isinstance(make, torch.nn.Module) else make
    except Exception as error:
        raise UsageError(f"{reference} raised {type(error).__name__}: {error}") from error
    if not isinstance(model, torch.nn.Module):
        raise UsageError(
            f"{reference} is no network and returns none, but a {type(model).__name__}; name a "
            "function that returns a torch.nn.Module"
        )
    return model


def example_images(input_shape: str | None) -> Tensor:
    """One image of zeros (1, C, H, W).

    Args:
        input_shape: `3x640x640`; None: that of most networks.

    Raises:
        UsageError: the text is no shape.
    """
    import torch

    shape = re.fullmatch(r"(\d{1,5})x(\d{1,5})x(\d{1,5})", input_shape or _DEFAULT_SHAPE)
    if shape is None or "0" in shape.groups():
        raise UsageError(f"--input {input_shape} is no shape; write for example 3x640x640")
    return torch.zeros(1, *map(int, shape.groups()))
