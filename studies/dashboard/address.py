"""The address of a page as a value: which study, which filters, what is selected.

All of it is in the query string, so a link restores what its sender saw.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qs, urlencode

from ..figures.colouring import COLOURINGS, Colouring

LIST_FIELDS = ("attention", "position", "stage", "ratio", "compared")
QUERY_KEYS = {"compared": "with"}
"""The fields whose key in the query string is not their name."""
SEPARATOR = "~"
MAX_TRIAL_DIGITS = 9


def unread_values(query: str | None) -> list[str]:
    """The parts of a query string that no address has, such as `colour=red`."""
    read = parse_qs(Address.from_query(query).query.lstrip("?"))
    defaults = {"log": "0", "colour": Address.colour}
    return [
        f"{key}={values[-1]}"
        for key, values in parse_qs((query or "").lstrip("?")).items()
        if key not in read and values[-1] != defaults.get(key)
    ]


@dataclass(frozen=True)
class Address:
    """The state of a page.

    Attributes:
        study: its name; None: the first of the database.
        cost: the key of the cost to draw; None: the study's first.
        third: the key of the third objective; None: the cost after the first.
        log: whether the axis of the cost is logarithmic.
        colour: what markers are coloured by.
        attention, position, stage, ratio: filters: architectures with one of these; empty: all.
        trial: the number of the selected trial.
        compared: names of other studies to compare with.
    """

    study: str | None = None
    cost: str | None = None
    third: str | None = None
    log: bool = False
    colour: Colouring = "attention"
    attention: tuple[str, ...] = ()
    position: tuple[str, ...] = ()
    stage: tuple[str, ...] = ()
    ratio: tuple[str, ...] = ()
    trial: int | None = None
    compared: tuple[str, ...] = ()

    @classmethod
    def from_query(cls, query: str | None) -> Address:
        """Read a query string; what cannot be read keeps its default."""
        values = {
            key: last
            for key, (*_, last) in parse_qs((query or "").lstrip("?")).items()
            if "\x00" not in last  # PostgreSQL takes no text with this character.
        }
        state: dict[str, Any] = {n: values[n] for n in ("study", "cost", "third") if n in values}
        state["log"] = values.get("log") == "1"
        if values.get("colour") in COLOURINGS:
            state["colour"] = values["colour"]
        for name in LIST_FIELDS:
            if value := values.get(QUERY_KEYS.get(name, name)):
                state[name] = tuple(item for item in value.split(SEPARATOR) if item)
        trial = values.get("trial", "")
        if trial.isdecimal() and len(trial) <= MAX_TRIAL_DIGITS:
            state["trial"] = int(trial)
        return cls(**state)

    def with_changes(self, changes: Mapping[str, Any]) -> Address:
        """A changed address, from values of controls by name; unknown names are ignored."""
        names = {field.name for field in fields(self)}
        known: dict[str, Any] = {
            name: tuple(value or ()) if name in LIST_FIELDS else value
            for name, value in changes.items()
            if name in names
        }
        return replace(self, **known)

    @property
    def query(self) -> str:
        """The query string with its question mark; only what differs from the defaults."""
        values: dict[str, str] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            key = QUERY_KEYS.get(field.name, field.name)
            if isinstance(value, tuple):
                values[key] = SEPARATOR.join(value)
            else:
                values[key] = "1" if value is True else str(value)
        return f"?{urlencode(values)}" if values else ""

    @property
    def filtered(self) -> bool:
        """Whether a filter is set."""
        return bool(self.attention or self.position or self.stage or self.ratio)
