"""A module of the backbone with attentions at its input and output: `AttendedModule`.

It takes the module's place in the module around it. So everything that walks through a network and
replaces layers (`SyncBatchNorm.convert_sync_batchnorm`, timm's `freeze` and split batch norm,
fusion and quantisation with torch.fx, `reparameterize_model`) finds the module inside, replaces it
there, and leaves the attention where it is. A forward hook on the module would be lost.

A state dict does not show the level that this adds to the tree of modules: the keys of the weights
stay those of the backbone. The level has the name that torch gives to wrappers of this kind, so
FSDP and distributed checkpoints leave it out of their names as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from types import MethodType, new_class
from typing import Any, ClassVar

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from .map_slot import MapSlot
from .matching_forward import forward_class, forward_for

HIDDEN_LEVEL = "_checkpoint_wrapped_module"
"""Name of the child that is the backbone's module."""
_ATTENTIONS = ("attention_in", "attention_shortcut", "attention")
_CONTAINER_METHODS = ("__len__", "__iter__", "__getitem__", "__contains__")
_OWN_ATTRIBUTES = {"restored", "stored", "training", *_ATTENTIONS}
_NORMS = (_BatchNorm, _InstanceNorm, nn.GroupNorm, nn.LayerNorm)


class AttendedModule(nn.Module):
    """A module of the backbone that receives a map, and attentions at its input and output.

    Data and children of the module are found here too (`block.conv1`, `norm.weight`), because the
    network around it may read them. Its methods are not: timm's `reparameterize_model` would
    replace the module together with its attentions by what the module's own `fuse` returns.
    Subclasses for single blocks are made by `_class_for`, so every call of what they override names
    `nn.Module`, not the block's class.

    Args:
        module: the module of the backbone.

    Attributes:
        _block_class: the class of the module if it is a block, whose instance the wrapper is too.
        _forward_class: the class of the module if `forward` has the same arguments as its own.
        restored: a slot whose map enters the module in place of its input.
        stored: slots that keep the input of the module.
        attention_in: attends to the input.
        attention_shortcut: attends to the input, and keeps the original for a `restored` slot.
        attention: attends to the output.
    """

    _block_class: type[nn.Module] | None = None
    _forward_class: type[nn.Module] | None = None
    __jit_unused_properties__: ClassVar = ["wrapped", "is_bare"]

    def __init__(self, module: nn.Module) -> None:
        nn.Module.__init__(self)
        self.add_module(HIDDEN_LEVEL, module)
        self.restored: MapSlot | None = None
        self.stored = nn.ModuleList()
        self.attention_in: nn.Module | None = None
        self.attention_shortcut: nn.Module | None = None
        self.attention: nn.Module | None = None
        self.training = module.training
        self._key_names = {name: _free_name(module, name) for name in _ATTENTIONS}
        self.register_load_state_dict_post_hook(_hide_level_in_messages)  # type: ignore[no-untyped-call]

    forward = forward_for(None)

    @property
    def wrapped(self) -> nn.Module:
        """The module of the backbone."""
        module = self._modules[HIDDEN_LEVEL]
        assert module is not None
        return module

    @property
    def is_bare(self) -> bool:
        """Whether all attentions have been removed."""
        parts = (self.restored, self.attention_in, self.attention_shortcut, self.attention)
        return not self.stored and all(part is None for part in parts)

    # --- the module appears in the wrapper's place ------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        """Data and children of the module; AttributeError for its methods, and for what belongs to
        Python's or torch's protocols."""
        try:
            return nn.Module.__getattr__(self, name)
        except AttributeError:
            module = self.__dict__.get("_modules", {}).get(HIDDEN_LEVEL)
            if module is None or name.startswith("__"):
                raise
            if isinstance(value := getattr(module, name), MethodType):
                raise
            return value

    def __setattr__(self, name: str, value: Any) -> None:
        """Set what belongs to the module on the module."""
        module = self.__dict__.get("_modules", {}).get(HIDDEN_LEVEL)
        if module is None or self._has_attribute(name) or not hasattr(module, name):
            nn.Module.__setattr__(self, name, value)
        else:
            setattr(module, name, value)

    def _has_attribute(self, name: str) -> bool:
        """Whether an attribute is the wrapper's own."""
        return name.startswith("_") or name in _OWN_ATTRIBUTES or hasattr(type(self), name)

    def __reduce_ex__(self, _protocol: Any) -> tuple[Any, ...]:
        """Copy and pickle without a reference to a class that `_class_for` has made."""
        return _new_module, (self._block_class, self._forward_class), self.__dict__

    # --- state dicts ------------------------------------------------------------------------------

    def state_dict(self, *args: Any, prefix: str = "", **kwargs: Any) -> Any:
        """As of every module, without the level that the wrapper adds."""
        state = nn.Module.state_dict(self, *args, prefix=prefix, **kwargs)
        shown = {f"{prefix}{HIDDEN_LEVEL}.": prefix}
        shown |= {f"{prefix}{name}.": f"{prefix}{key}." for name, key in self._key_names.items()}
        _rename_keys(state, prefix, shown)
        versions = getattr(state, "_metadata", None)  # Torch keeps the versions of modules in it.
        if versions is not None:
            _rename_keys(versions, prefix, shown)
            versions[prefix[:-1]] = versions.pop(f"{prefix}{HIDDEN_LEVEL}", {})
        return state

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Give the level to the keys of the module, before torch hands them to the children."""
        keys = {f"{prefix}{key}.": f"{prefix}{name}." for name, key in self._key_names.items()}
        _rename_keys(state_dict, prefix, {**keys, prefix: f"{prefix}{HIDDEN_LEVEL}."})
        nn.Module._load_from_state_dict(self, state_dict, prefix, *args, **kwargs)


def attentions_of(module: AttendedModule) -> list[nn.Module]:
    """The attentions at the input and the output of a module."""
    children = (module._modules.get(name) for name in _ATTENTIONS)
    return [child for child in children if child is not None]


Slots = dict[nn.Module, list[tuple[nn.Module, str]]]
"""Where each module of a network is a child: the modules around it, and its name there."""


def find_slots(model: nn.Module) -> Slots:
    """The slots of all modules of a network; a module that it shares has several."""
    slots: Slots = {}
    for parent in model.modules():
        for name, child in parent._modules.items():
            if child is not None:
                slots.setdefault(child, []).append((parent, name))
    return slots


def attend(model: nn.Module, path: str, slots: Slots) -> AttendedModule:
    """The `AttendedModule` at `path`; one is put there, without attentions, if there is none.

    Args:
        model: the network.
        path: of a module.
        slots: those of the network, which are kept up to date.
    """
    module = model.get_submodule(path)
    if isinstance(module, AttendedModule):
        return module
    block_class = type(module) if _is_block(module) else None
    attended = _class_for(block_class, forward_class(module))(module)  # type: ignore[arg-type]
    _replace(module, attended, slots)
    return attended


def unwrap_if_bare(attended: AttendedModule, slots: Slots) -> None:
    """Put the module of the backbone back into its place, if no attention is left there.

    Args:
        attended: the module around it.
        slots: those of the network, which are kept up to date.
    """
    if attended.is_bare:
        _replace(attended, attended.wrapped, slots)


def unwrapped(module: nn.Module) -> nn.Module:
    """The module of the backbone in an `AttendedModule`; any other module as it is."""
    return module.wrapped if isinstance(module, AttendedModule) else module


def visible_name(path: str) -> str:
    """The name of a parameter or module as in a state dict."""
    return path.replace(f"{HIDDEN_LEVEL}.", "")


def visible_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters of a network by their keys in a state dict."""
    return ((visible_name(name), parameter) for name, parameter in model.named_parameters())


