"""predict: the classes of images, by an exported model."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ...interrupts import defer_interrupts
from ...sanitize import clean_text
from ..setup.units import parse_whole
from .shared import Json, err, print_json, print_line, print_note

if TYPE_CHECKING:
    from ...studies.outputs.predict import ImagePrediction

MAX_SHOWN_CLASSES = 3


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(predict)


def predict(
    model: Annotated[Path, typer.Argument(help="Folder of `attentune export`.")],
    images: Annotated[list[Path], typer.Argument(help="Images, and folders of images.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    max_pixels: Annotated[
        str | None,
        typer.Option(help="Maximum number of pixels of an image, e.g. 200M. Default: 90M."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Predict the classes of images with an exported model, and their probabilities."""
    with defer_interrupts():
        from ...runners.devices import resolve_device
        from ...studies.outputs.exported_model import load
        from ...studies.outputs.predict import UnpredictedImage, list_images, predict_images

    files, remarks = list_images(images)
    for remark in remarks:
        print_note(remark)
    with warnings.catch_warnings(record=True) as assumptions:
        warnings.simplefilter("always", UserWarning)
        network = load(model, max_pixels=None if max_pixels is None else parse_whole(max_pixels))
    for assumption in assumptions:
        if issubclass(assumption.category, UserWarning):
            print_note(str(assumption.message))
    results = []
    for result in predict_images(network, files, resolve_device(device)):
        results.append(result)
        if isinstance(result, UnpredictedImage):
            err.print(f"Error: {result.error}", markup=False, highlight=False, soft_wrap=True)
        elif not as_json:
            print_line(_describe(result))
    if as_json:
        print_json([result.to_json() for result in results])
    if any(isinstance(result, UnpredictedImage) for result in results):
        raise typer.Exit(1)


def _describe(prediction: ImagePrediction) -> str:
    """One line: the file and the most probable classes."""
    likely = list(prediction.probabilities.items())[:MAX_SHOWN_CLASSES]
    classes = ", ".join(f"{name} {100 * probability:.1f} %" for name, probability in likely)
    return f"{clean_text(str(prediction.file))}: {classes}"
