"""Render the result of the chaos suite, which `make chaos` writes, for `docs/guarantees.md`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attentune.benchmarks.markdown_table import Result, format_markdown_table

FAULTS = ("lost", "wrong", "unstated")


def render_chaos(result: Result) -> list[str]:
    """A row per attack, the sum, and what was measured or left out."""
    attacks = result["rows"]
    rows = [
        [f"`{row['attack']}`: {row['title']}", f"{row['tried']:,}", *(row[f] for f in FAULTS)]
        for row in attacks
    ]
    sums = [sum(row[name] for row in attacks) for name in ("tried", *FAULTS)]
    rows.append(["**all**", *(f"**{number:,}**" for number in sums)])
    lines = format_markdown_table(["attack", "tried", *FAULTS], rows)
    for row in attacks:
        for name, value in row["facts"].items():
            lines.append(f"`{row['attack']}`, {name}: {_format_fact(value)}.")
            lines.append("")
    minutes = result["seconds"] / 60
    return [*lines, f"Seed {result['seed']}, {minutes:.0f} minutes."]


def _format_fact(value: Any) -> str:
    """A measured slope with its interval and limit; anything else as it is."""
    if not isinstance(value, Mapping):
        return f"{value:,}" if isinstance(value, int) else str(value)
    low, high = f"{value['low']:.3g}", f"{value['high']:.3g}"
    return f"{value['slope']:.3g} (95 %: {low} to {high}; at most {value['limit']:g})"
