"""The tables in the documentation of what kernels and attentions take."""

from __future__ import annotations

import statistics
from typing import Any

from attentune.benchmarks.interleaved_timing import format_summary
from attentune.benchmarks.markdown_table import Result, format_markdown_table


def render_convolutions(result: Result) -> list[str]:
    """A row per network, and the gains of single layers by kind."""
    by_network: dict[str, dict[str, Any]] = {}
    for row in result["networks"]:
        by_network.setdefault(row["backbone"], {})[row["layout"]] = format_summary(
            row["torch / ours"]
        )
    layouts = [*dict.fromkeys(row["layout"] for row in result["networks"])]
    rows = [
        [f"`{name}`", *(ratios[layout] for layout in layouts)]
        for name, ratios in by_network.items()
    ]
    first, size = result["networks"][0], result["image_size"]
    lines = [
        *format_markdown_table(
            ["network", *(f"torch / ours, {layout}" for layout in layouts)], rows
        ),
        f"A training step in float32 on one thread, {size}×{size}, batches of "
        f"{first['batch_size']}; median (quartiles) of {first['torch / ours']['rounds']} rounds.",
    ]
    kinds: dict[str, list[float]] = {}
    for row in result["layers"]:
        kinds.setdefault(row["kind"], []).append(row["torch / ours"]["median"])
    words = [
        f"{kind} {statistics.median(gains):.1f} ({min(gains):.1f} to {max(gains):.0f})"
        for kind, gains in kinds.items()
    ]
    return [
        *lines,
        f"A single layer, forward and backward, median (smallest to largest) over maps: "
        f"{', '.join(words)}; slower than torch's: {len(result['slower'])} of "
        f"{len(result['layers'])}.",
    ]


def render_attention(result: Result) -> list[str]:
    """For each backbone the largest map, where memory traffic dominates, in all variants; and the
    smaller ones, where calls dominate, in the first variant."""
    largest: dict[str, dict[str, list[Any]]] = {}
    for row in result["rows"]:
        if "passes" in row:
            rows = largest.setdefault(row["backbone"], {})
            rows.setdefault(row["attention"], []).append(row)
    lines = []
    for backbone, attentions in largest.items():
        variants = [row["variant"] for row in next(iter(attentions.values()))]
        shape = "×".join(map(str, next(iter(attentions.values()))[0]["map"]))
        lines += [f"Maps of {shape}, `{backbone}`:", ""]
        head = ["attention", "passes, plain → ours"]
        head += [f"plain / ours, {variant}" for variant in variants] + [
            f"timm / ours, {variants[0]}"
        ]
        lines += format_markdown_table(
            head, [_attention_row(name, rows) for name, rows in attentions.items()]
        )
        lines += _render_smaller_maps(result, backbone, variants[0])
    slower = {(r["attention"], tuple(r["map"]), r["variant"], r["in"]) for r in result["slower"]}
    lines.append(
        f"A training step of the attention alone, median (quartiles) of "
        f"{result['rows'][0]['step']['plain / ours']['rounds']} rounds. Slower than "
        f"{result['limit']} of the plain form: {len(slower)} of {2 * len(result['rows'])} "
        "measurements, over all sizes, in a forward pass and in a training step"
        + (f" ({', '.join(sorted({name for name, *_ in slower}))})." if slower else ".")
    )
    return lines


def _render_smaller_maps(result: Result, backbone: str, variant: str) -> list[str]:
    """Plain / ours over the smaller maps of a backbone."""
    rows = [r for r in result["rows"] if (r["backbone"], r["variant"]) == (backbone, variant)]
    maps: dict[str, dict[str, str]] = {}
    for row in rows:
        if "passes" not in row:
            shape = "×".join(map(str, row["map"]))
            maps.setdefault(shape, {})[row["attention"]] = format_summary(
                row["step"]["plain / ours"]
            )
    if not maps:
        return []
    names = dict.fromkeys(row["attention"] for row in rows)
    cells = [[f"`{name}`", *(ratios[name] for ratios in maps.values())] for name in names]
    title = f"Smaller maps of `{backbone}`, plain / ours, {variant}:"
    return ["", title, "", *format_markdown_table(["attention", *maps], cells)]


def _attention_row(name: str, rows: list[Any]) -> list[str]:
    passes, step = rows[0]["passes"], rows[0]["step"]
    timm = format_summary(step["timm / ours"]) if "timm / ours" in step else "–"
    traffic = (
        f"{passes['plain']:g} → {passes['ours']:g}" if passes["plain"] else "stays in the cache"
    )
    cells = [f"`{name}`", traffic]
    return [*cells, *(format_summary(row["step"]["plain / ours"]) for row in rows), timm]
