"""Collect the source of definitions with everything of this package that they need.

`SourceListing.add` takes a class or function by name, and first whatever its source names: other
definitions of its module, what the module imports from this package, and imports of libraries. So
the listing runs alone. The source is copied as it stands, apart from methods for which a class has
a plain form (`plain_forms.py`), and references to files that the reader does not have.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

from ...errors import AttentuneError

MAX_LINE_LENGTH = 100
_PACKAGE = __package__.partition(".")[0]
_REFERENCES = re.compile(r"[;,]? ?\(?see `\w+\.py`\)?| ?\(benchmarks/[\w./]+\)")
"""References to files of this package in docstrings."""
Definition = ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign


def without_references(text: str) -> str:
    """A text without its references to files of this package."""
    return _REFERENCES.sub("", text)


@dataclass(frozen=True)
class _Module:
    """The source of a module, and what its top level binds to names."""

    name: str
    lines: tuple[str, ...]
    definitions: Mapping[str, Definition]
    imports: Mapping[str, tuple[str, str]]
    """Name → the module and the name in it that are imported; no name for a whole module."""

    def text(self, node: ast.stmt) -> str:
        """The source of a statement, with its decorators and the comment above it."""
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]) - 1
        while first and self.lines[first - 1].lstrip().startswith("#"):
            first -= 1
        return "\n".join(self.lines[first : node.end_lineno])


@lru_cache(maxsize=64)
def _read_module(name: str) -> _Module:
    try:
        source = inspect.getsource(importlib.import_module(name))
    except (OSError, TypeError) as error:
        raise AttentuneError(f"the source of the module {name!r} is not available") from error
    definitions: dict[str, Definition] = {}
    imports: dict[str, tuple[str, str]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            definitions[node.name] = node
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            definitions |= {target.id: node for target in targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Import):
            for alias in node.names:
                imports[alias.asname or alias.name.partition(".")[0]] = (alias.name, "")
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(name)
            origin = importlib.util.resolve_name(
                "." * node.level + (node.module or ""), _package_of(module)
            )
            imports |= {alias.asname or alias.name: (origin, alias.name) for alias in node.names}
    return _Module(name, tuple(source.splitlines()), definitions, imports)


def _package_of(module: ModuleType) -> str:
    return module.__package__ or ""


class SourceListing:
    """Definitions in an order in which they can run, and their imports.

    Args:
        plain_forms: classes whose methods replace those of the classes in the keys.
        skip_decorators: names of decorators that are left out.
    """

    def __init__(
        self, plain_forms: Mapping[type, type] | None = None, skip_decorators: Iterable[str] = ()
    ) -> None:
        self._plain_forms = plain_forms or {}
        self._skip_decorators = frozenset(skip_decorators)
        self._homes: dict[str, str] = {}
        self._texts: list[str] = []
        self._imports: set[tuple[str, str, str]] = set()

    def add(self, cls: Any, defaults: Mapping[str, Any] | None = None) -> None:
        """Add a class or a function of a module.

        Args:
            cls: the class or function.
            defaults: values that replace the defaults of the class's constructor, by name.

        Raises:
            AttentuneError: its source is not available, or uses two things of one name.
        """
        self._add(cls.__module__, cls.__name__, defaults or {})

    def add_import(self, module: str, name: str = "") -> None:
        """Add an import of a library, `import module` or `from module import name`."""
        self._imports.add((module, name, name or module.partition(".")[0]))

    def add_text(self, text: str) -> None:
        """Add code that needs nothing but what is in the listing."""
        self._texts.append(text)

    def _add(self, module_name: str, name: str, defaults: Mapping[str, Any]) -> None:
        module = _read_module(module_name)
        if name in module.imports:
            origin, imported = module.imports[name]
            if imported and _is_source_of(origin, module_name):
                self._add(origin, imported, defaults)
            else:
                self._imports.add((origin, imported, name))
            return
        node = module.definitions.get(name)
        if node is None or self._homes.get(name) == module_name:
            return
        if name in self._homes:
            raise AttentuneError(f"two definitions are called {name!r}; rename one of them")
        self._homes[name] = module_name
        if "annotations" in module.imports and not module_name.startswith(f"{_PACKAGE}."):
            # Of this package no annotation names what is defined later; without the import the
            # code also runs with `exec`, where dataclasses cannot resolve annotations in strings.
            self._imports.add(("__future__", "annotations", "annotations"))
        if isinstance(node, ast.ClassDef):
            plain = self._plain_forms.get(getattr(importlib.import_module(module_name), name))
            self._texts.append(self._class_text(module, node, plain, defaults))
            return
        self._add_names(module, node)
        self._texts.append(self._undecorated(module, node))

    def _class_text(
        self, module: _Module, node: ast.ClassDef, plain: type | None, defaults: Mapping[str, Any]
    ) -> str:
        """The source of a class, with the methods of its plain form."""
        replaced: dict[str, tuple[_Module, ast.stmt]] = {}
        if plain is not None:
            plain_module = _read_module(plain.__module__)
            plain_node = plain_module.definitions[plain.__name__]
            assert isinstance(plain_node, ast.ClassDef)
            replaced = {
                member.name: (plain_module, member)
                for member in plain_node.body
                if isinstance(member, ast.FunctionDef)
            }
        members = [
            replaced.pop(getattr(member, "name", ""), (module, member)) for member in node.body
        ]
        members = _reachable([*members, *replaced.values()])
        for expression in (*node.bases, *node.decorator_list):
            if not self._is_skipped(expression):
                self._add_names(module, expression)
        for origin, member in members:
            self._add_names(origin, member)
        head = self._head(module, node)
        texts = [_method_text(origin, member, defaults) for origin, member in members]
        return without_references(head + "\n" + _join_members(members, texts))

    def _head(self, module: _Module, node: ast.ClassDef) -> str:
        """The lines of a class before its body, without the decorators that are left out."""
        decorators = [
            module.lines[d.lineno - 1 : d.end_lineno]
            for d in node.decorator_list
            if not self._is_skipped(d)
        ]
        head = module.lines[node.lineno - 1 : node.body[0].lineno - 1]
        return "\n".join(line for lines in (*decorators, head) for line in lines)

    def _undecorated(self, module: _Module, node: Definition) -> str:
        return without_references(module.text(node))

    def _is_skipped(self, decorator: ast.expr) -> bool:
        function = decorator.func if isinstance(decorator, ast.Call) else decorator
        return ast.unparse(function).rpartition(".")[2] in self._skip_decorators

    def _add_names(self, module: _Module, node: ast.AST) -> None:
        for inner in ast.walk(node):
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load):
                self._add(module.name, inner.id, {})

    def render(self, docstring: str) -> str:
        """The listing as the text of a module.

        Args:
            docstring: what the module begins with.
        """
        docstring = docstring.replace("\\", "\\\\").replace('"""', "'''")
        gap = "\n\n" if self._texts[0].startswith(("class ", "def ", "@")) else "\n"
        parts = [f'"""{docstring}\n"""\n']
        parts += [block for block in _import_blocks(self._imports) if block]
        definitions = "\n\n\n".join(self._texts)
        return "\n".join(parts) + gap + definitions + "\n"


