"""Predict the classes of image files with an exported model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DataError
from ...runners.data.files.file_names import describe_left_out
from ...runners.data.files.folder_store import FolderStore
from ...sanitize import clean_text

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

IMAGES_PER_BATCH = 32


@dataclass(frozen=True)
class ImagePrediction:
    """What a model says of one image.

    Attributes:
        file: the image.
        probabilities: of each class by name, most probable first.
    """

    file: Path
    probabilities: dict[str, float]

    @property
    def class_name(self) -> str:
        """The most probable class."""
        return next(iter(self.probabilities))

    def to_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {
            "file": clean_text(str(self.file)),
            "class": self.class_name,
            "probability": self.probabilities[self.class_name],
            "probabilities": self.probabilities,
        }


@dataclass(frozen=True)
class UnpredictedImage:
    """An image that cannot be read, and a sentence that says why."""

    file: Path
    error: str

    def to_json(self) -> dict[str, Any]:
        """Plain types only."""
        return {"file": clean_text(str(self.file)), "error": self.error}


def list_images(paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """The images that paths name, and sentences on what is left out.

    Files are taken as they are; of folders, all images in them, sorted.

    Raises:
        DataError: a folder holds no images, or cannot be read.
    """
    files: list[Path] = []
    remarks: list[str] = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        store = FolderStore(path)
        left_out = describe_left_out(store.listing.left_out)
        if not store.names:
            raise DataError(
                f"{clean_text(str(path))} holds no images{f' ({left_out})' if left_out else ''}; "
                "name image files, or a folder of them"
            )
        if left_out:
            remarks.append(f"left out of {clean_text(str(path))}: {left_out}")
        files += [path / name for name in store.names]
    return files, remarks


def predict_images(
    model: nn.Module, files: Sequence[Path], device: torch.device
) -> Iterator[ImagePrediction | UnpredictedImage]:
    """What an exported model says of images, in their order.

    Args:
        model: of `exported_model.load`. It is moved to the device.
        files: the images.
        device: where the network runs.
    """
    import torch

    model.to(device)
    classes: list[str] = vars(model)["attentune"]["classes"]
    for start in range(0, len(files), IMAGES_PER_BATCH):
        batch = files[start : start + IMAGES_PER_BATCH]
        inputs = [_read_input(model, file) for file in batch]
        images = [image for image in inputs if not isinstance(image, UnpredictedImage)]
        rows: Iterator[list[float]] = iter(())
        if images:
            with torch.inference_mode():
                rows = iter(_compute_probabilities(model, torch.stack(images).to(device)).tolist())
        for file, image in zip(batch, inputs, strict=True):
            if isinstance(image, UnpredictedImage):
                yield image
            else:
                named = dict(zip(classes, next(rows), strict=True))
                descending = sorted(named.items(), key=lambda item: -item[1])
                yield ImagePrediction(file, dict(descending))


def _read_input(model: nn.Module, file: Path) -> Tensor | UnpredictedImage:
    preprocess: Any = vars(model)["preprocess"]
    try:
        image: Tensor = preprocess(file)
    except DataError as error:
        return UnpredictedImage(file, str(error))
    return image


def _compute_probabilities(model: nn.Module, images: Tensor) -> Tensor:
    """Probabilities (N, classes), averaged as the study averaged: over mirror images or not."""
    outputs: Tensor = model(images)
    if vars(model)["attentune"].get("recipe", {}).get("mirror"):
        outputs = (outputs + model(images.flip(3))) / 2
    return outputs.double().softmax(1).cpu()
