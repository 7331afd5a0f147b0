"""Quantities as people write them: `5M` parameters, `2G` MACs, `8ms`, `2h`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...errors import UsageError

COUNT_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
MILLISECOND_UNITS = {"": 1, "us": 1e-3, "ms": 1, "s": 1e3}
SECOND_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
MEBIBYTE_UNITS = {
    "": 1,
    "m": 1,
    "mib": 1,
    "mb": 1e6 / 2**20,
    "g": 2**10,
    "gib": 2**10,
    "gb": 1e9 / 2**20,
}


def parse_quantity(text: str | float, units: Mapping[str, float], example: str) -> float:
    """The number that a text with units means.

    Args:
        text: one or more numbers, each with a unit, such as `1h30m`, or a number.
        units: by name in lower case, how many of the base unit each one is.
        example: an example for the error's message.

    Raises:
        UsageError: the text cannot be read, has an unknown unit, or is zero.
    """
    if isinstance(text, int | float):
        return float(text)
    plain = text.strip().lower().replace("_", "")
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", plain)
    whole = re.fullmatch(r"(\s*\d+(?:\.\d+)?\s*[a-z]*)+", plain)
    if whole and all(unit in units for _, unit in parts):
        total = sum(float(number) * units[unit] for number, unit in parts)
        if total > 0:
            return total
    raise UsageError(f"cannot read {text!r} as a quantity; write for example {example}")


def parse_count(text: str | float) -> float:
    """`5M` → 5 000 000."""
    return parse_quantity(text, COUNT_UNITS, "5M or 250k")


def parse_milliseconds(text: str | float) -> float:
    """`8ms` → 8."""
    return parse_quantity(text, MILLISECOND_UNITS, "8ms")


def parse_seconds(text: str | float) -> float:
    """`2h`, `1h30m`, `90` → seconds."""
    return parse_quantity(text, SECOND_UNITS, "2h, 90m or 1h30m")


def parse_mebibytes(text: str | float) -> float:
    """`2GiB` → 2048."""
    return parse_quantity(text, MEBIBYTE_UNITS, "2GiB or 500MiB")
