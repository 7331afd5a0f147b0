"""Types of columns that check what is written and what is read.

SQLite stores any value in any column, and a database can be damaged, or changed by another program.
A value that does not fit its column raises `DamagedValueError` where it is read, so that no command
meets a text in place of a number. Text that is written is cleaned (see `sanitize`).

Any column may hold None; the record of a row (`trial_queries.trial_record`, …) knows which may not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Double,
    Integer,
    String,
    Text,
    TypeDecorator,
)

from ...errors import StoreError, UsageError
from ...sanitize import MAX_MESSAGE_LENGTH, MAX_NAME_LENGTH, clean_text, replace_non_finite
from ..records import recorded_architecture

YEARS = (1970, 9000)
"""The first and the last year of a time; later ones cannot be shown in every time zone."""
MAX_SHOWN_LENGTH = 60


class DamagedValueError(StoreError):
    """A value in the database that does not fit its column; `Database` adds which database."""

    @classmethod
    def of(cls, value: Any, expected: str) -> DamagedValueError:
        """The error about a value that is stored where something else belongs."""
        shown = clean_text(repr(value), MAX_SHOWN_LENGTH, one_line=True)
        return cls(f"{shown} is stored where {expected} belongs")


class CheckedType(TypeDecorator[Any]):
    """Base of the types that check a value when it is read.

    Attributes:
        expected: what belongs into such a column, in words.
    """

    impl: Any = Text
    cache_ok = True
    expected = "another value"

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Any] | None:
        """The function that reads a value of the driver's; it raises DamagedValueError."""
        read = super().result_processor(dialect, coltype)
        if read is None:
            return None

        def read_or_raise(value: Any) -> Any:
            try:
                return read(value)
            except (ValueError, TypeError, OverflowError, RecursionError) as error:
                raise DamagedValueError.of(value, self.expected) from error

        return read_or_raise

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """From the database: checked."""
        del dialect
        return None if value is None else self.check(value)

    def check(self, value: Any) -> Any:
        """The value itself, or a clean copy; ValueError or TypeError if it does not fit."""
        raise NotImplementedError


class UtcDateTime(CheckedType):
    """A time that is always timezone-aware and in UTC; SQLite itself stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True
    expected = "a time"

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database: in UTC, for SQLite without the time zone."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def check(self, value: Any) -> datetime:
        """The time in UTC."""
        if not isinstance(value, datetime) or not YEARS[0] <= value.year <= YEARS[1]:
            raise ValueError("no time")
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Whole(CheckedType):
    """A whole number from 0 of 32 bits."""

    impl = Integer
    cache_ok = True
    expected = "a whole number"
    highest = 2**31 - 1

    def process_bind_param(self, value: int | None, _: Dialect) -> int | None:
        """To the database, also from another integer type such as NumPy's."""
        if value is None:
            return None
        if not -self.highest <= int(value) <= self.highest:
            raise UsageError(f"a number of {int(value).bit_length()} bits is too large")
        return int(value)

    def check(self, value: Any) -> int:
        """The number itself."""
        if type(value) is not int or not 0 <= value <= self.highest:
            raise ValueError("no such number")
        return value


class BigWhole(Whole):
    """A whole number from 0 of 64 bits."""

    impl = BigInteger
    cache_ok = True
    highest = 2**63 - 1


class Real(CheckedType):
    """A number of double precision; without limits it may be infinite or NaN, as a loss may."""

    impl = Double
    cache_ok = True

    def __init__(self, low: float = -math.inf, high: float = math.inf) -> None:
        super().__init__()
        self.low, self.high = low, high
        limits = f" from {low:g}" if math.isfinite(low) else ""
        self.expected = f"a number{limits}" + (f" to {high:g}" if math.isfinite(high) else "")

    def process_bind_param(self, value: float | None, _: Dialect) -> float | None:
        """To the database, also from another type of number such as NumPy's; NaN as NULL."""
        number = None if value is None else float(value)
        return None if number is None or math.isnan(number) else number

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """From the database: checked. PostgreSQL can hold NaN, SQLite stores it as NULL."""
        if isinstance(value, float) and math.isnan(value):
            return None
        return super().process_result_value(value, dialect)

    def check(self, value: Any) -> float:
        """The number itself."""
        if type(value) not in (float, int):
            raise TypeError("no number")
        is_limited = math.isfinite(self.low)
        if is_limited and not (math.isfinite(value) and self.low <= value <= self.high):
            raise ValueError("no such number")
        return float(value)


class CleanText(CheckedType):
    """Text that may come from outside: cleaned and cut by `clean_text`."""

    cache_ok = True
    expected = "text"

    def __init__(self, max_length: int = MAX_MESSAGE_LENGTH, *, keep_end: bool = False) -> None:
        super().__init__()
        self.max_length, self.keep_end = max_length, keep_end

    def process_bind_param(self, value: str | None, _: Dialect) -> str | None:
        """To the database."""
        return None if value is None else self.check(value)

    def check(self, value: Any) -> str:
        """The clean text; older versions stored it as it was."""
        return clean_text(value, self.max_length, keep_end=self.keep_end)


class CleanName(CheckedType):
    """A name of one line, cleaned and cut by `clean_text`.

    Args:
        max_length: in characters.
        allowed: the only names that are expected; all are if it is empty.
    """

    impl = String
    cache_ok = True
    expected = "a name"

    def __init__(self, max_length: int = MAX_NAME_LENGTH, allowed: Collection[str] = ()) -> None:
        super().__init__(max_length)
        self.max_length, self.allowed = max_length, tuple(allowed)
        if allowed:
            self.expected = f"one of {', '.join(allowed)}"

    def process_bind_param(self, value: str | None, _: Dialect) -> str | None:
        """To the database."""
        return None if value is None else clean_text(value, self.max_length, one_line=True)

    def check(self, value: Any) -> str:
        """The clean name."""
        name = clean_text(value, self.max_length, one_line=True)
        if self.allowed and name not in self.allowed:
            raise ValueError("another name")
        return name


class ArchitectureText(CheckedType):
    """An architecture text, as it was recorded: its attentions need not be installed here."""

    cache_ok = True
    expected = "an architecture"

    def check(self, value: Any) -> str:
        """The text itself."""
        if type(value) is not str:
            raise TypeError("no text")
        try:
            recorded_architecture(value)
        except StoreError as error:
            raise ValueError(str(error)) from error
        return value


class Json(CheckedType):
    """A JSON object or list; NaN and infinity, which JSON does not have, are stored as null."""

    impl = JSON
    cache_ok = True

    def __init__(self, kind: type[dict[str, Any]] | type[list[Any]]) -> None:
        super().__init__()
        self.kind = kind
        self.expected = f"JSON with a {kind.__name__}"

    def process_bind_param(self, value: Any, _: Dialect) -> Any:
        """To the database."""
        return replace_non_finite(value)

    def check(self, value: Any) -> Any:
        """The value itself."""
        if not isinstance(value, self.kind):
            raise TypeError("JSON of another type")
        return value
