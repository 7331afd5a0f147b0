"""Numbers and architectures as people read them: one format on every page, report and terminal.

Accuracies, gains and shares go in as fractions, and come out in percent or percentage points.
`MISSING` is printed where there is no value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from decimal import Decimal

from ...runners.results import MAX_EQUAL_ERRORS
from ...spaces.architecture import ALL, Architecture, Place
from ..objectives import Objective

MISSING = "–"
MINUS = "−"
MIN_SIZE_ROUNDED = 10**9
"""From here on, `size` prints two digits and an exponent."""
MAX_DECIMALS = 6
"""A value is printed with at most so many digits after the point, however small its error is."""
MIN_EXPONENT_DECIMALS = 3
"""A value below 10 to minus this power has an exponent if its error needs more decimals."""
SMALL_VALUE_DIGITS = 4
"""Significant digits of such a value."""
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: float) -> str:
    """Four significant digits and an SI prefix: 11 776 552 → `11.78 M`."""
    rounded = float(f"{value:.4g}")
    for size, prefix in _PREFIXES:
        if abs(rounded) >= size:
            scaled = abs(rounded) / size
            decimals = 3 if scaled < 10 else 2 if scaled < 100 else 1
            return f"{rounded / size:.{decimals}f} {prefix}"
    return f"{rounded:g}"


def integer(value: int) -> str:
    """All digits, in groups of three: `11,776,552`."""
    return f"{value:,}"


def size(value: int) -> str:
    """How many there are of something, of any size: `11,776,552`, `1.2e57`."""
    if value < MIN_SIZE_ROUNDED:
        return integer(value)
    return f"{Decimal(value):.1e}".replace("e+", "e")  # A float ends at 1.8e308.


def percent(fraction: float | None, error: float | None = None) -> str:
    """A fraction in percent, with its standard error if there is one: `75.7 ± 0.8 %`."""
    return MISSING if fraction is None else f"{100 * fraction:.1f}{_plus_minus(error, 1)} %"


def share(fraction: float) -> str:
    """A fraction as a whole number of percent: `37 %`."""
    return f"{100 * fraction:.0f} %"


def points(
    fraction: float, error: float | None = None, *, signed: bool = True, decimals: int = 1
) -> str:
    """A difference in percentage points, without the unit: `+9.3 ± 0.8`, `−1.2`.

    Args:
        fraction: the difference of two fractions.
        error: its standard error, a fraction too.
        signed: whether a positive difference has a plus sign.
        decimals: digits after the point. The error gets one more if it would read as zero.
    """
    sign = "+" if signed else ""
    number = f"{100 * fraction:{sign}.{decimals}f}".replace("-", MINUS)
    return number + _plus_minus(error, decimals)


def relative_change(value: float, reference: float) -> str:
    """How much a value exceeds the reference, in percent of the reference: `+1.4 %`."""
    if not reference:
        return MISSING
    relative = 100 * (value / reference - 1)
    decimals = 2 if 0 < abs(relative) < 0.1 else 1
    return f"{relative:+.{decimals}f} %".replace("-", MINUS)


def cost(value: float | None, objective: Objective, error: float | None = None) -> str:
    """A cost with its unit and, if it was measured, its standard error.

    For example `11.78 M`, `8.210 ± 0.052 ms`, and `8.21 ms` if the error is unknown.

    Args:
        value: None if it is unknown.
        objective: the cost.
        error: its standard error; None or 0 if it is exact or unknown.
    """
    if value is None:
        return MISSING
    if not objective.unit:
        return count(value)
    if error:
        return f"{with_error(value, error)} {objective.unit}"
    return f"{value:.3g} {objective.unit}" if value < 1000 else f"{value:,.0f} {objective.unit}"


def cost_of(values: Mapping[str, float], objective: Objective) -> str:
    """A cost among the values of a trial or an architecture, with its standard error if known."""
    key = objective.key
    return cost(values.get(key), objective, values.get(f"{key}_error"))


def latency_ratio(values: Mapping[str, float]) -> str:
    """The latency among values as a multiple of the bare backbone's: `1.041 ± 0.012`.

    It is `1` for the bare backbone, by definition, and `1.008 ± 0.012, equal` within the noise.
    """
    ratio, error = values.get("latency_ratio"), values.get("latency_ratio_error")
    if ratio is None:
        return MISSING
    if not error:
        return f"{ratio:.3g}"
    equal = ", equal" if abs(ratio - 1) <= MAX_EQUAL_ERRORS * error else ""
    return with_error(ratio, error) + equal


def cost_change(
    values: Mapping[str, float], bare_values: Mapping[str, float], objective: Objective
) -> str | None:
    """How much more an architecture costs than the bare backbone, in percent; None if unknown.

    For example `+1.4 %`, of a measured latency `+4.1 ± 1.2 %`, and `equal (± 1.2 %)` within the
    noise. Latencies are compared by their ratio, whose error is smaller than that of milliseconds.

    Args:
        values: of the architecture, by key.
        bare_values: of the bare backbone.
        objective: the cost.
    """
    key = objective.key
    if key not in values or key not in bare_values:
        return None
    ratio, error = values.get("latency_ratio"), values.get("latency_ratio_error")
    if key != "latency_ms" or ratio is None or not error:
        return relative_change(values[key], bare_values[key])
    if abs(ratio - 1) <= MAX_EQUAL_ERRORS * error:
        return f"equal (± {100 * error:.1f} %)"
    return f"{100 * (ratio - 1):+.1f} ± {100 * error:.1f} %".replace("-", MINUS)


def with_error(value: float, error: float) -> str:
    """A value and its standard error, both to two significant digits of the error."""
    decimals = max(0, 1 - math.floor(math.log10(error)))
    if decimals > MAX_DECIMALS and abs(value) < 10**-MIN_EXPONENT_DECIMALS:
        return f"{value:.{SMALL_VALUE_DIGITS}g} ± {error:.1e}".replace("-", MINUS)
    decimals = min(MAX_DECIMALS, decimals)
    return f"{value:,.{decimals}f} ± {error:,.{decimals}f}".replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """A time span: `4.2 s`, `45 s`, `12 min`, `3 h 20 min`."""
    if seconds is None:
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours < 2:
        return f"{60 * hours + minutes} min"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def plural(number: int, noun: str) -> str:
    """A number of things: `1 trial`, `2 trials`, `1,200 trials`."""
    return f"{integer(number)} {noun}{'' if number == 1 else 's'}"


def sentence(message: str) -> str:
    """A message of an error, which begins in lower case behind `Error:`, as one of its own.

    It stays as it is if it begins with a name, such as that of a file, an option or attentune.
    """
    first = message.partition(" ")[0]
    plain = first.isalpha() and first.islower() and first != "attentune"
    return message[0].upper() + message[1:] if plain else message


def enumeration(names: Sequence[str]) -> str:
    """Names as a phrase: `a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def removed_attention(backbone: str, places: Sequence[Place]) -> str:
    """What is removed of a backbone: `the attention that "net" itself has in stages 3 to 5`.

    Args:
        backbone: its name.
        places: where its own attention is removed.
    """
    if ALL in places:
        return f"all attention that `{backbone}` itself has"
    return f"the attention that `{backbone}` itself has {_places_phrase(places)}"


def _places_phrase(places: Sequence[Place]) -> str:
    """Places as a phrase: `in stages 3 to 5`, `in s2b1 and s2b2`."""
    if any(place.block for place in places):
        return f"in {enumeration([str(place) for place in places])}"
    stages: list[str] = []
    for place in places:
        if place.last > place.first + 1:
            stages.append(f"{place.first} to {place.last}")
        else:
            stages += map(str, range(place.first, place.last + 1))
    is_single = stages == [str(places[0].first)]
    return f"in stage{'' if is_single else 's'} {enumeration(stages)}"


def short_architecture(architecture: Architecture) -> str:
    """The insertions alone, without what all trials of a study share: backbone and start."""
    if architecture.bare:
        return f"{architecture.backbone}, bare"
    text = str(architecture).removeprefix(architecture.backbone).removeprefix("+")
    return text.replace("(start=identity)", "").replace(",start=identity", "")


def _plus_minus(error: float | None, decimals: int) -> str:
    if error is None:
        return ""
    # An error that would be rounded to zero is printed with one more decimal.
    reads_as_zero = 0 < 100 * error < 0.5 * 10**-decimals
    return f" ± {100 * error:.{decimals + reads_as_zero}f}"
