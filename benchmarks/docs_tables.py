"""The tables of `docs/performance.md` and `docs/search.md`, made from committed results.

    python benchmarks/docs_tables.py              write them
    python benchmarks/docs_tables.py --check      exit with 1 if they are not what this would write

A table stands between `<!-- from loop.json -->` and `<!-- end -->`. The name is that of a file
under `benchmarks/results/`; what comes before its first `_`, `-` or `.` says which benchmark made
it, so that `loop_gpu.json` is one more table of `loop.py`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attentune.benchmarks.docs_search_tables import (
    live,
    proxies,
    pruning,
    ranks,
    rung,
    rungs,
    search,
)
from attentune.benchmarks.interleaved_timing import format_summary
from attentune.benchmarks.markdown_table import Result, format_markdown_table

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"
PAGES = (DOCS / "performance.md", DOCS / "search.md")
BLOCK = re.compile(r"(<!-- from (?P<file>\S+) -->\n).*?(<!-- end -->)", re.S)
NOT_YET = "Not measured yet."


def loop(result: Result) -> list[str]:
    rows = []
    for row in result["rows"]:
        speed = row["pictures_per_second"]
        rows.append(
            [
                f"`{row['architecture']}`",
                row["threads"],
                *(f"{speed[name]['median']:,.0f}" for name in ("ours", "bare", "usual")),
                format_summary(row["ours / bare"], 3),
                format_summary(row["ours / usual"]),
                row["ours"],
            ]
        )
    head = ["network", "threads", "ours, images/s", "best bare loop", "usual way"]
    size = result["rows"][0]
    rounds = sorted({row["ours / bare"]["rounds"] for row in result["rows"]})
    return [
        *format_markdown_table([*head, "ours / bare", "ours / usual", "ours in"], rows),
        f"{result['data']}, {size['image_size']}×{size['image_size']}, batches of "
        f"{size['batch_size']}; ratios within a round, median (quartiles) of "
        f"{' or '.join(map(str, rounds))} rounds.",
    ]


def trials(result: Result) -> list[str]:
    rows = []
    for row in result["rows"]:
        speed = row["trials_per_hour"]
        for way, found in row["against"].items():
            accuracy = f"{found['ours_minus_theirs']:+.1f} ± {found['standard_error']:.1f}"
            rows.append(
                [
                    f"`{row['backbone']}`",
                    {"optuna": "Optuna, the example's loop", "ray": "Ray Tune, that loop"}[way],
                    f"{speed['ours']['median']:,.0f}",
                    f"{speed[way]['median']:,.0f}",
                    "void" if "void" in found else f"{format_summary(found['ratio'])}×",
                    f"{row['accuracy']:.1f} %",
                    f"{accuracy} points",
                ]
            )
    head = ["backbone", "against", "ours, trials/h", "theirs", "ratio"]
    lines = format_markdown_table([*head, "our accuracy", "ours − theirs"], rows)
    for row in result["rows"]:
        lines.append(
            f"`{row['backbone']}`: {row['trials']} trials of {row['epochs']} epochs, "
            f"{row['pictures']:,} images of {result['data']} at "
            f"{row['image_size']}×{row['image_size']} (a part of them held out), batches of "
            f"{row['batch_size']}; ours in {row['ours']} with {result['workers']} workers; "
            f"{_runs(row['trials_per_hour']['ours']['rounds'])}."
        )
    if result["left_out"]:
        lines.append(f"{result['left_out']}.")
    return lines


def _runs(number: int) -> str:
    return "one run" if number == 1 else f"median of {number} runs"


def overhead(result: Result) -> list[str]:
    rows = [
        [
            f"`{row['backbone']}`",
            f"{format_summary(row['cost_ms'], 1)} ms",
            _largest(row["parts_ms"]),
        ]
        for row in result["rows"]
    ]
    return [
        *format_markdown_table(["backbone", "one more trial", "largest parts, ms"], rows),
        f"Median (quartiles) of {result['rows'][0]['cost_ms']['rounds']} trials of "
        f"{result['epochs']} epochs, one worker.",
    ]


def convolutions(result: Result) -> list[str]:
    """A network a row, and what single layers gain, by kind."""
    found: dict[str, dict[str, Any]] = {}
    for row in result["networks"]:
        found.setdefault(row["backbone"], {})[row["layout"]] = format_summary(row["torch / ours"])
    layouts = [*dict.fromkeys(row["layout"] for row in result["networks"])]
    rows = [
        [f"`{name}`", *(ratios[layout] for layout in layouts)] for name, ratios in found.items()
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
        f"A layer alone, forwards and backwards, median (least to most) of its maps: "
        f"{', '.join(words)}; slower than torch's: {len(result['slower'])} of "
        f"{len(result['layers'])}.",
    ]


def startup(result: Result) -> list[str]:
    rows = [
        [
            row["command"],
            *(f"{format_summary(row['seconds'][way], 1)} s" for way in ("ours", "by itself")),
            f"{format_summary(row['by itself / ours'])}×",
        ]
        for row in result["rows"]
    ]
    rounds = result["rows"][0]["by itself / ours"]["rounds"]
    return [
        *format_markdown_table(["command", "ours", "each process by itself", "ratio"], rows),
        f"Whole commands that train next to nothing; median (quartiles) of {rounds} rounds.",
    ]


def accuracy(result: Result) -> list[str]:
    rows = [
        [
            f"`{row['backbone']}`",
            *(_mean(row[way], row[f"{way}_deviation"]) for way in ("ours", "usual")),
            f"{row['difference']:+.1f} ± {row['standard_error']:.1f}",
            row["seeds"],
        ]
        for row in result["summary"]
    ]
    head = ["backbone", "ours, %", "plain float32 loop, %", "difference, points", "seeds"]
    recipe = next(iter(result["recipes"].values()))
    return [
        *format_markdown_table(head, rows),
        f"{Path(recipe['data']).name}, {recipe['train_limit']:,} images, {recipe['epochs']} "
        "epochs; mean ± deviation over seeds, difference ± its standard error.",
    ]


def attention(result: Result) -> list[str]:
    """Of each backbone the largest map, where memory counts most, and of smaller ones, where calls
    count, a step in the first variant; the rest stays in the file."""
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
            head, [_attention(name, rows) for name, rows in attentions.items()]
        )
        lines += _smaller(result, backbone, variants[0])
    slower = {(r["attention"], tuple(r["map"]), r["variant"], r["in"]) for r in result["slower"]}
    lines.append(
        f"A training step of the attention alone, median (quartiles) of "
        f"{result['rows'][0]['step']['plain / ours']['rounds']} rounds. Slower than "
        f"{result['limit']} of the plain form: {len(slower)} of {2 * len(result['rows'])} "
        "measurements, over all sizes, forwards alone and in a step"
        + (f" ({', '.join(sorted({name for name, *_ in slower}))})." if slower else ".")
    )
    return lines


def _smaller(result: Result, backbone: str, variant: str) -> list[str]:
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
    cells = [[f"`{name}`", *(found[name] for found in maps.values())] for name in names]
    title = f"Smaller maps of `{backbone}`, plain / ours, {variant}:"
    return ["", title, "", *format_markdown_table(["attention", *maps], cells)]


def _attention(name: str, rows: list[Any]) -> list[str]:
    passes, step = rows[0]["passes"], rows[0]["step"]
    timm = format_summary(step["timm / ours"]) if "timm / ours" in step else "–"
    moved = f"{passes['plain']:g} → {passes['ours']:g}" if passes["plain"] else "stays in the cache"
    cells = [f"`{name}`", moved]
    return [*cells, *(format_summary(row["step"]["plain / ours"]) for row in rows), timm]


def epochs(result: Result) -> list[str]:
    """Seconds of an epoch, bare and with each attention, those that failed last."""
    found = result["seconds_an_epoch"]
    bare = found["none"]["median"]
    ran = {name: row for name, row in found.items() if "median" in row}
    rows = [
        [f"`{name}`", f"{row['median']:.2f}", f"{row['median'] / bare:.2f}", row["steps"]]
        for name, row in sorted(ran.items(), key=lambda item: item[1]["median"])
    ]
    recipe = result["recipe"]
    lines = format_markdown_table(
        ["attention", "seconds an epoch", "of the bare net's", "steps"], rows
    )
    lines += [f"`{name}`: {row['error']}." for name, row in found.items() if "error" in row]
    return [
        *lines,
        f"`resnet18`, {recipe['stem']} stem, {recipe['data']} at {recipe['image_size']}×"
        f"{recipe['image_size']}, batches of {recipe['batch_size']}, evaluation of the held-out "
        "fifth included; the first epoch left out, median of four (`none`, `se`, `eca`, `cbam`, "
        "`ca`) or one.",
    ]


def dashboard(result: Result) -> list[str]:
    rest, busy = (result["requests"][name] for name in ("at rest", "while a search writes"))
    rows = [
        [
            "server answers after",
            f"{result['start, s']:.1f} s",
            f"{result['target']['start, s']:g} s",
        ],
        ["first plot after", f"{result['first plot, s']:.1f} s",
         f"{result['target']['first plot, s']:g} s"],
        ["an interaction, median", f"{rest['p50, ms']:.0f} ms; {busy['p50, ms']:.0f} ms", ""],
        ["an interaction, p99", f"{rest['p99, ms']:.0f} ms; {busy['p99, ms']:.0f} ms",
         f"{result['target']['p99, ms']:g} ms"],
        ["memory of the server", f"{result['memory, MiB']:,} MiB",
         f"{result['target']['memory, MiB']:,.0f} MiB"],
    ]  # fmt: skip
    return [
        *format_markdown_table(["", "measured", "at most"], rows),
        f"{result['trials']:,} synthetic trials; {rest['count']} requests of figures and texts at "
        f"rest, and {busy['count']} while another process adds trials and epochs.",
    ]


def packing(result: Result) -> list[str]:
    """Epochs a second of all workers of one GPU together."""
    rows = []
    for backbone, found in result["backbones"].items():
        pace = {int(workers): value for workers, value in found["epochs_a_second"].items()}
        told = [
            f"{pace[n]:.2f} ({pace[n] / pace[1]:.2f}×)" if n in pace else "–" for n in (1, 2, 4)
        ]
        rows.append([f"`{backbone}`", *told, found["workers"]])
    return [
        *format_markdown_table(["backbone", "1 worker", "2 workers", "4 workers", "taken"], rows),
        "Epochs a second of all workers together, evaluation included; the second epoch of each.",
    ]


def bf16(result: Result) -> list[str]:
    """Accuracy by precision."""
    apart, accuracy = result["bf16_minus_float32"], result["accuracy"]
    told = {name: ", ".join(f"{100 * a:.1f}" for a in found) for name, found in accuracy.items()}
    difference = f"{100 * apart['mean']:+.2f} ± {100 * apart['standard_error']:.2f} points"
    row = [told["float32"], told["bf16"], difference]
    return [
        *format_markdown_table(["float32, %", "bf16, %", "difference"], [row]),
        "`resnet18`, small stem, five epochs, three paired seeds.",
    ]


def graphs(result: Result) -> list[str]:
    rows = [
        [f"`{text}`", row["steps"], f"{row['speed']:.2f}×", f"{row['difference']:g}"]
        for text, row in result["captured_against_eager"].items()
    ]
    head = ["network", "steps", "eager / captured, time of an epoch", "largest difference"]
    return [
        *format_markdown_table(head, rows),
        "Largest difference of a weight after two epochs, between captured and eager steps.",
    ]


def _mean(mean: float, deviation: float | None) -> str:
    return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


def _largest(parts: Mapping[str, float], most: int = 3) -> str:
    ordered = sorted(parts.items(), key=lambda item: -item[1])[:most]
    return ", ".join(f"{name} {value:.1f}" for name, value in ordered)


RENDER: dict[str, Callable[[Result], list[str]]] = {
    "loop": loop,
    "trials": trials,
    "overhead": overhead,
    "accuracy": accuracy,
    "convolutions": convolutions,
    "startup": startup,
    "attention": attention,
    "dashboard": dashboard,
    "epochs": epochs,
    "packing": packing,
    "bf16": bf16,
    "graphs": graphs,
    "live": live,
    "proxies": proxies,
    "rung": rung,
    "rungs": rungs,
    "search": search,
    "pruning": pruning,
    "table": ranks,
}


def circumstances(result: Result) -> str:
    """One line: what it ran on, and whether the machine was busy."""
    facts = result["environment"]
    versions = ", ".join(
        f"{name} {facts[name]}" for name in ("torch", "timm", "optuna", "ray") if name in facts
    )
    commit = facts.get("attentune commit")
    device = facts["device"]
    if "instructions" in facts:
        device += f" with {facts['instructions']}"
    words = [device, facts["system"], f"Python {facts['python']}", versions]
    words += [f"attentune {facts['attentune']}" + (f" ({commit})" if commit else "")]
    text = "; ".join(words) + "."
    return f"{text} **Measured on a busy machine.**" if result.get("busy") else text


def rendered(file: str, results: Path) -> str:
    """The Markdown for one result file."""
    path = results / file
    if not path.exists():
        return NOT_YET
    result = json.loads(path.read_text("utf-8"))
    kind = re.split(r"[_.-]", file)[0]
    return "\n".join([*RENDER[kind](result), circumstances(result)])


def filled(page: str, results: Path = RESULTS) -> str:
    """The page with all its tables made anew."""
    return BLOCK.sub(
        lambda found: f"{found[1]}{rendered(found['file'], results)}\n{found[3]}", page
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    for path in PAGES:
        page = path.read_text("utf-8")
        if options.check and filled(page) != page:
            raise SystemExit(f"{path.name} is not what the results say; run {Path(__file__).name}")
        path.write_text(filled(page), "utf-8")


if __name__ == "__main__":
    main()
