"""Numbers, durations and architectures as a line on a terminal has room for them."""

from __future__ import annotations


def short_count(number: float) -> str:
    """11 689 512 → `11.7 M`."""
    for size, unit in ((10**9, " G"), (10**6, " M"), (10**3, " k")):
        if abs(number) >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def short_time(duration: float) -> str:
    """3 723 s → `1 h 02 min`."""
    if duration < 60:
        return f"{duration:.0f} s"
    minutes = round(duration / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
