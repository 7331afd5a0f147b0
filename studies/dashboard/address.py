"""The address of a page as a value: which study, which filters, what is selected.

All of it is in the query string, so a link restores what its sender saw, and what is chosen on one
page holds on the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qs, urlencode

from ..figures.colouring import COLOURINGS, Colouring
from ..figures.learning_curves import CURVE_TITLES, CurveKind

LIST_FIELDS = (
    *("attention", "position", "stage", "ratio", "state", "ranges", "choices"),
    *("columns", "compared"),
)
TEXT_FIELDS = ("study", "cost", "third", "search", "sort")
TRIAL_FIELDS = ("trial", "first", "second")
"""The fields that hold the number of a trial."""
FILTER_FIELDS = (
    *("attention", "position", "stage", "ratio"),
    *("state", "search", "ranges", "choices"),
)
QUERY_KEYS = {"compared": "with", "ranges": "range", "choices": "choice"}
"""The fields whose key in the query string is not their name."""
SEPARATOR = "~"
MAX_TRIAL_DIGITS = 9
MAX_PAGE_DIGITS = 6


def unread_values(query: str | None) -> list[str]:
    """The parts of a query string that no address has, such as `colour=red`."""
    read = parse_qs(Address.from_query(query).query.lstrip("?"))
    defaults = {
        "log": "0",
        "edit": "0",
        "colour": Address.colour,
        "curve": Address.curve,
        "page": "1",
    }
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
        curve: what learning curves show of each epoch.
        attention, position, stage, ratio: filters: architectures with an insertion that has one of
            the values of each; empty: all.
        state: filter: trials in one of these states; empty: all.
        search: filter: trials with all of these words; None: all.
        ranges: filter: trials in all of these ranges; `filters.TrialRange` reads them.
        choices: filter: architectures with these choices; `filters.ChoiceFilter` reads them.
        trial: the number of the selected trial.
        edit: whether the tags and the note of the selected trial are edited.
        first, second: numbers of trials whose architectures are compared; None: the defaults.
        sort: the column by which trials are sorted, after a `-` if downwards; None: the best first.
        page: of the table of trials, from 1.
        columns: of the table of trials; empty: the default ones.
        compared: names of other studies to compare with.
    """

    study: str | None = None
    cost: str | None = None
    third: str | None = None
    log: bool = False
    colour: Colouring = "attention"
    curve: CurveKind = "metric"
    attention: tuple[str, ...] = ()
    position: tuple[str, ...] = ()
    stage: tuple[str, ...] = ()
    ratio: tuple[str, ...] = ()
    state: tuple[str, ...] = ()
    search: str | None = None
    ranges: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    trial: int | None = None
    edit: bool = False
    first: int | None = None
    second: int | None = None
    sort: str | None = None
    page: int = 1
    columns: tuple[str, ...] = ()
    compared: tuple[str, ...] = ()

    @classmethod
    def from_query(cls, query: str | None) -> Address:
        """The address of a query string; values that make no sense are left out."""
        values = {
            key: last
            for key, (*_, last) in parse_qs((query or "").lstrip("?")).items()
            if "\x00" not in last  # PostgreSQL takes no text with this character.
        }
        state: dict[str, Any] = {n: values[n] for n in TEXT_FIELDS if n in values}
        for name in ("log", "edit"):
            state[name] = values.get(name) == "1"
        if values.get("colour") in COLOURINGS:
            state["colour"] = values["colour"]
        if values.get("curve") in CURVE_TITLES:
            state["curve"] = values["curve"]
        for name in LIST_FIELDS:
            if value := values.get(QUERY_KEYS.get(name, name)):
                state[name] = tuple(item for item in value.split(SEPARATOR) if item)
        digits = {**dict.fromkeys(TRIAL_FIELDS, MAX_TRIAL_DIGITS), "page": MAX_PAGE_DIGITS}
        for name, most in digits.items():
            number = values.get(name, "")
            if number.isdecimal() and len(number) <= most:
                state[name] = int(number)
        state["page"] = max(1, state.get("page", 1))
        return cls(**state)

    def with_changes(self, changes: Mapping[str, Any]) -> Address:
        """A changed address, from values of controls by name; unknown names are ignored.

        Another filter or order begins at the first page of the table.
        """
        names = {field.name for field in fields(self)}
        known: dict[str, Any] = {
            name: tuple(value or ()) if name in LIST_FIELDS else value
            for name, value in changes.items()
            if name in names
        }
        for name in {"search", "sort"} & known.keys():
            known[name] = (known[name] or "").strip() or None
        changed = replace(self, **known)
        restarts = (changed.filters, changed.sort) != (self.filters, self.sort)
        return replace(changed, page=1) if restarts and "page" not in known else changed

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
    def filters(self) -> tuple[Any, ...]:
        """The values of all filters, by which results can be cached."""
        return tuple(getattr(self, name) for name in FILTER_FIELDS)

    @property
    def filtered(self) -> bool:
        """Whether a filter is set."""
        return any(self.filters)

    def without_filters(self) -> Address:
        """The same page without filters."""
        return self.with_changes(dict.fromkeys(FILTER_FIELDS))
