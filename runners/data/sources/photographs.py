"""Whether a data source shows photographs, on which weights from ImageNet are a good start.

Handwriting, symbols and other line drawings are not: networks for them train from random weights
just as well. A source is not one of photographs if it is embedded, if its name says so (MNIST), or
if a sample of its images is grey and either tiny or mostly of one value, as ink on paper is.
"""

from __future__ import annotations

import numpy as np

from ...recipe import RGB_CHANNELS
from ..dataset import Images
from ..preprocessing import Preprocessing
from .embedded import EMBEDDED
from .resolve import open_source
from .source import DEFAULT_OPTIONS, DataSource, SourceOptions
from .timm_source import TimmSource

DRAWING_WORDS = ("mnist", "digit", "omniglot", "letters", "usps", "quickdraw", "emnist")
"""Parts of the names of well-known sets of handwriting and drawings."""
MAX_SAMPLED_IMAGES = 32
SAMPLE_SIZE_PIXELS = 32
MAX_TINY_PIXELS = 32
"""Grey images of at most this side are taken for symbols."""
MIN_GROUND_SHARE = 0.5
"""The share of the pixels of grey drawings that have the value of the ground."""
MIN_GREY_SHARE = 0.9
"""The share of the sample that has to be grey."""


def why_no_photographs(spec: str, options: SourceOptions = DEFAULT_OPTIONS) -> str | None:
    """Why the images of a source are taken for something else than photographs; None if not.

    Args:
        spec: the text of `--data`.
        options: how the source is read.

    Raises:
        DataError: the source cannot be read.
    """
    if spec in EMBEDDED:
        return f"{spec} is no set of photographs"
    source = open_source(spec, options)
    if any(word in source.name.lower() for word in DRAWING_WORDS):
        return f"{source.name} is no set of photographs, to judge by its name"
    channels = source.count_channels()
    if channels not in (None, 1, RGB_CHANNELS):
        return f"the images of {source.name} have {channels} channels"
    # timm's sets may be streams, of which a sample takes a whole pass.
    if isinstance(source, TimmSource):
        return None
    if _look_like_drawings(_read_sample(source), source.native_size):
        return f"the images of {source.name} look like drawings or symbols, not like photographs"
    return None


def _read_sample(source: DataSource) -> list[Images]:
    """Some training images; those that cannot be decoded are left out."""
    count = len(source.read_labels()["train"])
    rows = np.unique(np.linspace(0, count - 1, min(count, MAX_SAMPLED_IMAGES)).astype(np.int64))
    preprocessing = Preprocessing(SAMPLE_SIZE_PIXELS, interpolation="nearest")
    images = (image for _, image in source.read_images("train", rows, preprocessing))
    return [image for image in images if isinstance(image, np.ndarray)]


def _look_like_drawings(images: list[Images], native_size: int) -> bool:
    """Whether images (S, S, 3) look like ink on paper."""
    grey = [image[..., 0] for image in images if (image == image[..., :1]).all()]
    if not images or len(grey) < MIN_GREY_SHARE * len(images):
        return False
    if native_size <= MAX_TINY_PIXELS:
        return True
    shares = [np.bincount(image.ravel(), minlength=256).max() / image.size for image in grey]
    return float(np.median(shares)) >= MIN_GROUND_SHARE
