"""Options of a user's attention, read from the signature of its class."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ....errors import AttentuneError
from ..entry import START, Option, ratio

_DEFAULT_RATIO = 16


@dataclass(frozen=True)
class Signature:
    """What a class can be called with.

    Attributes:
        label: the attention's name and origin, for messages.
        parameters: the parameters after the channels.
        hints: their type hints, by name.
        takes_any: whether the class has `**kwargs`.
    """

    label: str
    parameters: tuple[inspect.Parameter, ...]
    hints: dict[str, Any]
    takes_any: bool

    @classmethod
    def of(cls, attention: type, label: str) -> Signature:
        """Read a class; AttentuneError if it takes no channels."""
        parameters = list(inspect.signature(attention).parameters.values())
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        if not named:
            raise AttentuneError(f"{label} has to take the channels as its first argument.")
        try:
            hints = get_type_hints(attention.__init__)  # type: ignore[misc]
        except Exception:  # An annotation may use a name that exists for type checkers only.
            hints = {}
        takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
        return cls(label, tuple(named[1:]), hints, takes_any)

    @property
    def names(self) -> set[str]:
        """Names of the parameters after the channels."""
        return {parameter.name for parameter in self.parameters}

    def options(self) -> tuple[Option, ...]:
        """One option a parameter, `r` first and `start` last.

        Raises:
            AttentuneError: for a parameter that no architecture text could set.
        """
        options = [self._option(parameter) for parameter in self.parameters]
        return tuple(sorted(options, key=lambda o: (o.name == "start") - (o.name == "r")))

    def checked(self, options: Sequence[Option]) -> tuple[Option, ...]:
        """The declared options; AttentuneError for one that the class does not take."""
        for option in options:
            name = "reduction_ratio" if option.name == "r" else option.name
            if not self.takes_any and name not in self.names:
                raise AttentuneError(
                    f"{self.label} declares {option.name!r}, but takes no {name!r}."
                )
        return tuple(options)

    def _option(self, parameter: inspect.Parameter) -> Option:
        name, default = parameter.name, parameter.default
        hint = self.hints.get(name)
        if name == "start":
            return START
        if name == "reduction_ratio":
            return ratio(default if isinstance(default, int) else _DEFAULT_RATIO)
        if name == "r":
            raise AttentuneError(f"{self.label}: call its argument 'r' reduction_ratio.")
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        if isinstance(default, str) and default in choices:
            return Option(name, default, "one of its settings", choices=tuple(map(str, choices)))
        if isinstance(default, bool | int | float):
            return Option(name, default, "one of its settings")
        raise AttentuneError(
            f"{self.label}: its argument {name!r} needs a default that is a bool, an int, a float, "
            "or a string with Literal[…] as its annotation; or declare its options."
        )
