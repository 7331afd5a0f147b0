"""The catalogue: what every attention is called, what it may be asked for, and what it must cost.

Plain data, no torch: the command line lists it, the architecture text is checked against it, and
every build is compared with `Attention.parameters`. The modules themselves live one to a file
beside this one and are imported only when a network is built (`Attention.module`).

The reduction ratio `r` means the same everywhere: the hidden width is `max(floor, C // r)`.
`start` is how the module begins: `paper` is the published form, whose gate opens near 0.5;
`identity` begins as the identity and can leave it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import log2
from typing import TYPE_CHECKING, Literal

from ...errors import ArchitectureError, did_you_mean

if TYPE_CHECKING:
    from torch import nn

Value = bool | int | float | str
Options = Mapping[str, Value]
MapSize = tuple[int, int]
Kind = Literal["channel", "spatial", "mixed", "global"]


@dataclass(frozen=True)
class Option:
    """One setting of an attention: its type, default and legal values.

    `auto` is what the default `auto` means at so many channels.
    """

    name: str
    default: Value
    meaning: str
    low: int | None = None
    high: int | None = None
    odd: bool = False
    choices: tuple[str, ...] = ()
    auto: Callable[[int], int] | None = None

    @property
    def legal(self) -> str:
        """The legal values in words, for messages and listings."""
        if self.choices:
            return " or ".join(self.choices)
        if isinstance(self.default, bool):
            return "true or false"
        bounds = f"{'odd ' if self.odd else ''}whole number"
        if self.low is not None:
            bounds += f" ≥ {self.low}"
        if self.high is not None:
            bounds += f" and ≤ {self.high}"
        return f"auto or {bounds}" if self.default == "auto" else bounds

    def parse(self, text: str) -> Value:
        """The value that `text` means; ValueError with the legal values if it means none."""
        if text in self.choices or (text == "auto" and self.default == "auto"):
            return text
        if isinstance(self.default, bool) and text in ("true", "false"):
            return text == "true"
        if not self.choices and not isinstance(self.default, bool) and text.isdecimal():
            number = int(text)
            too_low = self.low is not None and number < self.low
            too_high = self.high is not None and number > self.high
            if not (too_low or too_high or (self.odd and number % 2 == 0)):
                return number
        raise ValueError(f"{self.name} must be {self.legal}, not {text!r}")


@dataclass(frozen=True)
class Attention:
    """One entry of the catalogue.

    Attributes:
        module: `file:Class` beside this file; the class takes `channels` and the options by name,
            with `r` passed as `reduction_ratio`, and maps (N, C, H, W) to the same shape.
        parameters: the golden count, from channels, all options and the map size (H, W).
        floor: the least hidden width.
        opens_as_identity: the published form begins as the identity, so both starts are one.
    """

    name: str
    title: str
    paper: str
    kind: Kind
    formula: str
    module: str
    parameters: Callable[[int, Options, MapSize], int]
    options: tuple[Option, ...] = ()
    floor: int = 1
    opens_as_identity: bool = False

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

    def load(self) -> type[nn.Module]:
        """Import the module class (this is where torch comes in)."""
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
BIAS = Option("bias", False, "biases in the bottleneck")


def eca_kernel(channels: int) -> int:
    """ECA's adaptive kernel: |log2(C)/2 + 1/2| made odd, at least 3 (arXiv 1910.03151, eq. 12)."""
    t = int(abs(log2(channels) / 2 + 0.5))
    return max(3, t if t % 2 else t + 1)


def _bottleneck(channels: int, options: Options, floor: int = 1) -> int:
    hidden = max(floor, channels // int(options["r"]))
    return 2 * channels * hidden + (hidden + channels if options["bias"] else 0)


def _se(channels: int, options: Options, _: MapSize) -> int:
    return _bottleneck(channels, options)


def _eca(channels: int, options: Options, _: MapSize) -> int:
    return eca_kernel(channels) if options["k"] == "auto" else int(options["k"])


def _cbam(channels: int, options: Options, _: MapSize) -> int:
    return _bottleneck(channels, options) + 2 * int(options["k"]) ** 2 + 2


def _ca(channels: int, options: Options, _: MapSize) -> int:
    d = max(8, channels // int(options["r"]))
    return channels * d + d + 2 * d + 2 * (d * channels + channels)


def _nl(channels: int, options: Options, _: MapSize) -> int:
    # theta, phi, g and the output projection, each a 1×1 convolution with bias, and one BN.
    d = max(1, channels // int(options["r"]))
    return 3 * (channels * d + d) + (d * channels + channels) + 2 * channels


ATTENTIONS: dict[str, Attention] = {
    entry.name: entry
    for entry in (
        Attention(
            "se",
            "Squeeze-and-Excitation",
            "Hu et al., CVPR 2018, arXiv 1709.01507",
            "channel",
            "x · σ(W2 ReLU(W1 mean_HW(x)))",
            "se:SqueezeExcitation",
            _se,
            (ratio(16), BIAS, START),
        ),
        Attention(
            "eca",
            "Efficient Channel Attention",
            "Wang et al., CVPR 2020, arXiv 1910.03151",
            "channel",
            "x · σ(conv1d_k(mean_HW(x))), k = odd(|log2(C)/2 + 1/2|)",
            "eca:EfficientChannelAttention",
            _eca,
            (
                Option("k", "auto", "kernel over the channels", low=1, odd=True, auto=eca_kernel),
                START,
            ),
        ),
        Attention(
            "cbam",
            "Convolutional Block Attention Module",
            "Woo et al., ECCV 2018, arXiv 1807.06521",
            "mixed",
            "y = x · σ(MLP(mean_HW x) + MLP(max_HW x)); y · σ(BN(conv_k([mean_C y; max_C y])))",
            "cbam:CBAM",
            _cbam,
            (ratio(16), Option("k", 7, "kernel of the spatial half", low=3, odd=True), BIAS, START),
        ),
        Attention(
            "ca",
            "Coordinate Attention",
            "Hou et al., CVPR 2021, arXiv 2103.02907",
            "mixed",
            "f = hswish(BN(W1 [mean_W x; mean_H x])); x · σ(W_h f_h) · σ(W_w f_w)",
            "ca:CoordinateAttention",
            _ca,
            (ratio(32, meaning="reduction ratio: hidden width is max(8, C // r)"), START),
            floor=8,
        ),
        Attention(
            "nl",
            "Non-local block (embedded Gaussian)",
            "Wang et al., CVPR 2018, arXiv 1711.07971",
            "global",
            "x + BN(W_z softmax(θ(x)ᵀ φ(x)) g(x)), BN's scale zero at the start",
            "nl:NonLocal",
            _nl,
            (ratio(2), START),
            opens_as_identity=True,
        ),
    )
}


def attention(name: str) -> Attention:
    """The catalogue's entry of that name; ArchitectureError names the closest."""
    try:
        return ATTENTIONS[name]
    except KeyError:
        hint = did_you_mean(name, ATTENTIONS)
        raise ArchitectureError(f"unknown attention {name!r}{hint}") from None
