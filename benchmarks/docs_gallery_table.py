"""Render what a study of the gallery ended with (`gallery.py`)."""

from __future__ import annotations

from typing import Any

from attentune.benchmarks.markdown_table import (
    Result,
    format_gain,
    format_markdown_table,
    format_mean,
)
from attentune.spaces.architecture import parse
from attentune.studies.text.formatting import short_architecture

ALTERNATIVES = {
    "backbone": "instead: `{backbone}`",
    "epochs": "instead: {epochs} epochs",
    "images": "instead: images of {image_size} pixels",
}
HEAD = ("network", "parameters", "test, %", "gain, points", "p", "claimed")


def render_gallery(result: Result) -> list[str]:
    """A row per confirmed architecture, best first, then what one would do instead of attention."""
    confirmation = result["confirmation"]
    costs = {trial["architecture"]: trial["values"] for trial in result["trials"]}
    contenders = sorted(confirmation["contenders"], key=lambda row: -row["accuracy"])
    rows = [
        [_readable(row["architecture"]), *_cells(row, costs[row["architecture"]])]
        for row in contenders
    ]
    listed = (result["alternatives"] or {}).get("alternatives", ())
    costs_by_kind = {row["kind"]: row["values"] for row in listed}
    rows += [
        [ALTERNATIVES[row["kind"]].format(**row), *_cells(row, costs_by_kind[row["kind"]])]
        for row in confirmation["alternatives"]
    ]
    recipe, searched = result["recipe"], result["images"]["count"]
    train = round(searched / recipe["val_fraction"]) - searched
    hours = result["wall_seconds"] / 3600
    return [
        *format_markdown_table(HEAD, rows),
        f"{result['counts']['complete']} trials of {result['trials'][0]['epochs']} epochs on "
        f"{train:,} training and {searched:,} validation images of {recipe['image_size']} pixels; "
        f"then {confirmation['seeds']} fresh seeds of {confirmation['epochs']} epochs each, on "
        f"{confirmation['images']['count']:,} test images. The search took {hours:.1f} hours. Mean "
        "± standard error (of seeds and of test images), gains over the bare backbone with 95 % "
        "intervals, p corrected for the number of comparisons. The study says:",
        "",
        f"> {result['recommendation']['sentence']}\n",
        f"> {confirmation['sentence']}\n",
        "What each attention adds, as the model of the study estimates it from all trials of the "
        "search, in points with 95 % intervals; by stage, and by position in an average stage:",
        "",
        *_effects(result["effects"]["by_stage"]),
        *_effects(result["effects"]["by_position"]),
    ]


def _effects(cells: list[Result]) -> list[str]:
    """A row per attention, a column per stage or position."""
    columns = list(dict.fromkeys(cell["in"] for cell in cells))
    texts = {(cell["attention"], cell["in"]): format_gain(cell) for cell in cells}
    attentions = dict.fromkeys(cell["attention"] for cell in cells)
    rows = [
        [f"`{attention}`", *(texts.get((attention, column), "–") for column in columns)]
        for attention in attentions
    ]
    return format_markdown_table(["attention", *columns], rows)


def _cells(row: Result, costs: Result) -> list[Any]:
    """The cells of a network behind its name."""
    error = row.get("standard_error")  # Alternatives have none.
    accuracy = format_mean(100 * row["accuracy"], None if error is None else 100 * error)
    cells = [f"{costs['params']:,}", accuracy]
    gain = row["gain"]
    if gain is None:
        return [*cells, "–", "", ""]
    corrected = gain.get("corrected")
    return [
        *cells,
        format_gain(gain),
        "" if corrected is None else "< 0.001" if corrected < 0.001 else f"{corrected:.3f}",
        "yes" if gain["claimed"] else "no",
    ]


def _readable(text: str) -> str:
    """The insertions of an architecture; of the bare backbone its name."""
    architecture = parse(text)
    if architecture.bare:
        return f"`{architecture.backbone}`, bare"
    return f"`{short_architecture(architecture)}`"
