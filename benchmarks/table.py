"""The tables of `docs/performance.md` and `docs/search.md`, made from committed results.

    python benchmarks/table.py              write them
    python benchmarks/table.py --check      exit with 1 if they are not what this would write

A table stands between `<!-- from loop.json -->` and `<!-- end -->`. The name is that of a file
under `benchmarks/results/`; what comes before its first `_`, `-` or `.` says which benchmark made
it, so that `loop_gpu.json` is one more table of `loop.py`.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attentune.benchmarks.turns import shown

RESULTS = Path(__file__).parent / "results"
DOCS = Path(__file__).parents[1] / "docs"
PAGES = (DOCS / "performance.md", DOCS / "search.md")
BLOCK = re.compile(r"(<!-- from (?P<file>\S+) -->\n).*?(<!-- end -->)", re.S)
NOT_YET = "Not measured yet."

Result = Mapping[str, Any]


def loop(result: Result) -> list[str]:
    rows = []
    for row in result["rows"]:
        speed = row["pictures_per_second"]
        rows.append(
            [
                f"`{row['architecture']}`",
                row["threads"],
                *(f"{speed[name]['median']:,.0f}" for name in ("ours", "bare", "usual")),
                shown(row["ours / bare"], 3),
                shown(row["ours / usual"]),
                row["ours"],
            ]
        )
    head = ["network", "threads", "ours, pictures/s", "best bare loop", "usual way"]
    size = result["rows"][0]
    rounds = sorted({row["ours / bare"]["rounds"] for row in result["rows"]})
    return [
        *table([*head, "ours / bare", "ours / usual", "ours in"], rows),
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
                    "void" if "void" in found else f"{shown(found['ratio'])}×",
                    f"{row['accuracy']:.1f} %",
                    f"{accuracy} points",
                ]
            )
    head = ["backbone", "against", "ours, trials/h", "theirs", "ratio"]
    lines = table([*head, "our accuracy", "ours − theirs"], rows)
    for row in result["rows"]:
        lines.append(
            f"`{row['backbone']}`: {row['trials']} trials of {row['epochs']} epochs, "
            f"{row['pictures']:,} pictures of {result['data']} at "
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
        [f"`{row['backbone']}`", f"{shown(row['cost_ms'], 1)} ms", _largest(row["parts_ms"])]
        for row in result["rows"]
    ]
    return [
        *table(["backbone", "one more trial", "largest parts, ms"], rows),
        f"Median (quartiles) of {result['rows'][0]['cost_ms']['rounds']} trials of "
        f"{result['epochs']} epochs, one worker.",
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
        *table(head, rows),
        f"{Path(recipe['data']).name}, {recipe['train_limit']:,} pictures, {recipe['epochs']} "
        "epochs; mean ± deviation over seeds, difference ± its standard error.",
    ]


def attention(result: Result) -> list[str]:
    """Of each backbone the largest map, where memory counts most; the rest stays in the file."""
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
        lines += table(head, [_attention(name, rows) for name, rows in attentions.items()])
    slower = {(r["attention"], tuple(r["map"]), r["variant"], r["in"]) for r in result["slower"]}
    lines.append(
        f"A training step of the attention alone, median (quartiles) of "
        f"{result['rows'][0]['step']['plain / ours']['rounds']} rounds. Slower than "
        f"{result['limit']} of the plain form: {len(slower)} of {2 * len(result['rows'])} "
        "measurements, over all sizes, forwards alone and in a step"
        + (f" ({', '.join(sorted({name for name, *_ in slower}))})." if slower else ".")
    )
    return lines


def _attention(name: str, rows: list[Any]) -> list[str]:
    passes, step = rows[0]["passes"], rows[0]["step"]
    timm = shown(step["timm / ours"]) if "timm / ours" in step else "–"
    moved = f"{passes['plain']:g} → {passes['ours']:g}" if passes["plain"] else "stays in the cache"
    cells = [f"`{name}`", moved]
    return [*cells, *(shown(row["step"]["plain / ours"]) for row in rows), timm]


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
    lines = table(["attention", "seconds an epoch", "of the bare net's", "steps"], rows)
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
        *table(["", "measured", "at most"], rows),
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
        *table(["backbone", "1 worker", "2 workers", "4 workers", "taken"], rows),
        "Epochs a second of all workers together, evaluation included; the second epoch of each.",
    ]


def bf16(result: Result) -> list[str]:
    """Accuracy by precision."""
    apart, accuracy = result["bf16_minus_float32"], result["accuracy"]
    told = {name: ", ".join(f"{100 * a:.1f}" for a in found) for name, found in accuracy.items()}
    difference = f"{100 * apart['mean']:+.2f} ± {100 * apart['standard_error']:.2f} points"
    row = [told["float32"], told["bf16"], difference]
    return [
        *table(["float32, %", "bf16, %", "difference"], [row]),
        "`resnet18`, small stem, five epochs, three paired seeds.",
    ]


def graphs(result: Result) -> list[str]:
    rows = [
        [f"`{text}`", row["steps"], f"{row['speed']:.2f}×", f"{row['difference']:g}"]
        for text, row in result["captured_against_eager"].items()
    ]
    head = ["network", "steps", "eager / captured, time of an epoch", "largest difference"]
    return [
        *table(head, rows),
        "Largest difference of a weight after two epochs, between captured and eager steps.",
    ]


def search(result: Result) -> list[str]:
    """Ways to search on each table; where half of the repetitions failed, "over"."""
    lines = []
    for found in result["tables"]:
        rows = []
        for way, told in found["ways"].items():
            random = way == "random/none"
            last = found["last_epochs_of_random" if random else "budget_epochs"]
            speed, low, high = told["speed_up"]
            rows.append(
                [
                    f"`{way}`",
                    told["repetitions"],
                    f"{told['regret'][0]:.2f} ± {told['regret'][1]:.2f}",
                    f"{told['volume'][0]:.3f} ± {told['volume'][1]:.3f}",
                    f"{told['after_volume'][0]:.3f} ± {told['after_volume'][1]:.3f} for "
                    f"{told['after_epochs'][0]:.0f}",
                    f"{100 * told['found']:.0f} %",
                    f"over {last:,}" if told["epochs"] >= last else f"{told['epochs']:,.0f}",
                    "1" if random else f"under {speed:.1f}" if told["epochs"] >= last
                    else f"{speed:.1f} ({low:.1f} to {high:.1f})",
                ]
            )  # fmt: skip
        head = ["way", "repetitions", "regret, points", "hypervolume",
                f"after {result['trials']} trials, epochs",
                "found", "epochs until found", "speed-up"]  # fmt: skip
        lines += [
            f"`{found['table']}`: {found['architectures']} architectures, {found['seeds']} seeds, "
            f"a budget of {found['budget_epochs']:,} epochs (random search goes on to "
            f"{found['last_epochs_of_random']:,}).",
            "",
            *table(head, rows),
        ]
    return lines


def live(result: Result) -> list[str]:
    """A search that trained, beside replays of it, as it goes on."""
    own, replays = result["live"], result["replays"]
    steps = range(9, result["trials"], 10)

    def told(spread: list[float], digits: int) -> str:
        low, middle, high = (f"{value:.{digits}f}" for value in spread)
        return f"{middle} ({low} to {high})"

    rows = [
        [
            f"regret after {n + 1} trials, points",
            f"{own['regret'][n]:.2f}",
            told(replays["regret"][n], 2),
        ]
        for n in steps
    ]
    rows += [
        ["hypervolume at the end", f"{own['volume']:.3f}", told(replays["volume"], 3)],
        [
            "epochs until the best was found",
            own["epochs"] or "not found",
            f"{replays['epochs'][1]:.0f}; found by {100 * replays['found']:.0f} %",
        ],
    ]
    return [
        *table(["", "live", "replays, median (tenth to ninetieth percentile)"], rows),
        f"`{result['table']}`, `{result['way']}`: {result['trials']} trials, {result['epochs']} "
        f"epochs; {result['repetitions']} replays.",
    ]


def rung(result: Result) -> list[str]:
    """What every epoch's signals foretell, on each table."""
    names = {"accuracy": "accuracy", "train_loss": "training loss"}
    rows = [
        [
            f"`{found['table']}`",
            names[signal],
            *("–" if at is None else f"{at[0]:.2f}" for at in row),
        ]
        for found in result["tables"]
        for signal, row in found["signals"].items()
    ]
    return table(["table", "signal", *map(str, range(1, len(rows[0]) - 1))], rows)


