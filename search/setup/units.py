"""Quantities as people write them: `5M` parameters, `2G` MACs, `8ms`, `2h`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ...errors import UsageError

COUNTS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "b": 10**9, "t": 10**12}
MILLISECONDS = {"": 1, "us": 1e-3, "ms": 1, "s": 1e3}
SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
MEBIBYTES = {
    "": 1,
    "m": 1,
    "mib": 1,
    "mb": 1e6 / 2**20,
    "g": 2**10,
    "gib": 2**10,
    "gb": 1e9 / 2**20,
}


def quantity(text: str | float, units: Mapping[str, float], example: str) -> float:
    """The number that `text` means in the base unit; UsageError shows an example."""
    if isinstance(text, int | float):
        return float(text)
    total, rest = 0.0, text.strip().lower().replace("_", "")
    for number, unit in re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", rest):
        if unit not in units:
            break
        total += float(number) * units[unit]
    matched = re.fullmatch(r"(\s*\d+(?:\.\d+)?\s*[a-z]*)+", rest) and total > 0
    if not matched or any(u not in units for u in re.findall(r"[a-z]+", rest)):
        raise UsageError(f"cannot read {text!r} as a quantity; write for example {example}")
    return total


def count(text: str | float) -> float:
    """`5M` → 5 000 000."""
    return quantity(text, COUNTS, "5M or 250k")


def milliseconds(text: str | float) -> float:
    """`8ms` → 8."""
    return quantity(text, MILLISECONDS, "8ms")


def seconds(text: str | float) -> float:
    """`2h`, `1h30m`, `90` → seconds."""
    return quantity(text, SECONDS, "2h, 90m or 1h30m")


def mebibytes(text: str | float) -> float:
    """`2GiB` → 2048."""
    return quantity(text, MEBIBYTES, "2GiB or 500MiB")
