"""Load a local file of weights into a backbone.

Files come from training scripts: as safetensors or as torch saves them, bare or inside a
checkpoint, with the prefixes of wrappers before their keys, and with a head for other classes. What
fits is loaded by name; what does not is reported, and a file of which hardly anything fits is
refused.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import AttentuneError
from ...sanitize import clean_error, clean_text
from .layers import find_head
from .timm_compat import import_timm

State = dict[str, Tensor]

CHECKPOINT_KEYS = (
    *("state_dict_ema", "model_ema", "ema_state_dict"),
    *("state_dict", "model_state_dict", "model", "net", "weights"),
)
"""Where checkpoints hold the state dict; averaged weights come first, as timm prefers them."""
WRAPPER_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.")
"""Prefixes that data parallelism, compilation and training frameworks put before all keys."""
MAX_NESTED_PREFIXES = 4
RGB_CHANNELS = 3
MIN_MATCHING_SHARE = 0.5
"""The least share of the backbone's values that a file has to provide."""
MAX_NAMED_KEYS = 3
"""Keys that a report names; it counts the others."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class WeightsReport:
    """What a file of weights was used for.

    Attributes:
        loaded: the number of tensors that were loaded.
        head: keys of the head that were left out, because the file has it for other classes.
        missing: keys of the backbone that the file lacks, or has in another shape; they keep their
            initial values.
        unexpected: keys of the file that the backbone does not have.
    """

    loaded: int
    head: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether nothing but a head was left out."""
        return not self.missing and not self.unexpected

    def __str__(self) -> str:
        facts = [f"{self.loaded} tensors loaded"]
        if self.head:
            facts.append("the head is new, because the file has one for other classes")
        for keys, problem in (
            (self.missing, "missing or of another shape in the file"),
            (self.unexpected, "in the file, but not in the backbone"),
        ):
            if keys:
                facts.append(f"{problem}: {_name_keys(keys)}")
        return "; ".join(facts)


def load_weights_file(model: nn.Module, file: Path) -> WeightsReport:
    """Load what fits of a file into a backbone, in place.

    Args:
        model: the plain backbone, as timm builds it.
        file: .safetensors, or .pth or .pt as torch saves them. No code in it is run.

    Raises:
        AttentuneError: the file cannot be read, holds no weights, or those of another network.
    """
    if not file.is_file():
        raise AttentuneError(f"there is no file of weights at {file}")
    subject = f"the weights in {file} could not be loaded"
    try:
        content = _read_file(file)
    except Exception as error:  # Damaged files raise anything.
        reason = clean_error(error).strip().partition("\n")[0]
        raise AttentuneError(f"{subject}: {reason}") from error
    expected = {key: t for key, t in model.state_dict().items() if t.is_floating_point()}
    state = _find_state(content)
    if not state:
        raise AttentuneError(f"{subject}: the file holds no tensors by name")
    state = _adapt_channels(model, expected, _best_fit(model, expected, state))
    matching = {key: t for key, t in state.items() if _fits(expected.get(key), t)}
    head = _head_keys(model)
    _check_share(subject, type(model).__name__, expected, matching, head)
    if broken := [key for key, tensor in matching.items() if not bool(tensor.isfinite().all())]:
        raise AttentuneError(f"{subject}: {_name_keys(broken)} has values that are not finite")
    model.load_state_dict(matching, strict=False)
    report = WeightsReport(
        loaded=len(matching),
        head=tuple(key for key in state if key in head and key not in matching),
        missing=tuple(key for key in expected if key not in matching and key not in head),
        unexpected=tuple(
            key for key in state if key not in expected and key not in head and _counts(state[key])
        ),
    )
    level = logging.INFO if report.is_complete else logging.WARNING
    logger.log(level, "initial weights from %s: %s", file, report)
    return report


def _read_file(file: Path) -> Any:
    if file.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(file)
    return torch.load(file, map_location="cpu", weights_only=True)


