"""Say in one sentence what is wrong with the fields of a value."""

from __future__ import annotations

from pydantic import ValidationError

from ..sanitize import quote_value


def describe_validation_error(error: ValidationError, subject: str) -> str:
    """The first problem of a pydantic error as one sentence that begins with `subject`."""
    problem = error.errors()[0]
    field = ".".join(map(str, problem["loc"]))
    message = problem["msg"].removeprefix("Value error, ")
    value = problem.get("input")
    quoted = quote_value(value)
    is_redundant = not field or isinstance(value, dict) or quoted in message
    got = "" if is_redundant else f" (got {quoted})"
    prefix = f"{subject}: {field}: " if field else f"{subject}: "
    return f"{prefix}{message[:1].lower()}{message[1:]}{got}"
