"""Types of columns that check or clean what is written and what is read."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, Dialect, String, Text, TypeDecorator

from ...sanitize import MAX_MESSAGE_LENGTH, clean_text


class UtcDateTime(TypeDecorator[datetime]):
    """A time that is always timezone-aware and in UTC; SQLite itself stores no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database: in UTC, for SQLite without the time zone."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, _: Dialect) -> datetime | None:
        """From the database: timezone-aware, in UTC."""
        if value is None or value.tzinfo:
            return value and value.astimezone(UTC)
        return value.replace(tzinfo=UTC)


class CleanText(TypeDecorator[str]):
    """Text that may come from outside: cleaned and cut by `clean_text` when it is written."""

    impl = Text
    cache_ok = True

    def __init__(self, max_length: int = MAX_MESSAGE_LENGTH, *, keep_end: bool = False) -> None:
        super().__init__()
        self.max_length, self.keep_end = max_length, keep_end

    def process_bind_param(self, value: str | None, _: Dialect) -> str | None:
        """To the database."""
        if value is None:
            return None
        return clean_text(value, self.max_length, keep_end=self.keep_end)


class CleanName(TypeDecorator[str]):
    """A name of one line that may come from outside, cleaned and cut when it is written."""

    impl = String
    cache_ok = True

    def __init__(self, max_length: int) -> None:
        super().__init__(max_length)
        self.max_length = max_length

    def process_bind_param(self, value: str | None, _: Dialect) -> str | None:
        """To the database."""
        return None if value is None else clean_text(value, self.max_length, one_line=True)
