"""Insert attention modules into a finished network, at an anchor of its site map.

The module at the anchor is replaced by an `AttendedModule`, whose children are that module and the
attentions at its input or output. The keys of all other weights stay the same, and the network can
be copied, pickled, traced, exported, compiled and converted.

    anchor                        the attention is called
    ("out", path)                 with the output of the module
    ("in", path)                  with its input
    ("shortcut", block, branch)   with the input of the block, which receives the attended map;
                                  its branch receives the original one, from a `MapSlot`

An attention that replaces a convolution (`sk`) also needs the input of that convolution, which
becomes an `AttendedModule` too, and passes its input on in a `MapSlot`.

Weights have keys such as `layer3.0.bn2.attention.se.fc1.weight`. Several attentions at one anchor
are applied in the order of the architecture text; the second `se` there is called `se_2`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import Tensor, nn

from ...errors import ArchitectureError
from ..backbones.hiera import token_order
from ..backbones.sites import Anchor
from ..backbones.trace import NHWC, NLC, Layout, layout_of
from ..kernels.gated_residual import defer_products
from .attended_module import Slots, attend, find_slots, unwrap_if_bare, unwrapped
from .map_slot import MapSlot
from .scriptable import Permutation, make_leaf, scriptable_sequence

Remover = Callable[[], None]
"""Undoes one change of a network."""


def insert_attentions(
    model: nn.Module,
    anchor: Anchor,
    attentions: dict[str, nn.Module],
    slots: Slots | None = None,
) -> tuple[str, list[Remover]]:
    """Insert attention modules into `model` at one anchor, in place.

    Args:
        model: the network.
        anchor: where, as in a site map of this network.
        attentions: modules by the name that each gets, in the order in which they are applied.
            Each maps (N, C, H, W) to the same shape.
        slots: those of the network, if attentions are inserted at several anchors.

    Returns:
        The path of the module that contains the attentions (`layer3.0.bn2.attention`), and
        functions that remove them, to be called in any order.
    """
    kind, path, *branch = anchor
    slots = find_slots(model) if slots is None else slots
    for attention in attentions.values():
        if isinstance(attention, ConvolutionAwareAttention):
            attention = attention.attention
        make_leaf(attention)
    sequence = _sequence_for_layout(model, layout_of(anchor), OrderedDict(attentions))
    if kind == "out":
        if _is_summand(model, path) and type(sequence) is Attentions:
            sequence = SummandAttentions(OrderedDict(attentions))
        return f"{path}.attention", [_set(model, path, "attention", sequence, slots)]
    if kind == "in":
        return f"{path}.attention_in", [_set(model, path, "attention_in", sequence, slots)]
    slot = MapSlot()
    shortcut = ShortcutAttention(sequence, slot)
    removers = [
        _set(model, path, "attention_shortcut", shortcut, slots),
        _set(model, branch[0], "restored", slot, slots),
    ]
    return f"{path}.attention_shortcut.attention", removers


def connect_convolution(
    model: nn.Module, convolution: str, attention: ConvolutionAwareAttention, slots: Slots
) -> Remover:
    """Let `attention` receive the input of a convolution of `model`.

    Args:
        model: the network.
        convolution: path of the layer.
        attention: has the slot in which the input is stored.
        slots: those of the network.
    """
    attended = attend(model, convolution, slots)
    attended.stored.append(attention.slot)

    def remove() -> None:
        attended.stored = nn.ModuleList(s for s in attended.stored if s is not attention.slot)
        unwrap_if_bare(attended, slots)

    return remove


def _set(model: nn.Module, path: str, part: str, module: nn.Module, slots: Slots) -> Remover:
    """Give the module at `path` a part of an `AttendedModule`; returns what takes it away."""
    attended = attend(model, path, slots)
    setattr(attended, part, module)

    def remove() -> None:
        setattr(attended, part, None)
        unwrap_if_bare(attended, slots)

    return remove


class ConvolutionAwareAttention(nn.Module):
    """An attention that also receives the input of a convolution; see `connect_convolution`."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.slot = MapSlot()

    def forward(self, x: Tensor) -> Tensor:
        """Attend to a map (N, C, H, W); the result has the same shape."""
        attended: Tensor = self.attention(x, self.slot.recall())
        return attended