def _replace(module: nn.Module, replacement: nn.Module, slots: Slots) -> None:
    """Put a replacement everywhere where `module` is a child."""
    slots[replacement] = slots.pop(module)
    for parent, name in slots[replacement]:
        parent._modules[name] = replacement


def _is_block(module: nn.Module) -> bool:
    """Whether `isinstance` has to see the module's class: timm looks for some blocks by their
    class. Layers and blocks of other libraries must not appear twice: conversions look for layers
    to replace them, and Ultralytics looks for blocks to fuse them."""
    if not any(base.__module__.partition(".")[0] == "timm" for base in type(module).__mro__):
        return False
    return next(module.children(), None) is not None and not isinstance(module, _NORMS)


class _HiddenMethod:
    """A method that instances do not have."""

    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        raise AttributeError


def _forwarded(name: str) -> Callable[..., Any]:
    def method(self: AttendedModule, *args: Any) -> Any:
        return getattr(self.wrapped, name)(*args)

    return method


@cache
def _class_for(
    block_class: type[nn.Module] | None, forward_class: type[nn.Module] | None
) -> type[AttendedModule]:
    """`AttendedModule`, or a subclass for modules of some class.

    Args:
        block_class: of which the instances are instances too; see `_is_block`. They have no methods
            of that class, apart from those of a container.
        forward_class: whose `forward` has the arguments that theirs has; see `forward_class`.
    """
    namespace: dict[str, Any] = {"__module__": __name__}
    if forward_class is not None:
        namespace |= {"_forward_class": forward_class, "forward": forward_for(forward_class)}  # type: ignore[arg-type]
    if block_class is None:
        name = f"Attended{forward_class.__name__}" if forward_class else "AttendedModule"
        return new_class(name, (AttendedModule,), exec_body=lambda ns: ns.update(namespace))
    members = {name: inspect.getattr_static(block_class, name) for name in dir(block_class)}
    namespace |= {
        name: _HiddenMethod()
        for name, member in members.items()
        if inspect.isfunction(member) and not hasattr(AttendedModule, name)
    }
    namespace |= {
        name: _forwarded(name) for name in _CONTAINER_METHODS if hasattr(block_class, name)
    }
    # TorchScript would compile them with the wrapper as `self`.
    unused = [name for name, member in members.items() if isinstance(member, property)]
    unused += AttendedModule.__jit_unused_properties__
    namespace |= {"_block_class": block_class, "__jit_unused_properties__": unused}
    bases = (AttendedModule, block_class)
    name = f"Attended{block_class.__name__}"
    return new_class(name, bases, exec_body=lambda ns: ns.update(namespace))


def _free_name(module: nn.Module, name: str) -> str:
    """The first of `name`, `name_`, … that the module has no attribute of."""
    while hasattr(module, name):
        name += "_"
    return name


def _new_module(
    block_class: type[nn.Module] | None, forward_class: type[nn.Module] | None
) -> AttendedModule:
    """An empty object, which `copy` and `pickle` fill."""
    cls = _class_for(block_class, forward_class)  # type: ignore[arg-type]
    return cls.__new__(cls)


def _rename_keys(state: dict[str, Any], prefix: str, renamed: dict[str, str]) -> None:
    """Rename the keys that begin with `prefix`, in place, and keep their order.

    Args:
        state: the dictionary.
        prefix: of the keys that are renamed.
        renamed: new prefixes by old ones, in the order in which they are tried.
    """
    for key in [key for key in state if key.startswith(prefix)]:
        value = state.pop(key)
        old = next((old for old in renamed if key.startswith(old)), None)
        state[key if old is None else renamed[old] + key[len(old) :]] = value


def _hide_level_in_messages(_module: nn.Module, incompatible_keys: Any) -> None:
    """After loading, name missing and unexpected keys as they are in state dicts."""
    for keys in incompatible_keys:
        keys[:] = map(visible_name, keys)
