"""The `forward` of an `AttendedModule`: `forward_for`.

It receives what the backbone's module receives, with the same names and types: TorchScript compiles
no function that receives any number of arguments, and blocks of some backbones receive a list of
maps, or a map and an option. So its source is written for each class of modules, as torch.fx writes
that of its graphs.
"""

from __future__ import annotations

import inspect
import itertools
import linecache
from collections.abc import Callable, Sequence
from functools import cache
from inspect import Parameter
from typing import Any

from torch import fx, nn

_SOURCE = """\
def forward(self, {declared}){returned}:
    if self.restored is not None:
        {x} = self.restored.recall()
    for slot in self.stored:
        {x} = slot.keep({x})
    if self.attention_in is not None:
        {x} = self.attention_in({x})
    if self.attention_shortcut is not None:
        {x} = self.attention_shortcut({x})
    y = self._checkpoint_wrapped_module({passed})
    if self.attention is not None:
        y = self.attention(y)
    return y
"""
_numbers = itertools.count()


def forward_class(module: nn.Module) -> type[nn.Module] | None:
    """The class of a module whose `forward` names all its arguments, a map first; else None."""
    if isinstance(module, fx.GraphModule) or "forward" in vars(module):
        return None  # Another module of its class may receive something else.
    return type(module) if _names_all_arguments(type(module)) else None  # type: ignore[arg-type]


@cache  # Every trial asks for the same few classes.
def _names_all_arguments(module_class: type[nn.Module]) -> bool:
    try:
        first, *rest = _signature(module_class).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = {Parameter.POSITIONAL_OR_KEYWORD}
    others = kinds | {Parameter.KEYWORD_ONLY}
    return first.kind in kinds and all(parameter.kind in others for parameter in rest)


@cache
def forward_for(module_class: type[nn.Module] | None) -> Callable[..., Any]:
    """A function that computes the output of an `AttendedModule` with all its attentions.

    Args:
        module_class: see `forward_class`; None for modules that receive a map and anything else.
    """
    if module_class is None:
        return _compile_forward(["x", "*args", "**kwargs"], ["x", "*args", "**kwargs"])
    declared, passed, scope = [], [], dict[str, Any]()
    signature = _signature(module_class)
    for number, (name, parameter) in enumerate(signature.parameters.items()):
        is_keyword = parameter.kind is Parameter.KEYWORD_ONLY
        if is_keyword and "*" not in declared:
            declared.append("*")
        passed.append(f"{name}={name}" if is_keyword else name)
        annotation = default = ""
        if parameter.annotation is not Parameter.empty:
            annotation = f": Type{number}"
            scope[f"Type{number}"] = parameter.annotation
        if parameter.default is not Parameter.empty:
            default = f" = default{number}"
            scope[f"default{number}"] = parameter.default
        declared.append(f"{name}{annotation}{default}")
    returned = ""
    if signature.return_annotation is not Parameter.empty:
        returned = " -> Result"
        scope["Result"] = signature.return_annotation
    return _compile_forward(declared, passed, returned, scope)


def _signature(module_class: type[nn.Module]) -> inspect.Signature:
    """The signature of `forward` without `self`, and without annotations of unknown meaning."""
    try:
        signature = inspect.signature(module_class.forward, eval_str=True)
    except NameError:  # They may name what is imported for type checkers only.
        signature = inspect.signature(module_class.forward)
        signature = signature.replace(return_annotation=Parameter.empty)
    _, *parameters = signature.parameters.values()
    parameters = [
        p.replace(annotation=Parameter.empty) if isinstance(p.annotation, str) else p
        for p in parameters
    ]
    return signature.replace(parameters=parameters)


def _compile_forward(
    declared: Sequence[str],
    passed: Sequence[str],
    returned: str = "",
    scope: dict[str, Any] | None = None,
) -> Callable[..., Any]:
    """Compile the source.

    Args:
        declared: the parameters with their types and defaults, as in a `def`; the map first.
        passed: the arguments for the module.
        returned: ` -> ` and the type of the result, if there is one.
        scope: types and defaults by their names in the source.
    """
    names = dict(scope or {})
    source = _SOURCE.format(
        declared=", ".join(declared), returned=returned, passed=", ".join(passed), x=passed[0]
    )
    # TorchScript and tracebacks read the source of a function from its file.
    file = f"<forward of attended modules {next(_numbers)}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    exec(compile(source, file, "exec", dont_inherit=True), names)
    forward: Callable[..., Any] = names["forward"]
    return forward