class ShortcutAttention(nn.Module):
    """Attends to the map on the shortcut, and keeps the original map in `slot` for the branch."""

    def __init__(self, attention: nn.Module, slot: MapSlot) -> None:
        super().__init__()
        self.attention = attention
        self.slot = slot

    def forward(self, x: Tensor) -> Tensor:
        """Attend to a map (N, C, H, W); the result, for the shortcut, has the same shape."""
        attended: Tensor = self.attention(self.slot.keep(x))
        return attended


class Attentions(nn.Sequential):
    """Attentions on a map of layout (N, C, H, W), one after the other."""

    def __prepare_scriptable__(self) -> nn.Module:
        return scriptable_sequence(self)


class SummandAttentions(Attentions):
    """Attentions on a map to which the block adds its shortcut; the products of their gates may be
    deferred until then."""

    def forward(self, x: Tensor) -> Tensor:
        """Attend to a map (N, C, H, W); the result has the same shape."""
        with defer_products():
            attended: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return attended


class ChannelsLastAttentions(nn.Module):
    """Attentions on a map of layout (N, H, W, C): each receives it as (N, C, H, W)."""

    def __init__(self, attentions: OrderedDict[str, nn.Module]) -> None:
        super().__init__()
        for name, attention in attentions.items():
            self.add_module(name, attention)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to a map (N, H, W, C); the result has the same shape.

        It is contiguous if `x` is: the layers that follow may cut it into windows, or reshape it
        without a copy.
        """
        y = x.permute(0, 3, 1, 2)
        for attention in self.children():
            y = attention(y)
        y = y.permute(0, 2, 3, 1)
        return y.contiguous() if x.is_contiguous() else y

    def __prepare_scriptable__(self) -> nn.Module:
        if type(self) is not ChannelsLastAttentions:
            return self
        before, after = Permutation(0, 3, 1, 2), Permutation(0, 2, 3, 1)
        return scriptable_sequence(self, before=before, after=after)


class TokenAttentions(ChannelsLastAttentions):
    """Attentions on a map of tokens (N, L, C): each receives it as (N, C, H, W).

    `order` (H, W) holds the number of the token at every location of the map. It is not part of
    the state dict, because it follows from the backbone and the image size.
    """

    _order: Tensor
    _inverse_order: Tensor

    def __init__(self, attentions: OrderedDict[str, nn.Module], order: Tensor) -> None:
        super().__init__(attentions)
        self._size = tuple(order.shape)
        self.register_buffer("_order", order.flatten(), persistent=False)
        self.register_buffer("_inverse_order", order.flatten().argsort(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend to tokens (N, L, C); the result has the same shape and order.

        Raises:
            ArchitectureError: tokens are missing, because patches were masked out.
        """
        if x.shape[1] != self._order.numel():
            raise ArchitectureError(
                f"attention here needs all {self._order.numel()} tokens of the map, but got "
                f"{x.shape[1]}; do not mask patches"
            )
        y = super().forward(x.index_select(1, self._order).reshape(-1, *self._size, x.shape[2]))
        return y.flatten(1, 2).index_select(1, self._inverse_order)


def _sequence_for_layout(
    model: nn.Module, layout: Layout, attentions: OrderedDict[str, nn.Module]
) -> nn.Module:
    """The attentions in sequence, for a map of this layout."""
    sequence: nn.Module
    if layout.startswith(NLC):
        sequence = TokenAttentions(attentions, token_order(model, layout))
    elif layout == NHWC:
        sequence = ChannelsLastAttentions(attentions)
    else:
        return Attentions(attentions)
    make_leaf(sequence)
    return sequence


def _is_summand(model: nn.Module, path: str) -> bool:
    """Whether a block of timm's ResNets adds its shortcut to the output of this module and applies
    ReLU to the sum, without any other operation."""
    parent, _, name = path.rpartition(".")
    block = unwrapped(model.get_submodule(parent))
    kind = type(block).__name__ if type(block).__module__ == "timm.models.resnet" else ""
    norm, act = {"BasicBlock": ("bn2", "act2"), "Bottleneck": ("bn3", "act3")}.get(kind, ("", ""))
    between = [getattr(block, attribute, None) for attribute in ("se", "drop_path")]
    nothing_between = all(module is None or type(module) is nn.Identity for module in between)
    return name == norm and nothing_between and type(getattr(block, act)) is nn.ReLU
