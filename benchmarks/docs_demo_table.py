"""Render the result of `demo.py` for the README."""

from __future__ import annotations

import statistics

from attentune.benchmarks.markdown_table import Result, format_markdown_table


def render_demo(result: Result) -> list[str]:
    """A row per study with its verdict, then the true gains that the verdicts rest on.

    The true gains are those of the architectures that the studies' sentences name first, and of the
    baselines; the result file has those of all that were confirmed.
    """
    summary = result["summary"]
    first = {study["contenders"][0]["architecture"] for study in result["studies"]}
    finalists = {
        contender["architecture"]
        for study in result["studies"]
        for contender in study["contenders"]
        if contender["finalist"]
    }
    rows = [
        [
            judged["seed"],
            study["sentence"].partition(";")[0],
            judged["verdict"],
            f"{judged['right']} of {judged['claims']}",
            f"{judged['seconds'] / 60:.1f} min",
        ]
        for study, judged in zip(result["studies"], summary["studies"], strict=True)
    ]
    head = ["seed", "the demo says", "verdict", "right claims", "time"]
    lines = format_markdown_table(head, rows)
    rows = [
        [
            f"`{_shorten(row['architecture'])}`",
            row["seeds"],
            f"{row['accuracy']:.1f} %",
            "–" if row["deviation"] is None else f"{row['deviation']:.1f}",
            _format_gain(row),
        ]
        for row in summary["truth"]
        if row["architecture"] in first or row["architecture"] not in finalists
    ]
    head = ["architecture", "seeds", "true accuracy", "deviation of a seed", "true gain, points"]
    lines += format_markdown_table(head, rows)
    seconds = [study["seconds"] for study in result["studies"]]
    verdicts = ", ".join(f"{count} {name}" for name, count in summary["verdicts"].items())
    return [
        *lines,
        f"Verdicts: {verdicts}. A demo took {statistics.median(seconds) / 60:.1f} minutes "
        f"({min(seconds) / 60:.1f} to {max(seconds) / 60:.1f}). The truth was measured on "
        f"{result['new_images']:,} new images; gains are ± their standard error.",
    ]


def _shorten(architecture: str) -> str:
    """An architecture as the sentences name it."""
    return architecture.replace("(start=identity)", "").replace(",start=identity", "")


def _format_gain(row: Result) -> str:
    if row["gain"] is None or row["gain_error"] is None:
        return "–"
    return f"{row['gain']:+.1f} ± {row['gain_error']:.1f}"
