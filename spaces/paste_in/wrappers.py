"""The modules that put attention into a network, for code that is pasted.

`network_code.py` prints those that it needs. They are smaller than `AttendedModule` of attentune,
which also survives conversions of the network, and give weights the same keys.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class TransparentWrapper(nn.Module):
    """Stands in the place of a layer, which keeps the keys of its weights.

    Its own level does not appear in state dicts: the weights of the layer at `layer1.0.bn2` are
    still `layer1.0.bn2.weight`, so that weights of the plain network can be loaded before or after.
    """

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.register_state_dict_post_hook(_hide_level)  # type: ignore[no-untyped-call]
        self.register_load_state_dict_pre_hook(_show_level)  # type: ignore[no-untyped-call]

    def __getattr__(self, name: str) -> Any:
        """What the network reads from the layer."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("layer"), name)


def _hide_level(_module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    level = f"{prefix}layer."
    for key in [key for key in state if key.startswith(level)]:
        state[prefix + key[len(level) :]] = state.pop(key)


def _show_level(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    others = {name: child for name, child in module.named_children() if name != "layer"}
    attention = {f"{name}.{key}" for name, child in others.items() for key in child.state_dict()}
    for key in [key for key in state if key.startswith(prefix)]:
        name = key[len(prefix) :]
        if name not in attention:
            state[f"{prefix}layer.{name}"] = state.pop(key)


class AttendedOutput(TransparentWrapper):
    """A layer whose output is attended to."""

    def __init__(self, layer: nn.Module, attention: nn.Module) -> None:
        super().__init__(layer)
        self.attention = attention

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The attended output."""
        attended: Tensor = self.attention(self.layer(x, *args, **kwargs))
        return attended


class AttendedInput(TransparentWrapper):
    """A layer whose input is attended to."""

    def __init__(self, layer: nn.Module, attention: nn.Module) -> None:
        super().__init__(layer)
        self.attention_in = attention

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The output for the attended input."""
        return self.layer(self.attention_in(x), *args, **kwargs)


class KeptMap(nn.Module):
    """Passes a map from one module to a later one in the same forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.map: Tensor | None = None

    def take(self) -> Tensor:
        """The map that was kept; nothing is kept afterwards."""
        x, self.map = self.map, None
        assert x is not None
        return x


class AttendedShortcut(TransparentWrapper):
    """A block whose shortcut receives the attended input; its branch takes the original one."""

    def __init__(self, layer: nn.Module, attention: nn.Module, kept: KeptMap) -> None:
        super().__init__(layer)
        self.attention_shortcut = nn.ModuleDict({"attention": attention})
        self.kept = kept

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The output of the block."""
        self.kept.map = x
        return self.layer(self.attention_shortcut["attention"](x), *args, **kwargs)


class OriginalInput(TransparentWrapper):
    """The first layer of a block's branch, which receives the map that was kept for it."""

    def __init__(self, layer: nn.Module, kept: KeptMap) -> None:
        super().__init__(layer)
        self.kept = kept

    def forward(self, _x: Tensor, *args: Any, **kwargs: Any) -> Any:
        """The output for the map that was kept."""
        return self.layer(self.kept.take(), *args, **kwargs)


class KeptInput(TransparentWrapper):
    """A convolution whose input is kept for an attention behind it."""

    def __init__(self, layer: nn.Module, kept: KeptMap) -> None:
        super().__init__(layer)
        self.kept = kept

    def forward(self, x: Tensor) -> Any:
        """The output of the convolution."""
        self.kept.map = x
        return self.layer(x)


class WithConvolutionInput(nn.Module):
    """An attention that also receives the input of the convolution before it."""

    def __init__(self, attention: nn.Module, kept: KeptMap) -> None:
        super().__init__()
        self.attention = attention
        self.kept = kept

    def forward(self, x: Tensor) -> Tensor:
        """The attended map."""
        attended: Tensor = self.attention(x, self.kept.take())
        return attended


def wrap(model: nn.Module, path: str, wrapper: type[nn.Module], *args: nn.Module) -> None:
    """Put a wrapper into the place of the module at `path`.

    Args:
        model: the network.
        path: of the module.
        wrapper: the class of the wrapper, made of the module and `args`.
        args: see there.
    """
    parent_path, _, name = path.rpartition(".")
    parent: Any = model.get_submodule(parent_path)
    while isinstance(parent, TransparentWrapper):
        parent = parent.layer
    setattr(parent, name, wrapper(getattr(parent, name), *args))
