"""The input of an exported model: its preprocessing, applied to images and files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ...errors import DataError
from ...runners.data.image_limits import DEFAULT_LIMITS, ImageLimits
from ...runners.data.images import describe_error, open_image
from ...runners.data.preprocessing import Array, Preprocessing
from ...sanitize import clean_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor


def read_preprocessing(facts: Mapping[str, Any]) -> tuple[Preprocessing, bool]:
    """The preprocessing of an export, and whether `architecture.json` states all of it.

    Earlier versions stored the size and the normalisation alone. They knew one preprocessing, whose
    other figures are the defaults.

    Raises:
        KeyError, TypeError, ValueError: the facts are not those of an export.
    """
    if "preprocessing" in facts:
        return Preprocessing.from_json(facts["preprocessing"]), True
    known = {name: facts[name] for name in ("image_size", "mean", "std")}
    return Preprocessing.from_json(known), False


def input_maker(
    preprocessing: Preprocessing, limits: ImageLimits
) -> Callable[[Image.Image | Array | str | Path], Tensor]:
    """The function `preprocess` of an exported model; it can be pickled."""
    return partial(make_input, preprocessing, limits=limits)


def make_input(
    preprocessing: Preprocessing,
    image: Image.Image | Array | str | Path,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> Tensor:
    """A normalised image, float32 (C, S, S).

    Args:
        preprocessing: that of the model.
        image: a file, an image of any mode and size as `PIL.Image.open` returns it, or an array
            (H, W) or (H, W, C).
        limits: how large a file may be.

    Raises:
        DataError: the file cannot be read or decoded.
    """
    import torch

    if isinstance(image, Image.Image | np.ndarray):
        return torch.from_numpy(preprocessing.normalise(image))
    path = Path(image)
    try:
        with open_image(path, limits) as opened:
            return torch.from_numpy(preprocessing.normalise(opened))
    except OSError as error:
        reason = error.strerror or describe_error(error)
    except Exception as error:  # Decoders raise anything on damaged input.
        reason = describe_error(error)
    raise DataError(f"{clean_text(str(path))} cannot be read ({clean_text(reason, 200)})")
