"""An implementation that is examined, and what the examinations of its aspects share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...errors import AttentuneError
from ...named_objects import load_named_object
from ...sanitize import clean_error
from ...spaces.attentions.entry import Attention, Value
from ...spaces.attentions.registry import get_attention
from ...spaces.paste_in.attention_code import parse_attention
from .class_names import guess_attention
from .construction import Construction
from .report import ImplementationCheck

MAX_LISTED = 4


@dataclass(frozen=True)
class Implementation:
    """What is examined, and what with.

    Attributes:
        construction: makes the modules.
        entry: the attention of the paper.
        settings: its options, as in the paper, apart from those that were asked for.
        channels: of the map.
        ratio: the reduction ratio that is passed; None: the class's default.
    """

    construction: Construction
    entry: Attention
    settings: Mapping[str, Value]
    channels: int
    ratio: int | None

    @property
    def text(self) -> str:
        """The attention as in an architecture text, such as `cbam(r=16)`."""
        shown = {k: v for k, v in self.settings.items() if k == "r" or v != self.entry.defaults[k]}
        options = ",".join(f"{key}={str(value).lower()}" for key, value in shown.items())
        return f"{self.entry.name}({options})" if options else self.entry.name

    def make(self, channels: int | None = None, ratio: int | None = None) -> nn.Module:
        """A new module, for other channels or another ratio if they are passed."""
        return self.construction(channels or self.channels, ratio or self.ratio)


def identify(check: ImplementationCheck) -> Implementation:
    """Import what is checked, and find the attention that it is compared with.

    Raises:
        UsageError: it is nothing that can be checked, or its name says no attention.
        ArchitectureError: there is no such attention.
    """
    os.chdir(check.folder)
    make = load_named_object(check.reference)
    construction = Construction.of(check.reference, make, dict(check.arguments))
    if check.attention is not None:
        insertion = parse_attention(check.attention)
        entry, settings = get_attention(insertion.attention), insertion.settings
        states_ratio = "r=" in check.attention
    else:
        name = make.__name__ if isinstance(make, type) else _class_name(construction, check)
        entry = get_attention(guess_attention(name))
        settings, states_ratio = entry.defaults, False
    ratio = check.ratio
    if "r" in settings:
        if ratio is None and not states_ratio:
            settings = {**settings, "r": construction.default_ratio or settings["r"]}
        elif ratio is None:
            ratio = int(settings["r"])
        else:
            settings = {**settings, "r": ratio}
    passed = ratio if construction.ratio_parameter is not None else None
    return Implementation(construction, entry, settings, check.channels, passed)


def _class_name(construction: Construction, check: ImplementationCheck) -> str:
    module = construction(check.channels, check.ratio)
    return type(module).__name__


def random_map(channels: int, images: int = 2, height: int = 7, width: int = 5) -> Tensor:
    """A map whose values are always the same.

    Args:
        channels, images, height, width: its shape is (images, channels, height, width).
    """
    generator = torch.Generator().manual_seed(0)
    return torch.randn(images, channels, height, width, generator=generator)


def show_shape(shape: tuple[int, ...]) -> str:
    """`64×4×1×1`."""
    return "×".join(map(str, shape)) if shape else "of one value"


def listed(names: list[str], limit: int = MAX_LISTED) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def describe_failure(error: BaseException, where: str) -> str:
    """What a forward pass has raised, and for which map."""
    if isinstance(error, SystemExit):
        return f"forward calls sys.exit {where}"
    if isinstance(error, AttentuneError):
        return clean_error(error)
    return f"forward raises {describe_cause(error)} {where}"


def describe_cause(error: BaseException) -> str:
    """An exception in words."""
    if isinstance(error, SystemExit):
        return "it calls sys.exit"
    return f"{type(error).__name__}: {clean_error(error)}"
