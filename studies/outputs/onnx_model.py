"""Write an exported model as an ONNX file, which onnxruntime runs without torch or attentune.

The figures of the preprocessing are in the file's metadata, one key each as JSON, beside the
`classes`. Together they make a `Preprocessing`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ...errors import StoreError, UsageError
from ...sanitize import clean_error

if TYPE_CHECKING:
    from torch import Tensor

ONNX_FILE = "model.onnx"
INPUT, OUTPUT = "images", "logits"
_PACKAGES = ("onnx", "onnxruntime", "onnxscript")
_TRACED_IMAGES, _CHECKED_IMAGES = 2, 3
_RELATIVE_TOLERANCE = 1e-3
"""Of the largest output, the difference that onnxruntime may make."""


class MirrorAverage(nn.Module):
    """The mean of a network's outputs for images (N, C, S, S) and for their mirror images."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """The logits (N, classes)."""
        averaged: Tensor = (self.model(images) + self.model(images.flip(3))) / 2
        return averaged


def check_onnx_is_installed() -> None:
    """Raise UsageError if a package is missing that writing an ONNX file needs."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"an ONNX file needs {' and '.join(missing)}; install them with "
            'pip install "attentune[onnx]"'
        )


def write_onnx(model: nn.Module, file: Path) -> None:
    """Write the network of an export, and compare its outputs in onnxruntime.

    Args:
        model: of `exported_model.load`.
        file: the file to write.

    Raises:
        UsageError: a package is missing.
        StoreError: the network cannot be converted, or gives other outputs in onnxruntime.
        OSError: the file cannot be written.
    """
    check_onnx_is_installed()
    import onnx

    facts: dict[str, Any] = vars(model)["attentune"]
    mirrors = bool(facts.get("recipe", {}).get("mirror"))
    network = MirrorAverage(model).eval() if mirrors else model
    side = facts["image_size"]
    channels = facts["preprocessing"].get("channels", 3)  # Left out where it is 3.
    noise = torch.Generator().manual_seed(0)
    example, images = (
        torch.randn(count, channels, side, side, generator=noise)
        for count in (_TRACED_IMAGES, _CHECKED_IMAGES)
    )
    try:
        converted = _convert(network, example)
        onnx.helper.set_model_props(converted, metadata(facts))
        onnx.save(converted, file)
        outputs = run_onnx(file, images.numpy())
    except OSError:
        raise
    except Exception as error:  # torch and onnxruntime raise anything.
        raise StoreError(
            f"the model cannot be converted to ONNX ({clean_error(error)}); export it without "
            "--onnx"
        ) from error
    with torch.no_grad():
        expected = network(images).numpy()
    difference = float(np.abs(outputs - expected).max())
    if not difference <= _RELATIVE_TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise StoreError(
            f"onnxruntime gives other outputs than torch (by up to {difference:.2g}); export the "
            "model without --onnx"
        )


def metadata(facts: Mapping[str, Any]) -> dict[str, str]:
    """What the metadata of an ONNX file says: texts of JSON, from `architecture.json`."""
    values = {name: facts.get(name) for name in ("attentune", "architecture", "classes")}
    return {name: json.dumps(value) for name, value in {**values, **facts["preprocessing"]}.items()}


def run_onnx(file: Path, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The logits (N, classes) of normalised images, float32 (N, C, S, S), by onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (outputs,) = session.run([OUTPUT], {INPUT: images})
    return np.asarray(outputs)


def _convert(network: nn.Module, example: Tensor) -> Any:
    """The network as a model of ONNX, for any number of images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise ValueError("torch returned nothing")
    return program.model_proto
