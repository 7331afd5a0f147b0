"""Load an exported model: the network of a folder that `export` wrote.

What is wrong with a folder is said in a sentence. Weights that are damaged, or not those that were
exported, are refused.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...errors import ArchitectureError, AttentuneError, StoreError
from ...runners.data.image_limits import ImageLimits
from ...runners.data.preprocessing import Preprocessing
from ...runners.results import WEIGHTS_FILE
from ...sanitize import clean_error, clean_text
from ...spaces.architecture import Architecture, parse
from ...spaces.attentions.plugins.register import REMEDY, describe_missing
from ...spaces.attentions.registry import is_available
from ...spaces.backbones.own_backbone import is_own_backbone
from ...spaces.backbones.stem import Stem
from ...spaces.networks.build import build_network
from ..text.preprocessing import describe_preprocessing
from .model_input import input_maker, read_preprocessing

if TYPE_CHECKING:
    from torch import Tensor, nn

ARCHITECTURE_FILE = "architecture.json"
FORMAT = 1
"""The version of `architecture.json`."""
MAX_ARCHITECTURE_FILE_BYTES = 2**24
_REMEDY = "export the trial again with `attentune export`"


class _Manifest(BaseModel):
    """The part of `architecture.json` that `load` uses; it may hold more."""

    model_config = ConfigDict(strict=True, frozen=True)

    architecture: str
    num_classes: int = Field(ge=1, le=10**6)
    classes: list[str]
    stem: Stem
    image_size: int = Field(ge=1, le=4096)
    weights_sha256: str | None = None


def load(folder: str | Path, *, max_pixels: int | None = None) -> nn.Module:
    """The network of an exported folder, on the CPU in evaluation mode.

    It takes normalised images (N, C, S, S) and returns logits (N, classes). Its attribute
    `attentune` holds the contents of `architecture.json`: `classes`, `preprocessing` and so on. Its
    function `preprocess` makes a normalised image (C, S, S) of a file, of an image of Pillow, or of
    an array (H, W, C).

    A UserWarning says what is assumed of an export of a version that did not store the
    preprocessing.

    Args:
        folder: of the export.
        max_pixels: of the largest image file that `preprocess` reads; default: 90 million.

    Raises:
        StoreError: the folder is not an export, needs a plug-in's attention that is not installed,
            or its weights are damaged or do not fit.
    """
    folder = Path(folder)
    facts = _read_facts(folder)
    if "evaluation" in facts:
        raise StoreError(
            f"{folder} holds a network that your own code has trained, and only that knows what it "
            f"takes and returns; {folder / 'README.md'} says how to build it."
        )
    _require_plugins(folder, facts)
    try:
        manifest = _Manifest.model_validate(facts)
    except ValidationError as error:
        problem = error.errors()[0]
        field = ".".join(map(str, problem["loc"]))
        raise _not_exported(folder, f"{field} in {ARCHITECTURE_FILE}: {problem['msg']}") from None
    if len(manifest.classes) != manifest.num_classes:
        raise _not_exported(folder, f"{ARCHITECTURE_FILE} names {len(manifest.classes)} classes")
    preprocessing = _read_preprocessing(folder, facts)
    architecture = _parse(folder, manifest.architecture)
    weights = _read_weights(folder, manifest.weights_sha256)
    model = _build(folder, architecture, manifest, preprocessing.channels)
    _load_weights(folder, model, weights)
    model.eval()
    added: dict[str, Any] = {
        "attentune": {**facts, "preprocessing": preprocessing.to_json()},
        "preprocess": input_maker(preprocessing, ImageLimits.of(max_pixels)),
    }
    for name, value in added.items():
        setattr(model, name, value)
    return model


def _read_preprocessing(folder: Path, facts: Mapping[str, Any]) -> Preprocessing:
    """The preprocessing of an export; a UserWarning says what is assumed if it is not stored."""
    try:
        preprocessing, is_stored = read_preprocessing(facts)
        if preprocessing.image_size != facts["image_size"]:
            raise ValueError("its image size is not that of the model")
    except (KeyError, TypeError, ValueError) as error:
        raise _not_exported(folder, f"preprocessing in {ARCHITECTURE_FILE}: {error}") from None
    if not is_stored:
        exporter = clean_text(str(facts.get("attentune")), 50)
        warnings.warn(
            f"{folder} was exported by attentune {exporter}, which did not store how images were "
            f"made. What that version did is assumed: {describe_preprocessing(preprocessing)}.",
            stacklevel=3,
        )
    return preprocessing


def _read_facts(folder: Path) -> Any:
    path = folder / ARCHITECTURE_FILE
    try:
        if path.exists() and not path.is_file():
            raise ValueError(f"{ARCHITECTURE_FILE} is no file")
        if path.stat().st_size > MAX_ARCHITECTURE_FILE_BYTES:
            raise ValueError(f"{ARCHITECTURE_FILE} is larger than any that attentune writes")
        facts = json.loads(path.read_text("utf-8"))
        if not isinstance(facts, dict):
            raise TypeError(f"{ARCHITECTURE_FILE} holds no JSON object")
        version = facts["format"]
        if type(version) is not int:
            raise TypeError("the format is no number")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _not_exported(folder, f"{type(error).__name__}: {error}") from None
    if version > FORMAT:
        exporter = clean_text(str(facts.get("attentune")), 50)
        raise StoreError(f"{folder} was exported by attentune {exporter}; upgrade attentune.")
    return facts


def _require_plugins(folder: Path, facts: Mapping[str, Any]) -> None:
    """Raise a StoreError that names the plug-ins whose attentions are missing."""
    plugins = facts.get("plugins", {})
    if not isinstance(plugins, dict):
        raise _not_exported(folder, "its plug-ins are no JSON object")
    missing = {name: str(origin) for name, origin in plugins.items() if not is_available(name)}
    if missing:
        raise StoreError(f"{folder} needs {describe_missing(missing)}; {REMEDY}.")


def _parse(folder: Path, text: str) -> Architecture:
    try:
        return parse(text)
    except ArchitectureError as error:
        reason = clean_text(str(error).splitlines()[0], 300)
        raise StoreError(
            f"{folder} holds an architecture that this version cannot read ({reason}); "
            f"upgrade attentune, or {_REMEDY}."
        ) from None


def _read_weights(folder: Path, digest: str | None) -> dict[str, Tensor]:
    """The weights, verified if the export or the file has a checksum."""
    from ...runners.training.tensor_file import read_tensors

    path = folder / WEIGHTS_FILE
    try:
        if digest is not None and path.is_file() and compute_sha256(path) != digest:
            raise StoreError(f"{path} is damaged, or holds other weights than were exported.")
        return read_tensors(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreError(f"cannot read {path} ({reason}); {_REMEDY}.") from None
    except StoreError as error:
        raise StoreError(f"{str(error).rstrip('.')}; {_REMEDY}.") from None


def compute_sha256(file: Path) -> str:
    """The SHA-256 of a file, as `sha256sum` prints it."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _build(
    folder: Path, architecture: Architecture, manifest: _Manifest, channels: int
) -> nn.Module:
    try:
        return build_network(
            architecture,
            seed=None,
            num_classes=manifest.num_classes,
            stem=manifest.stem,
            image_size=manifest.image_size,
            in_chans=channels,
        )
    except AttentuneError as error:
        reason = clean_error(error).splitlines()[0]
        step = f"upgrade attentune and timm, or {_REMEDY}"
        if is_own_backbone(architecture.backbone):
            step = "call this in the folder from which it was searched"
        raise StoreError(
            f"the network of {folder} cannot be built here ({reason}); {step}."
        ) from error
    except Exception as error:
        raise StoreError(
            f"the network of {folder} cannot be built here ({clean_error(error)}); use the "
            "versions of attentune, timm and torch that exported it."
        ) from error


def _load_weights(folder: Path, model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Put weights into a network; StoreError if they are not exactly those that it has."""
    state = model.state_dict()
    missing, unknown = state.keys() - weights.keys(), weights.keys() - state.keys()
    differing = [
        name
        for name in state.keys() & weights.keys()
        if (state[name].shape, state[name].dtype) != (weights[name].shape, weights[name].dtype)
    ]
    for problem, names in (("lack", missing), ("have", unknown), ("differ in", differing)):
        if names:
            example = clean_text(min(names), 100)
            raise StoreError(
                f"the weights in {folder} do not fit its network: they {problem} {example}"
                f"{' and others' if len(names) > 1 else ''}; {_REMEDY}."
            )
    if any(bool(tensor.isnan().any()) for tensor in weights.values()):
        raise StoreError(f"the weights in {folder} are not numbers; {_REMEDY}.")
    model.load_state_dict(dict(weights))


def _not_exported(folder: Path, reason: str) -> StoreError:
    return StoreError(
        f"{folder} is not an exported model ({clean_text(reason, 300)}); make one with "
        "`attentune export`."
    )
