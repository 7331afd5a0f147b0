"""The settings of a search as data, for the command line and the guide.

Everything here is read from the fields of `SearchRequest`: nothing is declared twice.
"""

from __future__ import annotations

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from ...runners.recipe import Recipe
from ...studies.config import Pruning, RunPlan
from .request import LEFT_OPEN, SearchRequest

Kind = type[bool] | type[int] | type[float] | type[str]

REQUIRED = "Backbone and data"
SEARCH = "Search"
PLAN = "Budget and workers"
RECIPE = "Training recipe"
GROUPS = (REQUIRED, SEARCH, PLAN, RECIPE)


@dataclass(frozen=True)
class Setting:
    """One setting as a user meets it.

    Attributes:
        name: the field's name; `option` has a dash in place of each underscore.
        kind: the type of one value on the command line; `str` if `SearchRequest` parses the text.
        repeated: whether the option may be repeated.
        meaning: one or more sentences.
        choices: the allowed words; empty if other values are allowed too.
        default: the default, in words; None if there is nothing to say.
        group: one of `GROUPS`.
    """

    name: str
    kind: Kind
    repeated: bool
    meaning: str
    choices: tuple[str, ...]
    default: str | None
    group: str

    @property
    def option(self) -> str:
        """The option on the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def help(self) -> str:
        """Meaning, choices and default as sentences."""
        sentences = [self.meaning]
        if self.repeated:
            sentences.append("May be repeated.")
        if self.choices:
            sentences.append(f"Choices: {', '.join(self.choices)}.")
        if self.default is not None:
            sentences.append(f"Default: {self.default}.")
        return " ".join(sentences)


def search_settings() -> tuple[Setting, ...]:
    """All settings of `attentune search`, group by group."""
    settings = [_setting(name, field) for name, field in SearchRequest.model_fields.items()]
    required = sorted((s for s in settings if s.group == REQUIRED), key=lambda s: s.name)
    return (*required, *(s for group in GROUPS[1:] for s in settings if s.group == group))


def _setting(name: str, field: FieldInfo) -> Setting:
    types_of_value = list(_types(field))
    repeated = any(... in get_args(kind) for kind in types_of_value)
    return Setting(
        name=name,
        kind=_kind(types_of_value),
        repeated=repeated,
        meaning=field.description or "",
        choices=_choices(types_of_value),
        default=_default(name, field),
        group=_group(name, field),
    )


def _types(field: FieldInfo) -> Iterator[Any]:
    """The types that a value may have; a `BeforeValidator` among them reads it from text."""
    yield from field.metadata
    yield from _members(field.annotation)


def _members(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _members(member)
    elif get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        yield from metadata
        yield from _members(inner)
    elif annotation is not type(None):
        yield annotation


def _kind(types_of_value: list[Any]) -> Kind:
    """The type of a value on the command line: the only plain type, or else text."""
    if any(isinstance(kind, BeforeValidator) for kind in types_of_value):
        return str
    kinds: set[Any] = {get_args(k)[0] if get_origin(k) is tuple else k for k in types_of_value}
    kinds = {kind for kind in kinds if isinstance(kind, type) or get_origin(kind) is Literal}
    kind = kinds.pop()
    return kind if not kinds and kind in (bool, int, float) else str


def _choices(types_of_value: list[Any]) -> tuple[str, ...]:
    """The allowed words of a setting; empty if it takes other values too."""
    words = [get_args(kind) for kind in types_of_value if get_origin(kind) is Literal]
    if any(isinstance(kind, type) for kind in types_of_value):
        return ()
    return tuple(word for choices in words for word in choices)


def _default(name: str, field: FieldInfo) -> str | None:
    if name in LEFT_OPEN:
        left_open = LEFT_OPEN[name]
        return f"auto ({left_open.meaning})" if left_open.value else left_open.meaning
    if field.is_required():
        return None
    match field.get_default(call_default_factory=True):
        case bool(value):
            return "yes" if value else "no"
        case int() | float() as number:
            return f"{number:g}"
        case tuple() as names:
            return ", ".join(names) or None
        case Pruning() as pruning:
            return pruning.pruner
        case value:
            return None if value is None else str(value)


def _group(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return REQUIRED
    if name in RunPlan.model_fields:
        return PLAN
    return RECIPE if name in Recipe.model_fields or name == "memory_format" else SEARCH
