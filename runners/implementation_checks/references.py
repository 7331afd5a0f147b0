"""Modules that an implementation may be: the paper's, and those of known deviations from it.

An implementation that has biases, a rounded hidden width or no batch norm still computes what its
paper describes. Each deviation is tried together with the options of the catalogue, and the
implementation is compared with the modules whose tensors have the shapes of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...spaces.attentions.cbam import SpatialHalf
from ...spaces.attentions.entry import Attention, Value
from ...spaces.attentions.gates import SigmoidGate
from ...spaces.attentions.triplet import _Branch
from ...spaces.networks.placement import module_arguments
from .weight_mapping import Shape

MAP_SIZE = (7, 5)
ROUNDED_WIDTH_DIVISOR = 8
_MAX_KERNEL = 31
_ACCEPTED_BIASES = {
    "se": "biases in both layers, as in the authors' networks and in timm; the equations have none",
    "channel": "biases in the MLP, as in the authors' code; the equations have none",
    "cbam": "biases in the MLP, as in the authors' code; the equations have none",
}


@dataclass(frozen=True)
class Deviation:
    """A difference from the paper's module.

    Attributes:
        sentence: what is different.
        is_accepted: whether it is one that the paper's authors or timm have, and not a fault.
    """

    sentence: str
    is_accepted: bool


@dataclass(frozen=True)
class PaperModule:
    """A module with which an implementation is compared.

    Attributes:
        entry: the attention.
        settings: all its options.
        channels: of the map.
        deviations: from the paper, which the module has.
        omits_norm: whether the batch norm after a convolution of two planes is left out.
        hard_sigmoid: whether its gates are hard sigmoids.
        splits_projection: whether the three layers that our `nl` and `a2` have as one are separate.
    """

    entry: Attention
    settings: Mapping[str, Value]
    channels: int
    deviations: tuple[Deviation, ...] = ()
    omits_norm: bool = False
    hard_sigmoid: bool = False
    splits_projection: bool = False

    def make(self) -> nn.Module:
        """A module with weights of its own."""
        arguments = module_arguments(tuple(self.settings.items()), None)
        module = self.entry.load()(self.channels, **arguments)
        for part in module.modules():
            if self.omits_norm and isinstance(part, SpatialHalf | _Branch):
                part.bn = nn.Identity()  # type: ignore[assignment]
        if self.hard_sigmoid:
            for owner in list(module.modules()):
                for name, child in owner.named_children():
                    if isinstance(child, SigmoidGate):
                        setattr(owner, name, _HardSigmoid())
        return module

    def shapes(self, module: nn.Module) -> list[Shape]:
        """The shapes of the parameters of a module that `make` has made, sorted."""
        shapes = []
        for name, parameter in module.named_parameters():
            is_split = self.splits_projection and name.startswith("project.")
            parts = parameter.chunk(3) if is_split else [parameter]
            shapes += [tuple(n for n in part.shape if n != 1) for part in parts]
        return sorted(shapes)

    @property
    def is_accepted(self) -> bool:
        """Whether all of its deviations are known ones, and no faults."""
        return all(deviation.is_accepted for deviation in self.deviations)


class _HardSigmoid(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        """A gate that is 0 below −3 and 1 above 3."""
        return nn.functional.hardsigmoid(z)


def paper_modules(
    entry: Attention, settings: Mapping[str, Value], channels: int, shapes: list[Shape]
) -> list[PaperModule]:
    """The modules whose parameters have the shapes of an implementation, the paper's own first.

    Args:
        entry: the attention.
        settings: all its options.
        channels: of the map.
        shapes: of the parameters of the implementation; see `parameter_shapes`.
    """
    matching = []
    for module in _variations(entry, settings, channels, shapes):
        with torch.device("meta"):
            made = module.make()
        biases = [
            tuple(n for n in tensor.shape if n != 1)
            for name, tensor in made.named_parameters()
            if name.endswith("bias")
        ]
        if lacking := _lacking(module.shapes(made), shapes, biases):
            deviation = Deviation(
                f"no biases in {lacking} layer{'s' if lacking > 1 else ''} that have them in the "
                "authors' code",
                is_accepted=True,
            )
            matching.append(
                PaperModule(**{**vars(module), "deviations": (*module.deviations, deviation)})
            )
        elif lacking is not None:
            matching.append(module)
    return sorted(matching, key=lambda m: (not m.is_accepted, len(m.deviations)))


def _lacking(expected: list[Shape], shapes: list[Shape], biases: list[Shape]) -> int | None:
    """How many biases are missing in `shapes`; None if something else differs."""
    rest = list(shapes)
    missing: list[Shape] = []
    for shape in expected:
        if shape in rest:
            rest.remove(shape)
        else:
            missing.append(shape)
    if rest:
        return None
    for shape in missing:
        if shape not in biases:
            return None
        biases.remove(shape)
    return len(missing)


def _variations(
    entry: Attention, settings: Mapping[str, Value], channels: int, shapes: list[Shape]
) -> Iterator[PaperModule]:
    choices = [
        _starts(entry, settings),
        _biases(entry, settings),
        _widths(entry, settings, channels, shapes),
        _kernels(entry, settings, channels, shapes),
    ]
    norms = [False, True] if entry.name in ("cbam", "spatial", "triplet") else [False]
    gates = [False, True] if entry.name in ("ese", "se", "channel", "cbam", "eca") else [False]
    splits = [False, True] if entry.name in ("nl", "a2") else [False]
    for omits_norm, hard, split in itertools.product(norms, gates, splits):
        for chosen in itertools.product(*choices):
            deviations = [deviation for _, deviation in chosen if deviation is not None]
            changed = {key: value for values, _ in chosen for key, value in values.items()}
            if omits_norm:
                deviations.append(
                    Deviation(
                        "no batch norm after its spatial convolution, as in the paper's equations; "
                        "the authors' code has one",
                        is_accepted=True,
                    )
                )
            if hard:
                deviations.append(_hard_sigmoid_deviation(entry))
            yield PaperModule(
                entry,
                {**settings, **changed},
                channels,
                tuple(deviations),
                omits_norm,
                hard,
                split,
            )


Choice = tuple[dict[str, Value], Deviation | None]


def _hard_sigmoid_deviation(entry: Attention) -> Deviation:
    if entry.name == "ese":
        return Deviation(
            "a hard sigmoid, as in the authors' code and in timm; the paper has the sigmoid", True
        )
    return Deviation("a hard sigmoid where the paper has the sigmoid", False)


def _starts(entry: Attention, settings: Mapping[str, Value]) -> list[Choice]:
    if entry.starts_as_identity or settings.get("start") == "identity":
        return [({}, None)]
    identity = Deviation("gates that begin at 1 (start=identity)", is_accepted=True)
    return [({}, None), ({"start": "identity"}, identity)]


def _biases(entry: Attention, settings: Mapping[str, Value]) -> list[Choice]:
    if "bias" not in settings or settings["bias"]:
        return [({}, None)]
    return [({}, None), ({"bias": True}, Deviation(_ACCEPTED_BIASES[entry.name], True))]


def _widths(
    entry: Attention, settings: Mapping[str, Value], channels: int, shapes: list[Shape]
) -> list[Choice]:
    """The paper's hidden width, and those that occur in the shapes."""
    choices: list[Choice] = [({}, None)]
    if "r" not in settings:
        return choices
    r = int(settings["r"])
    width = entry.width(channels, r)
    seen = {length for shape in shapes for length in shape if channels in shape}
    for other in sorted(seen - {width}):
        ratio = max(1, channels // other)
        if entry.width(channels, ratio) == other:
            choices.append(({"r": ratio}, _width_deviation(channels, width, other)))
    return choices


def _width_deviation(channels: int, width: int, other: int) -> Deviation:
    rule = f"C // r = {width}"
    rounded = max(ROUNDED_WIDTH_DIVISOR, -(-width // ROUNDED_WIDTH_DIVISOR) * ROUNDED_WIDTH_DIVISOR)
    if other == rounded:
        return Deviation(
            f"the hidden width {other} where {rule}: rounded to a multiple of 8, as timm does", True
        )
    if other == channels:
        return Deviation(f"no reduction: layers C → C where the paper has C → {width} → C", False)
    sentence = (
        f"the hidden width {other} where the paper has {rule} at C = {channels} "
        f"(r = {channels // other} gives it)"
    )
    return Deviation(sentence, is_accepted=False)


def _kernels(
    entry: Attention, settings: Mapping[str, Value], channels: int, shapes: list[Shape]
) -> list[Choice]:
    """The paper's kernel, and those that occur in the shapes."""
    choices: list[Choice] = [({}, None)]
    if "k" not in settings:
        return choices
    usual = int(entry.option("k").resolve(channels, settings["k"]))
    lengths = {shape[-1] for shape in shapes if shape} | ({1} if entry.name == "eca" else set())
    rule = f" at C = {channels}" if entry.name == "eca" else ""
    for other in sorted(lengths - {usual}):
        if other % 2 and other <= _MAX_KERNEL:
            sentence = f"a kernel of {other} where the paper has {usual}{rule}"
            choices.append(({"k": other}, Deviation(sentence, False)))
    return choices
