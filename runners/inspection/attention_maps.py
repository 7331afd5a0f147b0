"""Attention maps: what the attentions of one trained network do to a few validation images.

An attention is described by its input x and its output y, both (N, C, H, W), whatever its
mechanism:

    channels    Σ|y| / Σ|x| over images and locations, one number per channel; 1 = unchanged
    locations   Σ|y| / Σ|x| over channels, one number per image and location; 1 = unchanged
    energy      mean |feature| over channels at the end of a stage, which the bare backbone has too

This module has the values only and imports no torch; `collect_attention_maps.py` computes them.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.dataset import Images, Labels

Floats = npt.NDArray[np.float32]

FORMAT = 2
"""Version of the JSON. Raise it when a key or the meaning of a number changes."""


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """Output over input of one inserted attention; NaN where the input was zero.

    Attributes:
        site: where it is, as in an architecture text: `s3b2.residual`.
        stage: number of the stage, from 1.
        attention: its name in the catalogue.
        channels: (C,) ratio of every channel; empty if the attention changes the order of channels.
        locations: (N, H, W) ratio of every location in every image.
    """

    site: str
    stage: int
    attention: str
    channels: Floats
    locations: Floats


@dataclass(frozen=True, eq=False)
class StageEnergy:
    """The output of one stage, attention included: (N, H, W), the mean |feature| over channels."""

    stage: int
    locations: Floats


@dataclass(frozen=True, eq=False)
class AttentionMaps:
    """The attention maps of one network for N validation images.

    Attributes:
        architecture: the network's architecture text.
        epochs: epochs trained so far if the trial is still running; None if it has ended.
        classes: names of the classes, in the order of the labels.
        images: uint8 (N, S, S, C).
        indices: (N,) numbers of the images in the validation split.
        labels, predicted: (N,) numbers of the true class and of the most probable one.
        probabilities: (N,) of the most probable class, in [0, 1].
        attentions: one entry for every inserted attention, in the order of the forward pass.
        stages: one entry for every stage whose output is a map, in the order of the forward pass.
        left_out: what could not be recorded, one sentence each.
    """

    architecture: str
    epochs: int | None
    classes: tuple[str, ...]
    images: Images
    indices: Labels
    labels: Labels
    predicted: Labels
    probabilities: Floats
    attentions: tuple[AttentionMap, ...]
    stages: tuple[StageEnergy, ...]
    left_out: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain types only: four significant digits, None for NaN, images in base64."""
        return {"format": FORMAT, **{name: _encode(value) for name, value in vars(self).items()}}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> AttentionMaps:
        """Read what `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: `data` is something else, or has another `FORMAT`.
        """
        fields = dict(data)
        if fields.pop("format") != FORMAT:
            raise ValueError("attention maps in another format")
        for name in ("indices", "labels", "predicted"):
            fields[name] = np.array(fields[name], np.int64)
        for name in ("classes", "left_out"):
            fields[name] = tuple(fields[name])
        fields["probabilities"] = _decode_floats(fields["probabilities"])
        fields["images"] = _decode_images(fields["images"])
        fields["attentions"] = tuple(
            AttentionMap(**_decode_lists(entry)) for entry in fields["attentions"]
        )
        fields["stages"] = tuple(StageEnergy(**_decode_lists(entry)) for entry in fields["stages"])
        return cls(**fields)


def _encode(value: Any) -> Any:
    """A value in JSON's types."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        flat = [float(f"{v:.4g}") if np.isfinite(v) else None for v in value.ravel().tolist()]
        return np.array(flat, object).reshape(value.shape).tolist()
    if isinstance(value, np.ndarray):
        return _encode_images(value) if value.dtype == np.uint8 else value.tolist()
    if isinstance(value, AttentionMap | StageEnergy):
        return {name: _encode(field) for name, field in vars(value).items()}
    return [_encode(element) for element in value] if isinstance(value, tuple) else value


def _encode_images(images: Images) -> dict[str, Any]:
    return {"shape": images.shape, "base64": base64.b64encode(images.tobytes()).decode()}


def _decode_lists(fields: dict[str, Any]) -> dict[str, Any]:
    return {k: _decode_floats(v) if isinstance(v, list) else v for k, v in fields.items()}


def _decode_floats(values: list[Any]) -> Floats:
    return np.array(values, np.float32)  # None becomes NaN


def _decode_images(encoded: dict[str, Any]) -> Images:
    return np.frombuffer(base64.b64decode(encoded["base64"]), np.uint8).reshape(encoded["shape"])