def _is_source_of(origin: str, module_name: str) -> bool:
    """Whether a module is of the package whose source is collected."""
    return origin.partition(".")[0] == module_name.partition(".")[0] and (
        origin.partition(".")[0] == _PACKAGE or "." in module_name
    )


def _reachable(members: list[tuple[_Module, ast.stmt]]) -> list[tuple[_Module, ast.stmt]]:
    """Without the private methods that nothing calls, apart from Python's own."""
    while True:
        called = {
            inner.attr
            for _, member in members
            for inner in ast.walk(member)
            if isinstance(inner, ast.Attribute)
        }
        kept = [
            (module, member)
            for module, member in members
            if not isinstance(member, ast.FunctionDef)
            or not member.name.startswith("_")
            or member.name.startswith("__")
            or (member.name in called and not _calls_super_only(member))
        ]
        if len(kept) == len(members):
            return kept
        members = kept


def _calls_super_only(member: ast.FunctionDef) -> bool:
    """Whether a method extends one of torch, as for weights with the keys of earlier versions."""
    return f"super().{member.name}(" in ast.unparse(member)


def _join_members(members: list[tuple[_Module, ast.stmt]], texts: list[str]) -> str:
    """The body of a class: an empty line around methods, none between the other statements."""
    body = texts[0]
    for (_, before), (_, member), text in zip(members, members[1:], texts[1:], strict=False):
        plain_statements = isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(
            member, ast.Assign | ast.AnnAssign
        )
        body += ("\n" if plain_statements else "\n\n") + text
    return body


