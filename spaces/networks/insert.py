"""Insert attention modules into a finished network, at an anchor of its site map.

The attention becomes a child of the module whose output or input it changes, and a hook calls it.
The hook is a function of this file, not a closure. Therefore all classes, and the keys of all other
weights, stay the same, and the network can be copied, pickled, traced, exported and compiled.

    anchor                        child of the anchor's module    hook
    ("out", path)                 attention                       forward hook
    ("in", path)                  attention_in                    forward pre-hook
    ("shortcut", block, branch)   attention_shortcut              forward pre-hooks of both: the
                                  block receives the attended map, its branch the original one

An attention that replaces a convolution (`sk`) also needs the input of that convolution. It is
wrapped in a `ConvolutionAwareAttention`, and a pre-hook on the convolution stores the input there.

Weights have keys such as `layer3.0.bn2.attention.se.fc1.weight`. Several attentions at one anchor
are applied in the order of the architecture text; the second `se` there is called `se_2`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor, nn

from ...errors import ArchitectureError
from ..backbones.hiera import token_order
from ..backbones.sites import Anchor
from ..backbones.trace import NHWC, NLC, Layout, layout_of
from ..kernels.gated_residual import defer_products

Remover = Callable[[], None]
"""Undoes one change of a network."""


def insert_attentions(
    model: nn.Module, anchor: Anchor, attentions: dict[str, nn.Module]
) -> tuple[str, list[Remover]]:
    """Hook attention modules into `model` at one anchor, in place.

    Args:
        model: the network.
        anchor: where, as in a site map of this network.
        attentions: modules by the name that each gets, in the order in which they are applied.
            Each maps (N, C, H, W) to the same shape.

    Returns:
        The path of the module that contains the attentions (`layer3.0.bn2.attention`), and
        functions that remove them, to be called in any order.
    """
    kind, path, *branch = anchor
    module = model.get_submodule(path)
    sequence = _sequence_for_layout(model, layout_of(anchor), OrderedDict(attentions))
    if kind == "out":
        name = container = _add_child(module, "attention", sequence)
        attend = _attend_summand if _is_summand(model, path) else _attend_output
        hooks = [module.register_forward_hook(partial(attend, name))]
    elif kind == "in":
        name = container = _add_child(module, "attention_in", sequence)
        hooks = [module.register_forward_pre_hook(partial(_attend_input, name))]
    else:
        shortcut = ShortcutAttention(sequence)
        name = _add_child(module, "attention_shortcut", shortcut)
        container = f"{name}.attention"
        # The second hook runs before the branch's own attention (`pre`), which needs the original.
        branch_module = model.get_submodule(branch[0])
        restore = partial(_restore_input, shortcut)
        hooks = [
            module.register_forward_pre_hook(partial(_attend_input, name)),
            branch_module.register_forward_pre_hook(restore, prepend=True),
        ]
    removers: list[Remover] = [partial(delattr, module, name), *(hook.remove for hook in hooks)]
    return f"{path}.{container}", removers


class _InputStoringAttention(nn.Module):
    """An attention with a slot for one tensor: `keep` stores it, `recall` returns and clears it.

    Both are identity modules with a hook. Tracing tools treat them as leaves, so that the tensor is
    stored whenever the traced network runs, and not only when it is traced.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.keep = nn.Identity()
        self.recall = nn.Identity()
        self.keep.register_forward_hook(_store_output)
        self.recall.register_forward_hook(partial(_take_stored, self.keep))


class ConvolutionAwareAttention(_InputStoringAttention):
    """An attention that also receives the input of a convolution; see `connect_convolution`."""

    def forward(self, x: Tensor) -> Tensor:
        """Attend to a map (N, C, H, W); the result has the same shape."""
        attended: Tensor = self.attention(x, self.recall(x))
        return attended


class ShortcutAttention(_InputStoringAttention):
    """Attends to the map on the shortcut, and stores the original map for the branch."""

    def forward(self, x: Tensor) -> Tensor:
        """Attend to a map (N, C, H, W); the result, for the shortcut, has the same shape."""
        attended: Tensor = self.attention(self.keep(x))
        return attended


def connect_convolution(
    model: nn.Module, convolution: str, attention: ConvolutionAwareAttention
) -> Remover:
    """Hook a convolution of `model`, so that `attention` receives its input.

    Args:
        model: the network.
        convolution: path of the layer.
        attention: the module that stores the input.
    """
    module = model.get_submodule(convolution)
    return module.register_forward_pre_hook(partial(_store_input, attention)).remove


class ChannelsLastAttentions(nn.Sequential):
    """Attentions on a map of layout (N, H, W, C): each receives it as (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Attend to a map (N, H, W, C); the result has the same shape.

        It is contiguous if `x` is: the layers that follow may cut it into windows, or reshape it
        without a copy.
        """
        y = x.permute(0, 3, 1, 2)
        for attention in self:
            y = attention(y)
        y = y.permute(0, 2, 3, 1)
        return y.contiguous() if x.is_contiguous() else y


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
) -> nn.Sequential:
    """The attentions in sequence, for a map of this layout."""
    if layout.startswith(NLC):
        return TokenAttentions(attentions, token_order(model, layout))
    return ChannelsLastAttentions(attentions) if layout == NHWC else nn.Sequential(attentions)


def _add_child(module: nn.Module, name: str, child: nn.Module) -> str:
    """Add a child under the first free name of `name`, `name_`, …; returns that name."""
    while hasattr(module, name):
        name += "_"
    module.add_module(name, child)
    return name


def _attend_output(name: str, module: nn.Module, _args: Any, output: Tensor) -> Any:
    return getattr(module, name)(output)


def _attend_summand(name: str, module: nn.Module, _args: Any, output: Tensor) -> Any:
    with defer_products():
        return getattr(module, name)(output)


def _is_summand(model: nn.Module, path: str) -> bool:
    """Whether a block of timm's ResNets adds its shortcut to the output of this module and applies
    ReLU to the sum, without any other operation."""
    parent, _, name = path.rpartition(".")
    block = model.get_submodule(parent)
    kind = type(block).__name__ if type(block).__module__ == "timm.models.resnet" else ""
    norm, act = {"BasicBlock": ("bn2", "act2"), "Bottleneck": ("bn3", "act3")}.get(kind, ("", ""))
    between = [getattr(block, attribute, None) for attribute in ("se", "drop_path")]
    nothing_between = all(module is None or type(module) is nn.Identity for module in between)
    return name == norm and nothing_between and type(getattr(block, act)) is nn.ReLU


def _attend_input(name: str, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (getattr(module, name)(args[0]), *args[1:])


def _restore_input(
    shortcut: ShortcutAttention, _module: nn.Module, args: tuple[Any, ...]
) -> tuple[Any, ...]:
    return (shortcut.recall(args[0]), *args[1:])


def _store_input(
    attention: ConvolutionAwareAttention, _module: nn.Module, args: tuple[Any, ...]
) -> tuple[Any, ...]:
    return (attention.keep(args[0]), *args[1:])


def _store_output(module: nn.Module, _args: Any, output: Tensor) -> None:
    module.__dict__["kept"] = output


def _take_stored(keep: nn.Module, _module: nn.Module, _args: Any, _output: Tensor) -> Any:
    return keep.__dict__.pop("kept")
