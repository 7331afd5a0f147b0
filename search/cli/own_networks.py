"""Networks of the user's own that a command names by a function, and their input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...errors import UsageError
from ..setup.units import QuantityError, parse_shape

if TYPE_CHECKING:
    from torch import Tensor

_DEFAULT_SHAPE = "3x224x224"


def read_shape(input_shape: str | None) -> tuple[int, int, int]:
    """Channels, height and width of an image: `3x640x640`; None: those of most networks.

    Raises:
        UsageError: the text is no shape.
    """
    try:
        return parse_shape(input_shape or _DEFAULT_SHAPE)
    except QuantityError as error:
        raise UsageError(f"--input: {error}") from None


def example_images(input_shape: str | None) -> Tensor:
    """One image of zeros (1, C, H, W); see `read_shape`."""
    import torch

    return torch.zeros(1, *read_shape(input_shape))
