"""Quantities as people write them: `5M` parameters, `2G` MACs, `8ms`, `2h`, `1h30m`.

A text is read in one way or not at all:

    number     digits, perhaps in groups of three (`5,000,000` or `5_000_000`), perhaps with a
               fraction (`1.5`) and an exponent (`5e6`)
    quantity   a number, perhaps followed by a unit: `5M`, `5 M`, `5e6`
    duration   a quantity in seconds, or several with units that become smaller: `1h30m`
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from numbers import Real

from ...errors import UsageError
from ...sanitize import MAX_QUOTED_LENGTH, quote_value

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
MAX_SHAPE_DIGITS = 5
SMALLER_UNIT = {"d": "h", "h": "m", "m": "s", "min": "s"}
"""The unit that a number without one probably has, after a number with this unit."""

_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]{1,3}(?:_[0-9]{3})+|[0-9]+)"
_PART = re.compile(rf"({_DIGITS}(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?) ?([a-z]*)")


class QuantityError(UsageError, ValueError):
    """A quantity that cannot be read, or that is not above zero."""


def parse_quantity(text: str | float, units: Mapping[str, float], example: str) -> float:
    """The number that a text with a unit means.

    Args:
        text: a number with a unit, such as `5M`, or a number.
        units: by name in lower case, how many of the base unit each one is.
        example: an example for the error's message.

    Raises:
        QuantityError: the text cannot be read, has an unknown unit, or is not above zero.
    """
    if not isinstance(text, str):
        return _positive(text, text, example)
    parts = _split(text)
    if len(parts) != 1 or parts[0][1] not in units:
        raise QuantityError(
            f"cannot read {quote_value(text)}; write for example {example}{_hint(text)}"
        )
    number, unit = parts[0]
    return _positive(number * units[unit], text, example)


def parse_duration(text: str | float, units: Mapping[str, float], example: str) -> float:
    """The length of time that a text means, which may have several parts.

    Args:
        text: one or more numbers, each with a unit, such as `1h30m`; or a number.
        units: by name in lower case, how many of the base unit each one is.
        example: an example for the error's message.

    Raises:
        QuantityError: the text cannot be read, a part has no unit or one that is not smaller than
            the unit before, or the sum is not above zero.
    """
    parts = _split(text) if isinstance(text, str) else []
    if len(parts) < 2:
        return parse_quantity(text, units, example)
    names = [unit for _, unit in parts]
    if "" in names:
        smaller = SMALLER_UNIT.get(names[-2]) if names.index("") == len(names) - 1 else None
        if smaller is None:
            raise _unreadable(text, example)
        likely = f"{str(text).strip()}{smaller}"
        raise QuantityError(f"cannot read {quote_value(text)}: a part has no unit; write {likely}")
    factors = [units.get(name, math.nan) for name in names]
    if not all(larger > smaller for larger, smaller in itertools.pairwise(factors)):
        raise _unreadable(text, example)
    total = sum(number * factor for (number, _), factor in zip(parts, factors, strict=True))
    return _positive(total, text, example)


def _split(text: str) -> list[tuple[float, str]]:
    """The numbers of a text with their units in lower case; empty if it cannot be read."""
    plain = text.strip(" ").lower() if text.isascii() else ""
    parts, end = [], 0
    while end < len(plain):
        match = _PART.match(plain, end + (plain[end] == " " and end > 0))
        if match is None:
            return []
        digits, unit = match.groups()
        parts.append((float(digits.replace(",", "").replace("_", "")), unit))
        end = match.end()
    return parts


def _positive(number: object, text: object, example: str) -> float:
    if isinstance(number, bool) or not isinstance(number, Real):
        raise _unreadable(text, example)
    try:
        value = float(number)
    except OverflowError:
        value = math.inf
    if not 0 < value < math.inf:
        raise QuantityError(f"{quote_value(text)} is not a finite number above zero")
    return value


def _unreadable(text: object, example: str) -> QuantityError:
    hint = _hint(text) if isinstance(text, str) and len(text) <= MAX_QUOTED_LENGTH else ""
    return QuantityError(f"cannot read {quote_value(text)}; write for example {example}{hint}")


def _hint(text: str) -> str:
    """What to write in place of digits in groups with other separators."""
    if re.fullmatch(r"\s*[0-9]{1,3}( [0-9]{3})+\s*[a-zA-Z]*\s*", text):
        return f", or {text.strip().replace(' ', ',')} with commas"
    if re.fullmatch(r"\s*[0-9]+,[0-9]+\s*[a-zA-Z]*\s*", text):
        return f", or {text.strip().replace(',', '.')} with a decimal point"
    return ""


def parse_number(text: str | float) -> float:
    """`0.003` or `3e-3` → 0.003."""
    return parse_quantity(text, {"": 1}, "0.003")


def parse_count(text: str | float) -> float:
    """`5M` → 5 000 000."""
    return parse_quantity(text, COUNT_UNITS, "5M or 250k")


def parse_whole(text: str | float) -> int:
    """`200M` → 200 000 000, rounded to a whole number."""
    return round(parse_count(text))


def parse_milliseconds(text: str | float) -> float:
    """`8ms` → 8."""
    return parse_quantity(text, MILLISECOND_UNITS, "8ms")


def parse_seconds(text: str | float) -> float:
    """`2h`, `1h30m`, `90` → seconds."""
    return parse_duration(text, SECOND_UNITS, "2h, 90m or 1h30m")


def parse_mebibytes(text: str | float) -> float:
    """`2GiB` → 2048."""
    return parse_quantity(text, MEBIBYTE_UNITS, "2GiB or 500MiB")


def parse_range(values: str | Sequence[float]) -> tuple[float, float]:
    """`0,4095` → (0, 4095).

    Raises:
        QuantityError: it is not two finite numbers, the smaller one first.
    """
    try:
        low, high = map(float, values.split(",") if isinstance(values, str) else values)
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not -math.inf < low < high < math.inf:
        raise QuantityError(
            f"cannot read {quote_value(values)}; write the smaller value first, for example 0,4095"
        )
    return low, high


def parse_shape(values: str | Sequence[int | str]) -> tuple[int, int, int]:
    """`3x640x640` → (3, 640, 640): channels, height and width.

    Raises:
        QuantityError: it is not three whole numbers above zero.
    """
    parts = values.replace("×", "x").split("x") if isinstance(values, str) else values
    digits = [str(part).strip() for part in parts] if isinstance(parts, Sequence) else []
    is_shape = len(digits) == 3 and all(
        part.isdecimal() and 0 < len(part) <= MAX_SHAPE_DIGITS and int(part) for part in digits
    )
    if not is_shape:
        raise QuantityError(
            f"cannot read {quote_value(values)}; write channels, height and width, for example "
            "3x640x640"
        )
    channels, height, width = map(int, digits)
    return channels, height, width
