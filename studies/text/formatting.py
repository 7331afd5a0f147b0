"""Numbers and architectures as people read them, the same in figures, tables and reports."""

from __future__ import annotations

from collections.abc import Sequence

from ...spaces.architecture import Architecture
from ..analysis.findings import Noise
from ..objectives import Objective

MISSING = "–"
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def si(value: float) -> str:
    """Three or four significant digits and a prefix: 11 776 552 → `11.78 M`."""
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            scaled = value / size
            return f"{scaled:.{3 if scaled < 10 else 2 if scaled < 100 else 1}f} {prefix}"
    return f"{value:.4g}"


def percent(fraction: float, error: float | None = None) -> str:
    """A fraction in percent, with its standard error where there is one: `75.7 ± 0.8 %`."""
    return f"{100 * fraction:.1f}{_spread(error)} %"


def points(fraction: float, error: float | None = None) -> str:
    """A difference in percentage points, always with its sign: `+9.3 ± 0.8`, `−1.2`."""
    return f"{100 * fraction:+.1f}{_spread(error)}".replace("-", "−")


def change(value: float, reference: float) -> str:
    """How much more than the reference, in percent of it: `+1.4 %`."""
    if not reference:
        return MISSING
    relative = 100 * (value / reference - 1)
    digits = 2 if 0 < abs(relative) < 0.1 else 1
    return f"{relative:+.{digits}f} %".replace("-", "−")


def cost(value: float | None, objective: Objective) -> str:
    """A cost with its unit: `11.78 M`, `8.21 ms`."""
    if value is None:
        return MISSING
    if objective.unit:
        return f"{value:.3g} {objective.unit}" if value < 1000 else f"{value:,.0f} {objective.unit}"
    return si(value)


def duration(seconds: float | None) -> str:
    """`45 s`, `12 min`, `3 h 20 min`."""
    if seconds is None:
        return MISSING
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def plural(count: int, noun: str) -> str:
    """`1 trial`, `2 trials`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}".replace(",", " ")


def listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def short_architecture(architecture: Architecture) -> str:
    """The insertions alone, without what all trials of a study share: backbone and start."""
    if architecture.bare:
        return f"{architecture.backbone}, bare"
    text = str(architecture).removeprefix(architecture.backbone).removeprefix("+")
    return text.replace("(start=identity)", "").replace(",start=identity", "")


def _spread(error: float | None) -> str:
    if error is None:
        return ""
    # A second digit where one would claim that there is no error at all.
    return f" ± {100 * error:.{1 if error >= 0.0005 else 2}f}"


def scatter(noise: Noise) -> str:
    """What a noise floor is made of: `deviation of one trial, from 12 repeats`."""
    told = f"deviation of one trial, from {plural(noise.freedom, 'repeat')}"
    return f"{told}, without the ± {100 * noise.shared:.1f} of a seed" if noise.shared else told
