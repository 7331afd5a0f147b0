"""Putting an attention into a finished network, at an anchor of its site map.

The attention becomes a child of the module at whose border it works, and a hook that is a function
of this module (not a closure) calls it: classes, and the keys of every other weight, stay what they
were, and the network can be copied, pickled, traced, exported and compiled.

    ("out", path)                 child `attention`, forward hook
    ("in", path)                  child `attention_in`, forward pre-hook
    ("shortcut", block, branch)   child `attention_shortcut` of the block. The block is given the
                                  attended map, and its branch gets the original back

An attention that takes a convolution's place (`sk`) is put in as a `Beside`, and a pre-hook on that
convolution keeps what it is given. The keys read `layer3.0.bn2.attention.se.fc1.weight`. Several
attentions at one anchor are applied in the order in which they came; the second `se` there is
called `se_2`.
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

Undo = Callable[[], None]


def insert(model: nn.Module, anchor: Anchor, attentions: dict[str, nn.Module]) -> list[Undo]:
    """Hook `attentions` into `model` at `anchor`, in place and in their order.

    What is returned takes them out again, called in any order.
    """
    kind, path, *branch = anchor
    module = model.get_submodule(path)
    attention = _laid(model, layout_of(anchor), OrderedDict(attentions))
    if kind == "out":
        name = _add(module, "attention", attention)
        attend = _attend_summand if _is_summand(model, path) else _attend_output
        hooks = [module.register_forward_hook(partial(attend, name))]
    elif kind == "in":
        name = _add(module, "attention_in", attention)
        hooks = [module.register_forward_pre_hook(partial(_attend_input, name))]
    else:
        shortcut = Shortcut(attention)
        name = _add(module, "attention_shortcut", shortcut)
        # The second before the branch's own attention (`pre`), which must see the original map.
        original = model.get_submodule(branch[0])
        hooks = [
            module.register_forward_pre_hook(partial(_attend_input, name)),
            original.register_forward_pre_hook(partial(_original_input, shortcut), prepend=True),
        ]
    return [partial(delattr, module, name), *(hook.remove for hook in hooks)]


class Beside(nn.Module):
    """An attention that is also shown what a convolution was given (`watch` keeps it), as
    `Shortcut` does with two identities whose hooks run when the network runs."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.keep = nn.Identity()
        self.recall = nn.Identity()
        self.keep.register_forward_hook(_keep)
        self.recall.register_forward_hook(partial(_recall, self.keep))

    def forward(self, x: Tensor) -> Tensor:
        """A map to the same shape."""
        attended: Tensor = self.attention(x, self.recall(x))
        return attended


def watch(model: nn.Module, convolution: str, beside: Beside) -> list[Undo]:
    """From now on `beside` knows what the module `convolution` was given last."""
    module = model.get_submodule(convolution)
    return [module.register_forward_pre_hook(partial(_kept_input, beside)).remove]


class ChannelsAside(nn.Sequential):
    """Attentions on a map that lies as (N, H, W, C): they are shown (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, H, W, C) to the same shape, and in one piece if it came so: what follows may cut it
        into windows, or fold it without a copy."""
        y = x.permute(0, 3, 1, 2)
        for attention in self:
            y = attention(y)
        y = y.permute(0, 2, 3, 1)
        return y.contiguous() if x.is_contiguous() else y


class TokensAside(ChannelsAside):
    """Attentions on a map that lies as tokens (N, L, C): they are shown (N, C, H, W).

    `order` (H, W) says which token lies at each place. It is no part of the state dict, as it
    follows from the backbone and the size of the pictures.
    """

    _order: Tensor
    _places: Tensor

    def __init__(self, attentions: OrderedDict[str, nn.Module], order: Tensor) -> None:
        super().__init__(attentions)
        self._size = tuple(order.shape)
        self.register_buffer("_order", order.flatten(), persistent=False)
        self.register_buffer("_places", order.flatten().argsort(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, L, C) to the same shape, every token where it was."""
        if x.shape[1] != self._order.numel():
            raise ArchitectureError(
                f"attention here is for all {self._order.numel()} places of the map, but "
                f"{x.shape[1]} tokens came; leave the mask out"
            )
        y = super().forward(x.index_select(1, self._order).reshape(-1, *self._size, x.shape[2]))
        return y.flatten(1, 2).index_select(1, self._places)


class Shortcut(nn.Module):
    """Attends to the map for the shortcut and keeps the original for the branch, one at a time.

    Keeping and recalling are hooks of two identities, which tracing tools treat as leaves: so both
    happen when the traced network runs, not when it is traced.
    """

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention
        self.keep = nn.Identity()
        self.recall = nn.Identity()
        self.keep.register_forward_hook(_keep)
        self.recall.register_forward_hook(partial(_recall, self.keep))

    def forward(self, x: Tensor) -> Tensor:
        """A map to the same shape: what the shortcut carries."""
        attended: Tensor = self.attention(self.keep(x))
        return attended


def _laid(
    model: nn.Module, layout: Layout, attentions: OrderedDict[str, nn.Module]
) -> nn.Sequential:
    """The attentions, one after the other, for a map that lies like this."""
    if layout.startswith(NLC):
        return TokensAside(attentions, token_order(model, layout))
    return ChannelsAside(attentions) if layout == NHWC else nn.Sequential(attentions)


def _add(module: nn.Module, name: str, child: nn.Module) -> str:
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
    """Whether a block of timm's ResNets adds its shortcut to what this module returns, and applies
    ReLU to the sum, with nothing between."""
    parent, _, name = path.rpartition(".")
    block = model.get_submodule(parent)
    kind = type(block).__name__ if type(block).__module__ == "timm.models.resnet" else ""
    norm, act = {"BasicBlock": ("bn2", "act2"), "Bottleneck": ("bn3", "act3")}.get(kind, ("", ""))
    between = [getattr(block, each, None) for each in ("se", "drop_path")]
    free = all(each is None or type(each) is nn.Identity for each in between)
    return name == norm and free and type(getattr(block, act)) is nn.ReLU


def _attend_input(name: str, module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (getattr(module, name)(args[0]), *args[1:])


def _original_input(
    shortcut: Shortcut, _module: nn.Module, args: tuple[Any, ...]
) -> tuple[Any, ...]:
    return (shortcut.recall(args[0]), *args[1:])


def _kept_input(beside: Beside, _module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return (beside.keep(args[0]), *args[1:])


def _keep(module: nn.Module, _args: Any, output: Tensor) -> None:
    module.__dict__["kept"] = output


def _recall(keep: nn.Module, _module: nn.Module, _args: Any, _output: Tensor) -> Any:
    return keep.__dict__.pop("kept")
