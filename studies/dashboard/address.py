"""What the address of a page says, so that a link shows the same: a value, and its query string."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qs, urlencode

from ..figures.colouring import COLOURINGS, Colouring

LISTS = ("attention", "position", "stage", "ratio", "with_")


@dataclass(frozen=True)
class Address:
    """One state of a page.

    Attributes:
        study: its name; "" for the first of the database.
        cost, third: keys of costs; "" for the study's first, and for no third objective.
        log: whether the cost has a logarithmic scale.
        colour: what markers are coloured by.
        attention, position, stage, ratio: only architectures with one of these; empty: all.
        trial: whose card is open.
        with_: other studies, to compare with.
    """

    study: str = ""
    cost: str = ""
    third: str = ""
    log: bool = False
    colour: Colouring = "attention"
    attention: tuple[str, ...] = ()
    position: tuple[str, ...] = ()
    stage: tuple[str, ...] = ()
    ratio: tuple[str, ...] = ()
    trial: int | None = None
    with_: tuple[str, ...] = ()

    @classmethod
    def from_query(cls, query: str | None) -> Address:
        """Read a query string; whatever cannot be read is left at its default."""
        given = {key: values[-1] for key, values in parse_qs((query or "").lstrip("?")).items()}
        read: dict[str, Any] = {n: given[n] for n in ("study", "cost", "third") if n in given}
        read["log"] = given.get("log") == "1"
        if given.get("colour") in COLOURINGS:
            read["colour"] = given["colour"]
        for name in LISTS:
            if value := given.get(name.rstrip("_")):
                read[name] = tuple(part for part in value.split("~") if part)
        if given.get("trial", "").isdecimal() and len(given["trial"]) < 10:
            read["trial"] = int(given["trial"])
        return cls(**read)

    def with_changes(self, changes: Mapping[str, Any]) -> Address:
        """Another state; lists may come as lists."""
        known = {field.name for field in fields(self)}
        told: dict[str, Any] = {
            name: tuple(value or ()) if name in LISTS else value
            for name, value in changes.items()
            if name in known
        }
        return replace(self, **told)

    @property
    def query(self) -> str:
        """The query string, with its question mark; only what differs from the defaults."""
        said: dict[str, str] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            name = field.name.rstrip("_")
            if isinstance(value, tuple):
                said[name] = "~".join(value)
            else:
                said[name] = "1" if value is True else str(value)
        return f"?{urlencode(said)}" if said else ""

    @property
    def filtered(self) -> bool:
        """Whether some architectures are left out."""
        return bool(self.attention or self.position or self.stage or self.ratio)
