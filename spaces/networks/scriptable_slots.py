"""Parts of a network in which a map passes in a `MapSlot`, in a form that TorchScript compiles.

TorchScript compiles modules one by one, and one that keeps a map for another would mix up the maps
of threads. torch.fx follows a map through a slot, and writes down the smallest part of the network
that has both ends of it as one function, in which the map is a variable.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from inspect import Parameter
from itertools import zip_longest
from os.path import commonpath
from typing import Any, Union, get_args, get_origin

from torch import Tensor, fx, nn

from ...errors import AttentionError
from .map_slot import MapSlot
from .scriptable import is_leaf, scriptable_attention, trace, write_module

_PREPARE = "__prepare_scriptable__"
"""What `torch.jit.script` asks a module for another one by, to compile in its place."""


def prepare_slots(model: nn.Module) -> Callable[[], None]:
    """Let `torch.jit.script` compile the parts of a network that have slots.

    Args:
        model: the network.

    Returns:
        A function that undoes it.
    """
    paths = defaultdict(list)
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, MapSlot):
            paths[module].append(path.replace(".", "/"))
    parts = {commonpath(ends).replace("/", ".") for ends in paths.values()}
    modules = [model.get_submodule(part) for part in parts]
    for module in modules:
        module.__dict__[_PREPARE] = partial(_scriptable_part, module)

    def undo() -> None:
        for module in modules:
            module.__dict__.pop(_PREPARE, None)

    return undo


def _scriptable_part(part: nn.Module) -> nn.Module:
    """A module that computes the same as a part of a network, without slots.

    Raises:
        AttentionError: torch.fx cannot follow the maps through the part.
    """
    tracer = _PartTracer()
    try:
        graph, types = _trace_part(tracer, part)
    except Exception as error:
        raise AttentionError(
            f"torch.jit.script cannot compile {type(part).__name__} with attention on its shortcut "
            "(`identity`), or in the place of a convolution (sk); use torch.export, or "
            "torch.jit.trace"
        ) from error
    traced = write_module(part, graph, types)
    for path in tracer.attentions:
        traced.set_submodule(path, scriptable_attention(traced.get_submodule(path)))
    names = _names_in_state(traced, part)
    traced.register_state_dict_post_hook(partial(_show_names, names))  # type: ignore[no-untyped-call]
    traced.register_load_state_dict_pre_hook(partial(_hide_names, names))  # type: ignore[no-untyped-call]
    return traced


def _trace_part(tracer: fx.Tracer, part: nn.Module) -> tuple[fx.Graph, list[Any]]:
    """What a part computes, and the types of its inputs for TorchScript; None stands for a map.

    Raises:
        Exception: torch.fx cannot trace the part.
    """
    graph, types = trace(tracer, part), list[Any]()
    inputs = {node.target: node for node in graph.nodes if node.op == "placeholder"}
    for name, parameter in inspect.signature(part.forward).parameters.items():
        annotation, is_option = parameter.annotation, parameter.default is None
        if not is_option:
            # For torch.fx nothing is an instance of Tensor, so that it takes the way for lists.
            choices = get_args(annotation) if get_origin(annotation) is Union else (annotation,)
            annotation = next((choice for choice in choices if get_origin(choice) is list), None)
        types.append(annotation)
        if is_option and (users := list(inputs[name].users)):
            without = trace(tracer, part, {name: None})
            substitute = _find_substitute(inputs[name], graph, without)
            with graph.inserting_before(users[0]):
                chosen = graph.call_function(_or_else, (inputs[name], substitute))
            for user in users:
                user.replace_input_with(inputs[name], chosen)
        elif parameter.default not in (None, Parameter.empty):
            raise AttentionError(f"it has the option {parameter}, of which torch.fx fixes a value")
    return graph, types


def _find_substitute(option: fx.Node, graph: fx.Graph, without: fx.Graph) -> fx.Node:
    """The node of a graph that stands for an option where that is not passed.

    torch.fx takes options to be passed, since it knows no values.

    Args:
        option: an input of the graph.
        graph: what a part computes if the option is passed.
        without: what it computes if the option is not passed.

    Raises:
        AttentionError: the two differ in more than one value.
    """
    twins: dict[fx.Node, fx.Node] = {}
    substitutes = set[fx.Node | None]()
    for node, twin in zip_longest(_steps(graph, option), _steps(without, option)):
        if node is None or twin is None or (node.op, node.target) != (twin.op, twin.target):
            raise AttentionError(f"it computes something else without {option.name}")
        twins[twin] = node
        for input_node, other in zip_longest(node.all_input_nodes, twin.all_input_nodes):
            if input_node is option:
                substitutes.add(twins.get(other))
    if len(substitutes) != 1 or (substitute := substitutes.pop()) is None:
        raise AttentionError(f"more than one value stands for {option.name} without it")
    return substitute


def _steps(graph: fx.Graph, option: fx.Node) -> list[fx.Node]:
    """The nodes of a graph, without an option and torch.fx's check that it is not passed."""
    names = (option.target, f"{option.target}_1")  # torch.fx numbers arguments with fixed values.
    options = [node for node in graph.nodes if node.op == "placeholder" and node.target in names]
    checks = [user for node in options for user in node.users if not user.users]
    return [node for node in graph.nodes if node not in options and node not in checks]


def _or_else(value: Tensor | None, substitute: Tensor) -> Tensor:
    """A value, or what stands for it where there is none."""
    return substitute if value is None else value


class _PartTracer(fx.Tracer):
    """Traces into modules that have slots, and calls all others.

    Attributes:
        attentions: the paths of those that are no modules with a form for TorchScript themselves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.attentions = set[str]()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is called, and not traced."""
        if any(isinstance(module, MapSlot) for module in m.modules()):
            return False
        if is_leaf(m) and not hasattr(m, _PREPARE):
            self.attentions.add(module_qualified_name)
        return True


def _names_in_state(traced: nn.Module, part: nn.Module) -> dict[str, str]:
    """The keys of the part's weights by those of the traced module, which shares them."""
    keys = {id(tensor): key for key, tensor in part.state_dict(keep_vars=True).items()}
    state = traced.state_dict(keep_vars=True)
    return {name: keys[id(tensor)] for name, tensor in state.items() if id(tensor) in keys}


def _show_names(
    names: dict[str, str], _module: nn.Module, state: dict[str, Any], prefix: str, _metadata: Any
) -> None:
    """Name the weights in a state dict as the part does."""
    for name, key in names.items():
        state[f"{prefix}{key}"] = state.pop(f"{prefix}{name}")


def _hide_names(
    names: dict[str, str], _module: nn.Module, state: dict[str, Any], prefix: str, *_: Any
) -> None:
    """Name the weights of a state dict as the traced module does."""
    for name, key in names.items():
        if f"{prefix}{key}" in state:
            state[f"{prefix}{name}"] = state.pop(f"{prefix}{key}")
