"""Attentions in a form that `torch.jit.script` compiles.

An attention chooses its kernels by what it sees of a map, which TorchScript cannot compile. Its
plain formula can be: torch.fx writes it down as a list of operators, with the parameters of the
attention. `torch.jit.script` asks every module for another one to compile in its place, by
`__prepare_scriptable__`, and puts that into the network. So the network that was scripted computes
the plain formulas from then on, also where it is not scripted, with the same keys and weights.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...errors import AttentionError
from ..attentions.gates import SafeBatchNorm1d, SafeBatchNorm2d, SafeGroupNorm

_PLAIN_NORMS: dict[type[nn.Module], type[nn.Module]] = {
    SafeBatchNorm1d: nn.BatchNorm1d,
    SafeBatchNorm2d: nn.BatchNorm2d,
    SafeGroupNorm: nn.GroupNorm,
}


class Permutation(nn.Module):
    """Permutes the axes of a map."""

    def __init__(self, *axes: int) -> None:
        super().__init__()
        self.axes = list(axes)

    def forward(self, x: Tensor) -> Tensor:
        """The map with its axes in another order."""
        return x.permute(self.axes)


def scriptable_sequence(
    attentions: nn.Module,
    before: Permutation | None = None,
    after: Permutation | None = None,
) -> nn.Sequential:
    """A sequence of attentions in a form that can be scripted.

    Args:
        attentions: its children are the attentions, one after the other.
        before: what the map passes before them.
        after: what it passes after them.
    """
    children = OrderedDict[str, nn.Module]()
    if before is not None:
        children["before"] = before
    children.update((name, scriptable_attention(a)) for name, a in attentions.named_children())
    if after is not None:
        children["after"] = after
    sequence = nn.Sequential(children)
    # While it prepares a network, torch.jit.script remembers modules by their addresses. One that
    # is freed meanwhile would leave its address, and what is remembered, to another module.
    sequence.__dict__["_prepared_from"] = (attentions,)
    return sequence


def scriptable_attention(attention: nn.Module) -> nn.Module:
    """An attention that computes the same and can be scripted.

    Args:
        attention: of the catalogue, or a user's; it receives and returns one map (N, C, H, W).

    Returns:
        A module with the same parameters and keys; the attention itself if torch.fx cannot trace
        it. In training, its norms refuse a single value a channel, as torch's do.
    """
    try:
        graph = trace(_AttentionTracer(), attention)
    except Exception:
        return attention  # TorchScript may be able to compile it as it is, or says why not.
    traced = write_module(attention, graph)
    for path, module in list(traced.named_modules()):
        if (kind := _PLAIN_NORMS.get(type(module))) is not None:
            traced.set_submodule(path, _as_plain(module, kind))
    return traced


def trace(tracer: fx.Tracer, module: nn.Module, fixed: dict[str, Any] | None = None) -> fx.Graph:
    """What a module computes, in training and in evaluation.

    Args:
        tracer: follows its operations.
        module: to be traced.
        fixed: values of arguments of its `forward`.

    Raises:
        AttentionError: the two differ by more than what the layers that it calls do, as with
            `F.dropout(x, training=self.training)`; a graph would fix one of them.
        Exception: torch.fx cannot trace the module.
    """
    modes = {m: m.training for m in module.modules()}
    try:
        graphs = [tracer.trace(module.train(mode), fixed) for mode in (True, False)]
    finally:
        for m, mode in modes.items():
            m.training = mode
    if str(graphs[0]) != str(graphs[1]):
        raise AttentionError(
            f"{type(module).__name__} computes something else in training than in evaluation"
        )
    return graphs[1]


def write_module(traced: nn.Module, graph: fx.Graph, types: Iterable[Any] = ()) -> fx.GraphModule:
    """The module that torch.fx has traced, with the function that it wrote down.

    Args:
        traced: the module; the result has its parameters, in their order.
        graph: what it computes.
        types: of its inputs; the default, as None, is a map.
    """
    for node in graph.nodes:
        node.type = None
    inputs = (node for node in graph.nodes if node.op == "placeholder")
    for node, kind in zip(inputs, types, strict=False):
        node.type = kind
    graph.set_codegen(fx.graph.CodeGen())  # Without the annotations of `forward`, which are texts.
    module = fx.GraphModule(traced, graph)
    _order_as(module, traced)
    # See `scriptable_sequence`.
    module.__dict__["_prepared_from"] = (traced,)
    module.train(traced.training)
    return module


def is_leaf(module: nn.Module) -> bool:
    """Whether `make_leaf` was called with a module."""
    return "__module__" in vars(module)


def make_leaf(module: nn.Module) -> None:
    """Let torch.fx call a module in the programs that it traces, and not trace into it.

    Attentions choose what to compute by the shape of a map, which is not known while a network is
    traced. torch.fx decides by `__module__`.
    """
    module.__dict__["__module__"] = "torch.nn"


class _AttentionTracer(fx.Tracer):
    """Keeps norms as layers, because what they compute depends on their mode."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module is called, and not traced."""
        is_norm = isinstance(m, (_BatchNorm, nn.GroupNorm))
        return is_norm or super().is_leaf_module(m, module_qualified_name)


def _order_as(traced: nn.Module, attention: nn.Module) -> None:
    """Order parameters, buffers and children as in the attention, and not by their first use."""
    for name in ("_parameters", "_buffers", "_modules"):
        members = getattr(traced, name)
        order = [key for key in getattr(attention, name) if key in members]
        for key in (*order, *(members.keys() - set(order))):
            members[key] = members.pop(key)
    for name, child in traced.named_children():
        if isinstance(original := getattr(attention, name, None), nn.Module):
            _order_as(child, original)


def _as_plain(norm: nn.Module, kind: type[nn.Module]) -> nn.Module:
    """A norm of torch's own class with the parameters and buffers of another."""
    plain = kind.__new__(kind)
    plain.__dict__.update(norm.__dict__)
    return plain
