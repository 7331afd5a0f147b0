"""An entry of the catalogue as plain values: an `Attention` with its `Option`s."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any, Literal

from ...errors import ArchitectureError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

Value = bool | int | float | str
MAX_VALUE_LENGTH = 30
"""Characters of the longest number that an option takes."""
Options = Mapping[str, Value]
MapSize = tuple[int, int]
Kind = Literal["channel", "spatial", "mixed", "global"]


@dataclass(frozen=True)
class Option:
    """One setting of an attention, which has the type of its default.

    Attributes:
        name: its name in architecture texts.
        default: the value if a text does not name it.
        meaning: one line for listings.
        low: the least legal number.
        high: the greatest legal number.
        odd: whether only odd numbers are legal.
        choices: the legal texts, if it is one of a few.
        auto: `channels -> int`, the number that the value `auto` stands for.
        clip: `(channels, value) -> int`, the greatest number up to `value` that the channels allow.
    """

    name: str
    default: Value
    meaning: str
    low: float | None = None
    high: float | None = None
    odd: bool = False
    choices: tuple[str, ...] = ()
    auto: Callable[[int], int] | None = None
    clip: Callable[[int, int], int] | None = None

    @property
    def legal(self) -> str:
        """The legal values in words, for messages and listings."""
        if self.choices:
            return " or ".join(self.choices)
        if isinstance(self.default, bool):
            return "true or false"
        kind = "number" if isinstance(self.default, float) else "whole number"
        bounds = f"{'odd ' if self.odd else ''}{kind}"
        if self.low is not None:
            bounds += f" ≥ {self.low}"
        if self.high is not None:
            bounds += f"{' and' if self.low is not None else ''} ≤ {self.high}"
        return f"auto or {bounds}" if self.default == "auto" else bounds

    def parse(self, text: str) -> Value:
        """The value that `text` means; ValueError with the legal values if it means none."""
        if text in self.choices or (text == "auto" and self.default == "auto"):
            return text
        if isinstance(self.default, bool) and text in ("true", "false"):
            return text == "true"
        number = None if self.choices or isinstance(self.default, bool) else self._number(text)
        if number is not None:
            too_low = self.low is not None and number < self.low
            too_high = self.high is not None and number > self.high
            if not (too_low or too_high or (self.odd and number % 2 == 0)):
                return number
        shown = text if len(text) <= MAX_VALUE_LENGTH else f"{text[:MAX_VALUE_LENGTH]}…"
        raise ValueError(f"{self.name} cannot be {shown!r}; legal: {self.legal}")

    def _number(self, text: str) -> int | float | None:
        if len(text) > MAX_VALUE_LENGTH:
            return None
        if not isinstance(self.default, float):
            return int(text) if text.removeprefix("-").isdecimal() else None
        try:
            number = float(text)
        except ValueError:
            return None
        return number if isfinite(number) else None

    def resolve(self, channels: int, value: Value) -> Value:
        """The number that `value` stands for in a map of `channels` channels."""
        if value == "auto" and self.auto is not None:
            return self.auto(channels)
        return value if self.clip is None else self.clip(channels, int(value))


@dataclass(frozen=True)
class Convolution:
    """The convolution of a block that makes the map of a site, with its norm and activation.

    Attributes:
        module: its path in the backbone.
        in_channels: channels of its input.
        kernel: size of the kernel, the same in both directions.
        stride: the same in both directions.
        groups: groups of channels that are convolved separately.
    """

    module: str
    in_channels: int
    kernel: int
    stride: int
    groups: int


@dataclass(frozen=True)
class Attention:
    """One entry of the catalogue.

    Attributes:
        name: its name in architecture texts.
        title: the long name.
        paper: authors, venue and number of the paper.
        kind: what its gates depend on.
        formula: in one line.
        module: `file:Class` in this folder; the class takes `channels` and the options by name,
            with `r` passed as `reduction_ratio`, and maps (N, C, H, W) to the same shape.
        parameters: the golden count, from channels, all options and the map size (H, W), as whole
            numbers: `(int, Options, MapSize) -> int`.
        options: its settings, in the order of the text.
        floor: the least hidden width.
        starts_as_identity: the published form begins as the identity, so both starts are one.
        positions: the only positions for which it is defined; empty for all.
        needs_convolution: it replaces a convolution, which becomes one of its branches. It is
            available only at sites that have one. Class and `parameters` then take `convolution`
            too, and the class's `forward` takes the input of that convolution.
        origin: empty for a built-in attention; for a user's own the package, version and class.
        make: for a user's own attention, called instead of the class.
    """

    name: str
    title: str
    paper: str
    kind: Kind
    formula: str
    module: str
    parameters: Callable[..., int]
    options: tuple[Option, ...] = ()
    floor: int = 1
    starts_as_identity: bool = False
    positions: tuple[str, ...] = ()
    needs_convolution: bool = False
    origin: str = ""
    make: Callable[..., nn.Module] | None = None

    @property
    def has_ratio(self) -> bool:
        """Whether it takes a reduction ratio."""
        return any(option.name == "r" for option in self.options)

    @property
    def defaults(self) -> dict[str, Value]:
        """Every option with its default, in the order of the text."""
        return {option.name: option.default for option in self.options}

    def option(self, name: str) -> Option:
        """The option of that name; ArchitectureError names the closest."""
        for option in self.options:
            if option.name == name:
                return option
        known = [option.name for option in self.options]
        raise ArchitectureError(f"{self.name} has no option {name!r}{did_you_mean(name, known)}")

    def width(self, channels: int, r: int) -> int:
        """Hidden width at `channels` input channels."""
        return max(self.floor, channels // r)

    def to_json(self) -> dict[str, Any]:
        """What `attentune attentions NAME --json` prints; `origin` only if it is a user's own."""
        options = [
            {"name": o.name, "default": o.default, "legal": o.legal, "meaning": o.meaning}
            for o in self.options
        ]
        fields = {
            "name": self.name,
            "title": self.title,
            "paper": self.paper,
            "kind": self.kind,
            "formula": self.formula,
            "options": options,
        }
        return fields | ({"origin": self.origin} if self.origin else {})

    def load(self) -> Callable[..., nn.Module]:
        """Import the module class (this is where torch comes in)."""
        if self.make is not None:
            return self.make
        file, _, name = self.module.partition(":")
        cls: type[nn.Module] = getattr(importlib.import_module(f".{file}", __package__), name)
        return cls


def ratio(default: int, *, meaning: str = "reduction ratio: hidden width is C // r") -> Option:
    """The option `r`, the same for every attention that has a bottleneck."""
    return Option("r", default, meaning, low=1)


START = Option(
    "start",
    "paper",
    "paper: as published; identity: begins as the identity and can leave it",
    choices=("paper", "identity"),
)