def _find_state(content: Any) -> State:
    """The tensors by key in what a file holds."""
    for _ in range(MAX_NESTED_PREFIXES):
        if not isinstance(content, Mapping):
            return {}
        inner = (content[key] for key in CHECKPOINT_KEYS if isinstance(content.get(key), Mapping))
        content = next(inner, content)
    return {k: v for k, v in content.items() if isinstance(k, str) and isinstance(v, Tensor)}


def _best_fit(model: nn.Module, expected: State, state: State) -> State:
    """A state under the names, without prefixes, of which most fit the model."""
    candidates = [state]
    for _ in range(MAX_NESTED_PREFIXES):
        state = candidates[-1]
        for prefix in WRAPPER_PREFIXES:
            if any(key.startswith(prefix) for key in state):
                candidates.append({key.removeprefix(prefix): t for key, t in state.items()})
    best = max(candidates, key=lambda candidate: _count_matching(expected, candidate))
    if _count_matching(expected, best) < len(expected):
        best = max((best, _converted(model, best)), key=lambda s: _count_matching(expected, s))
    return best


def _converted(model: nn.Module, state: State) -> State:
    """The state as timm converts it for this kind of backbone: from the names of its authors, and
    with position embeddings for images of another size. Empty if timm has no way, or it fails."""
    convert = getattr(sys.modules[type(model).__module__], "checkpoint_filter_fn", None)
    try:
        converted = convert(dict(state), model) if convert is not None else {}
    except Exception as error:  # It expects the authors' checkpoint, and indexes what it lacks.
        logger.debug("timm cannot convert the weights", exc_info=error)
        converted = {}
    return {k: t for k, t in converted.items() if isinstance(t, Tensor)}


def _adapt_channels(model: nn.Module, expected: State, state: State) -> State:
    """The state with first convolutions for as many channels as images have, as timm does it.

    timm adapts convolutions of RGB images alone; others are then reported as of another shape.
    """
    names = getattr(model, "pretrained_cfg", {}).get("first_conv") or ()
    adapted = dict(state)
    for name in (names,) if isinstance(names, str) else names:
        key = f"{name}.weight"
        if key in adapted and key in expected and adapted[key].ndim == 4:
            channels = expected[key].shape[1]
            if adapted[key].shape[1] == RGB_CHANNELS != channels:
                adapted[key] = import_timm().models.adapt_input_conv(channels, adapted[key])
    return adapted


def _count_matching(expected: State, state: State) -> int:
    return sum(_fits(expected.get(key), tensor) for key, tensor in state.items())


def _fits(expected: Tensor | None, tensor: Tensor) -> bool:
    return expected is not None and expected.shape == tensor.shape and _counts(tensor)


def _counts(tensor: Tensor) -> bool:
    """Whether a tensor holds weights; the counters of batch norms are integers."""
    return tensor.is_floating_point()


def _head_keys(model: nn.Module) -> set[str]:
    heads = {id(parameter) for module in find_head(model) for parameter in module.parameters()}
    return {name for name, parameter in model.named_parameters() if id(parameter) in heads}


def _check_share(
    subject: str, network: str, expected: State, matching: State, head: set[str]
) -> None:
    """Raise an AttentuneError if too little of the backbone is in a file."""
    total = sum(tensor.numel() for key, tensor in expected.items() if key not in head)
    provided = sum(tensor.numel() for key, tensor in matching.items() if key not in head)
    if provided < MIN_MATCHING_SHARE * total:
        raise AttentuneError(
            f"{subject}: they are those of another network; {provided / max(1, total):.0%} of the "
            f"backbone ({network}) is in the file by name and shape"
        )


def _name_keys(keys: list[str] | tuple[str, ...]) -> str:
    named = ", ".join(clean_text(key, 100) for key in keys[:MAX_NAMED_KEYS])
    others = len(keys) - MAX_NAMED_KEYS
    return f"{named} and {others} more" if others > 0 else named
