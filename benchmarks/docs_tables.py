"""Write the tables of the README, `docs/performance.md` and other pages from committed results.

    python benchmarks/docs_tables.py              write them
    python benchmarks/docs_tables.py --check      exit with 1 if the pages would change

A table is written between `<!-- from loop.json -->`, which names a file in `benchmarks/results/`,
and `<!-- end -->`. The beginning of the name, before a `_`, `-` or `.`, determines which function
renders it: `loop_gpu.json` is another table of `loop.py`.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from attentune.benchmarks.docs_chaos_table import render_chaos
from attentune.benchmarks.docs_claims_table import render_claims
from attentune.benchmarks.docs_demo_table import render_demo
from attentune.benchmarks.docs_finetune_table import (
    render_finetune,
    render_finetune_accuracy,
    render_finetune_search,
)
from attentune.benchmarks.docs_gallery_table import render_gallery
from attentune.benchmarks.docs_gpu_tables import (
    render_bf16,
    render_epochs,
    render_graphs,
    render_packing,
)
from attentune.benchmarks.docs_kernel_tables import render_attention, render_convolutions
from attentune.benchmarks.docs_scale_table import render_scale
from attentune.benchmarks.docs_search_tables import (
    render_convergence,
    render_end_to_end,
    render_end_to_end_live,
    render_estimates,
    render_importances,
    render_live,
    render_proxies,
    render_pruning,
    render_ranks,
    render_rung,
    render_rungs,
    render_search,
)
from attentune.benchmarks.docs_yolo_table import render_yolo_study
from attentune.benchmarks.interleaved_timing import format_summary
from attentune.benchmarks.markdown_table import Result, format_markdown_table, format_mean

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"
README = DOCS.parent / "README.md"
PAGES = (README, README.with_name("README.zh.md"), *sorted(DOCS.rglob("*.md")))
BLOCK = re.compile(r"(<!-- from (?P<file>\S+) -->\n).*?(<!-- end -->)", re.S)
NOT_YET = "Not measured yet."


def render_loop(result: Result) -> list[str]:
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
    head = ["network", "threads", "ours, images/s", "best bare loop", "plain PyTorch loop"]
    size = result["rows"][0]
    rounds = sorted({row["ours / bare"]["rounds"] for row in result["rows"]})
    return [
        *format_markdown_table([*head, "ours / bare", "ours / usual", "ours in"], rows),
        f"{result['data']}, {size['image_size']}×{size['image_size']}, batches of "
        f"{size['batch_size']}; ratios within a round, median (quartiles) of "
        f"{' or '.join(map(str, rounds))} rounds.",
    ]


def render_trials(result: Result) -> list[str]:
    rows = []
    for row in result["rows"]:
        speed = row["trials_per_hour"]
        for way, comparison in row["against"].items():
            difference = comparison["ours_minus_theirs"]
            accuracy = f"{difference:+.1f} ± {comparison['standard_error']:.1f}"
            rows.append(
                [
                    f"`{row['backbone']}`",
                    {"optuna": "Optuna, the example's loop", "ray": "Ray Tune, that loop"}[way],
                    f"{speed['ours']['median']:,.0f}",
                    f"{speed[way]['median']:,.0f}",
                    "void" if "void" in comparison else f"{format_summary(comparison['ratio'])}×",
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
            f"{_format_runs(row['trials_per_hour']['ours']['rounds'])}."
        )
    if result["left_out"]:
        lines.append(f"{result['left_out']}.")
    return lines


def _format_runs(number: int) -> str:
    return "one run" if number == 1 else f"median of {number} runs"


def render_overhead(result: Result) -> list[str]:
    rows = [
        [
            f"`{row['backbone']}`",
            f"{format_summary(row['cost_ms'], 1)} ms",
            _format_largest(row["parts_ms"]),
        ]
        for row in result["rows"]
    ]
    return [
        *format_markdown_table(["backbone", "one more trial", "largest parts, ms"], rows),
        f"Median (quartiles) of {result['rows'][0]['cost_ms']['rounds']} trials of "
        f"{result['epochs']} epochs, one worker.",
    ]


def render_startup(result: Result) -> list[str]:
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
        f"Whole commands with next to nothing to train; median (quartiles) of {rounds} rounds.",
    ]


def render_accuracy(result: Result) -> list[str]:
    rows = [
        [
            f"`{row['backbone']}`",
            *(format_mean(row[way], row[f"{way}_deviation"]) for way in ("ours", "usual")),
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


def render_latency(result: Result) -> list[str]:
    """A row for each network and load: the errors of repeated measurements beside their scatter."""
    rows = []
    for row in result["rows"]:
        ratio, milliseconds = row["latency_ratio"], row["latency_ms"]
        rows.append(
            [
                f"`{row['architecture']}`",
                row["load"],
                f"{ratio['mean']:.3f} ± {ratio['standard_error']:.3f}",
                f"{ratio['scatter']:.3f}",
                f"{100 * ratio['within_two_errors']:.0f} %",
                f"{milliseconds['mean']:.3g} ± {milliseconds['standard_error']:.2g} ms",
                f"{milliseconds['scatter']:.2g} ms",
                f"{100 * milliseconds['within_two_errors']:.0f} %",
            ]
        )
    head = ["network", "busy processes", "× bare backbone", "scatter", "within ± 2 errors"]
    head += ["latency", "scatter", "within ± 2 errors"]
    return [
        *format_markdown_table(head, rows),
        f"{result['repetitions']} measurements of each, in processes of their own, on "
        f"{result['cores']} cores; ± is the mean of the standard errors that they state.",
    ]


def render_dashboard(result: Result) -> list[str]:
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


def _format_largest(parts: Mapping[str, float], count: int = 3) -> str:
    largest = sorted(parts.items(), key=lambda item: -item[1])[:count]
    return ", ".join(f"{name} {value:.1f}" for name, value in largest)


RENDER: dict[str, Callable[[Result], list[str]]] = {
    "loop": render_loop,
    "finetune": render_finetune,
    "finetune_accuracy": render_finetune_accuracy,
    "finetune_search": render_finetune_search,
    "scale": render_scale,
    "scale_trials": render_scale,
    "scale_before": render_scale,
    "scale_after": render_scale,
    "scale_slow": render_scale,
    "yolo_study": render_yolo_study,
    "trials": render_trials,
    "overhead": render_overhead,
    "accuracy": render_accuracy,
    "convolutions": render_convolutions,
    "startup": render_startup,
    "latency": render_latency,
    "attention": render_attention,
    "dashboard": render_dashboard,
    "epochs": render_epochs,
    "packing": render_packing,
    "bf16": render_bf16,
    "graphs": render_graphs,
    "live": render_live,
    "proxies": render_proxies,
    "rung": render_rung,
    "rungs": render_rungs,
    "search": render_search,
    "pruning": render_pruning,
    "table": render_ranks,
    "chaos": render_chaos,
    "claims": render_claims,
    "demo": render_demo,
    "convergence": render_convergence,
    "estimates": render_estimates,
    "end_to_end": render_end_to_end,
    "end_to_end_live": render_end_to_end_live,
    "importances": render_importances,
    "gallery": render_gallery,
}


def describe_circumstances(result: Result) -> str:
    """One line: device, system, versions, and whether the machine was busy."""
    environment = result["environment"]
    versions = ", ".join(
        f"{name} {environment[name]}"
        for name in ("torch", "timm", "optuna", "ray")
        if name in environment
    )
    commit = environment.get("attentune commit")
    device = environment["device"]
    if "instructions" in environment:
        device += f" with {environment['instructions']}"
    words = [device, environment["system"], f"Python {environment['python']}", versions]
    words += [f"attentune {environment['attentune']}" + (f" ({commit})" if commit else "")]
    text = "; ".join(words) + "."
    return f"{text} **Measured on a busy machine.**" if result.get("busy") else text


def render_result(file: str, results: Path) -> str:
    """The Markdown for one result file."""
    path = results / file
    if not path.exists():
        return NOT_YET
    result = json.loads(path.read_text("utf-8"))
    kinds = (kind for kind in RENDER if re.match(rf"{kind}[_.-]", file))
    return "\n".join([*RENDER[max(kinds, key=len)](result), describe_circumstances(result)])


def fill_page(page: str, results: Path = RESULTS) -> str:
    """The page with its tables rendered from the results."""
    return BLOCK.sub(
        lambda block: f"{block[1]}{render_result(block['file'], results)}\n{block[3]}", page
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare only, and change nothing")
    options = parser.parse_args()
    for path in PAGES:
        page = path.read_text("utf-8")
        if options.check and fill_page(page) != page:
            raise SystemExit(f"{path.name} differs from the results; run {Path(__file__).name}")
        path.write_text(fill_page(page), "utf-8")


if __name__ == "__main__":
    main()
