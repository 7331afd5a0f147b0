"""The preprocessing of images in words."""

from __future__ import annotations

from ...runners.data.preprocessing import WHITE, Preprocessing

_FITS = {
    "crop": "the central square",
    "pad": "the whole image on a square",
    "squash": "the whole image, squashed to a square",
}


def describe_preprocessing(preprocessing: Preprocessing) -> str:
    """What becomes of an image, as a sentence without its full stop."""
    size = preprocessing.image_size
    resized = (
        f"{_FITS[preprocessing.fit]} is resized to {size}×{size} pixels "
        f"({preprocessing.interpolation})"
    )
    if not preprocessing.reads_image_files:
        return (
            f"images are arrays of {preprocessing.channels} channels, "
            f"{_describe_values(preprocessing)}, and {resized}"
        )
    if preprocessing.channels == 1:
        resized += " in grey"
    background = preprocessing.background
    ground = "white" if background == WHITE else "rgb({}, {}, {})".format(*background)
    return (
        "images are turned upright by their EXIF data, transparent ones are put on "
        f"{ground}, {_describe_values(preprocessing)}, and {resized}"
    )


def _describe_values(preprocessing: Preprocessing) -> str:
    if preprocessing.value_range is None:
        return "values of more than 8 bits are scaled by the range that each image implies"
    low, high = preprocessing.value_range
    return f"values of more than 8 bits are scaled from {low:,g} to {high:,g}"
