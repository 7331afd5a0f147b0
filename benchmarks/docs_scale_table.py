"""Render the results of `scale.py`."""

from __future__ import annotations

from attentune.benchmarks.markdown_table import Result, format_markdown_table

MAX_ROWS_PER_SEARCH = 4
"""Parts of a search that are shown."""


def render_scale(result: Result) -> list[str]:
    """A row per part of each search, at most four of each."""
    rows = [
        [
            row["slots"],
            f"{part['trials']:,}",
            f"{part['trials_per_second']:.1f}",
            "–" if not result["trial_seconds"] else f"{100 * max(0.0, part['idle']):.1f}",
            f"{part['coordinator_cores']:.2f}",
            *(_format_or_dash(part[f"proposal_ms_{share}"]) for share in ("p50", "p99")),
            part["memory_mb"],
            f"{part['database_mb']:.0f}" if part["database_mb"] else "–",
        ]
        for row in result["rows"]
        for part in _chosen_parts(row["parts"])
    ]
    head = [
        "slots",
        "after trials",
        "trials/s",
        "idle, %",
        "coordinator, cores",
        "proposal, ms",
        "99 of 100 within, ms",
        "memory, MB",
        "database, MB",
    ]
    return [*format_markdown_table(head, rows), *_describe(result)]


def _format_or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _chosen_parts(parts: list[Result]) -> list[Result]:
    """The first and the last part, and some between them."""
    count = min(MAX_ROWS_PER_SEARCH, len(parts))
    if count == 1:
        return parts[-1:]
    last = len(parts) - 1
    return [parts[round(last * index / (count - 1))] for index in range(count)]


def _describe(result: Result) -> list[str]:
    seconds = result["trial_seconds"]
    trials = f"Trials of {seconds:g} s," if seconds else "Trials without training,"
    lines = [
        f"{trials} {result['epochs']} epochs each, on `{result['backbone']}`, "
        f"{result.get('database', 'SQLite')}; each row is measured since the row of the part "
        "before it, one run."
    ]
    if result["trial_seconds"]:
        shares = [
            f"{_idle(row['parts'][:-1]):.1f} % with {row['slots']} slots" for row in result["rows"]
        ]
        lines.append(
            "Idle from the first proposal on, and until the last part of the search, in which "
            f"there is nothing left to start: {', '.join(shares)}."
        )
    if delay := result.get("commit_seconds"):
        how = (
            "wait for each decision" if result["workers_wait"] else "go on without a late decision"
        )
        lines.append(f"Each transaction takes {delay:g} s longer; workers {how}.")
    return [" ".join(lines)]


def _idle(parts: list[Result]) -> float:
    total = sum(float(part["seconds"]) for part in parts)
    return 100 * sum(float(part["idle"]) * float(part["seconds"]) for part in parts) / total