def _method_text(module: _Module, node: ast.stmt, defaults: Mapping[str, Any]) -> str:
    text = re.sub(r"  # type: ignore\S*", "", module.text(node))
    if not (isinstance(node, ast.FunctionDef) and node.name == "__init__" and defaults):
        return text
    body = "\n".join(module.lines[node.body[0].lineno - 1 : node.end_lineno])
    return f"{_signature(module, node, defaults)}\n{body}"


def _signature(module: _Module, node: ast.FunctionDef, defaults: Mapping[str, Any]) -> str:
    """The first lines of a constructor, with other defaults, as a formatter writes them."""
    source = "\n".join(module.lines)
    arguments = node.args.args
    missing: list[ast.expr | None] = [None] * (len(arguments) - len(node.args.defaults))
    parts = []
    for argument, default in zip(arguments, [*missing, *node.args.defaults], strict=True):
        part = ast.get_source_segment(source, argument) or argument.arg
        if default is not None:
            value = ast.get_source_segment(source, default)
            if argument.arg in defaults:
                value = literal(defaults[argument.arg])
            part += f" = {value}"
        parts.append(part)
    line = f"    def {node.name}({', '.join(parts)}) -> None:"
    if len(line) <= MAX_LINE_LENGTH:
        return line
    inner = "".join(f"        {part},\n" for part in parts)
    return f"    def {node.name}(\n{inner}    ) -> None:"


def literal(value: Any) -> str:
    """A number, bool or text as Python writes it, with double quotes."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def _import_blocks(imports: set[tuple[str, str, str]]) -> list[str]:
    """The import statements: the standard library's, then the others."""
    lines: dict[bool, list[tuple[bool, str, str]]] = {True: [], False: []}
    by_module: dict[str, set[tuple[str, str]]] = {}
    for module, name, alias in imports:
        if name:
            by_module.setdefault(module, set()).add((name, alias))
        else:
            shown = f" as {alias}" if alias != module.partition(".")[0] else ""
            lines[_is_standard(module)].append((False, module, f"import {module}{shown}\n"))
    for module, names in by_module.items():
        shown = ", ".join(
            name if name == alias else f"{name} as {alias}"
            for name, alias in sorted(names, key=_import_order)
        )
        lines[_is_standard(module)].append((True, module, f"from {module} import {shown}\n"))
    future = "".join(line for _, module, line in lines[False] if module == "__future__")
    rest = {
        standard: "".join(line for _, module, line in sorted(block) if module != "__future__")
        for standard, block in lines.items()
    }
    return [future, rest[True], rest[False]]


def _import_order(imported: tuple[str, str]) -> tuple[int, str]:
    """Constants, then classes, then functions, as a linter sorts them."""
    name = imported[0]
    return (0 if name.isupper() and len(name) > 1 else 1 if name[0].isupper() else 2, name)


def _is_standard(module: str) -> bool:
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names and top != "__future__"