def rungs(result: Result) -> list[str]:
    """Signals of an epoch against the same trial's end, by task and backbone."""
    names = {
        "raw": "accuracy, raw weights",
        "ema": "accuracy, averaged weights",
        "loss": "training loss",
        "schedule-free": "accuracy, schedule-free",
    }
    columns = range(1, result["epochs"])
    rows = []
    everywhere: dict[str, list[list[float | None]]] = {}
    for where, found in result["correlations"].items():
        task, backbone = where.split(" ", 1)
        head = [f"{task}, `{backbone}` ({found['trials']} trials)"]
        for signal, name in names.items():
            if found[signal]:
                rows.append([*head, name, *map(_rho, found[signal])])
                everywhere.setdefault(name, []).append(found[signal])
        short = [found["finished"].get(str(epochs)) for epochs in columns]
        rows.append([*head, "accuracy, finished schedules", *map(_rho, short)])
        everywhere.setdefault("accuracy, finished schedules", []).append(short)
    for name, each in everywhere.items():
        rows.append(["mean", name, *(_rho(_average(column)) for column in zip(*each, strict=True))])
    return table(["where", "signal", *map(str, columns)], rows)


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _rho(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def proxies(result: Result) -> list[str]:
    """Scores of untrained networks, and what a trial's first epochs tell, on each table."""

    def told(value: list[float] | None) -> str:
        return "–" if value is None else f"{value[0]:.2f} ({value[1]:.2f} to {value[2]:.2f})"

    rows = [
        [name, *(told(found["scores"][name][key]) for found in result["tables"]
                 for key in ("rho", "beyond_controls"))]
        for name in result["tables"][0]["scores"]
    ]  # fmt: skip
    head = [f"`{found['table']}`" for found in result["tables"]]
    columns = [column for name in head for column in (name, "beyond the controls")]
    return table(["score", *columns], rows)


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
}


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    head = list(head)
    lines = [head, ["---"] * len(head), *([str(cell) for cell in row] for row in rows)]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def circumstances(result: Result) -> str:
    """One line: what it ran on, and whether the machine was busy."""
    facts = result["environment"]
    versions = ", ".join(
        f"{name} {facts[name]}" for name in ("torch", "timm", "optuna", "ray") if name in facts
    )
    commit = facts.get("attentune commit")
    words = [facts["device"], facts["system"], f"Python {facts['python']}", versions]
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
