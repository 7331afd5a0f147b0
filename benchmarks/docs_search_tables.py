"""The tables of `docs/search.md`, each from the result of one benchmark; see `docs_tables.py`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from attentune.benchmarks.markdown_table import Result, format_markdown_table


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
            *format_markdown_table(head, rows),
        ]
    return lines


def pruning(result: Result) -> list[str]:
    """What pruners save, and what that costs, after the same number of trials on each table."""
    rows = []
    for found in result["tables"]:
        for way, told in found["ways"].items():
            away, error = told.get("after_difference", (None, None))
            rows.append(
                [
                    f"`{found['table']}`",
                    f"`{way}`",
                    told["repetitions"],
                    f"{told['after_epochs'][0]:,.0f}",
                    "" if away is None else f"{100 * told['saved']:.0f} %",
                    f"{told['after_volume'][0]:.3f} ± {told['after_volume'][1]:.3f}",
                    "" if away is None else f"{away:+.3f} ± {error:.3f}",
                ]
            )
    head = ["table", "way", "repetitions", f"epochs of {result['trials']} trials", "saved",
            "hypervolume", "difference"]  # fmt: skip
    return format_markdown_table(head, rows)


def live(result: Result) -> list[str]:
    """Searches that trained, beside replays of them, as they go on."""
    lives, replays = result["live"], result["replays"]

    def told(spread: list[float], digits: int) -> str:
        low, middle, high = (f"{value:.{digits}f}" for value in spread)
        return f"{middle} ({low} to {high})"

    rows = [
        [
            f"regret after {n + 1} trials, points",
            *(f"{one['regret'][n]:.2f}" for one in lives),
            told(replays["regret"][n], 2),
        ]
        for n in range(9, result["trials"], 10)
    ]
    rows += [
        [
            "hypervolume at the end",
            *(f"{one['volume']:.3f}" for one in lives),
            told(replays["volume"], 3),
        ],
        [
            "epochs until the best was found",
            *(one["epochs"] or "not found" for one in lives),
            f"{replays['epochs'][1]:.0f}; found by {100 * replays['found']:.0f} %",
        ],
    ]
    names = [f"live, seeds from {min(seed for _, seed, *_ in one['trials'])}" for one in lives]
    return [
        *format_markdown_table(
            ["", *names, "replays, median (tenth to ninetieth percentile)"], rows
        ),
        f"`{result['table']}`, {result['seeds']} seeds, `{result['way']}`: {result['trials']} "
        f"trials each; {result['repetitions']} replays.",
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
    return format_markdown_table(["table", "signal", *map(str, range(1, len(rows[0]) - 1))], rows)


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
    return format_markdown_table(["where", "signal", *map(str, columns)], rows)


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
    return format_markdown_table(["score", *columns], rows)


def ranks(result: Result) -> list[str]:
    """Of each table, a sample that trained for longer: how far apart it lies, and in what order."""
    rows = []
    for name, told in result["tables"].items():
        sides = [told[side] for side in ("table", "longer")]
        rank, low, high = told["rank_correlation"]
        allowed = _allowed(sides)
        rows.append(
            [
                f"`{name}`",
                " → ".join(str(side["epochs"]) for side in sides),
                " → ".join(f"{side['mean']:.1f} %" for side in sides),
                " → ".join(map(_apart, sides)),
                told["architectures"],
                told["seeds"],
                told["device"],
                f"{rank:.2f} ({low:.2f} to {high:.2f})",
                "–" if allowed is None else f"{allowed:.2f}",
                "–" if allowed is None else f"{min(1.0, rank / allowed):.2f}",
            ]
        )
    head = ["table", "epochs", "mean accuracy", "apart, points", "architectures", "seeds",
            "longer on", "rank correlation", "noise allows", "without noise"]  # fmt: skip
    note = (
        "Apart: deviation of the architectures' means, ± the standard error of one such mean. "
        "Noise allows: the correlation of such means if the true order were the same. "
        "Without noise: the one by the other, about what endless seeds would show."
    )
    return [*format_markdown_table(head, rows), note]


def _allowed(sides: Sequence[Result]) -> float | None:
    """√(reliability · reliability): how much of the variance is not noise (Spearman 1904)."""
    if any(side["standard_error"] is None for side in sides):
        return None
    parts = [1 - (side["standard_error"] / side["deviation"]) ** 2 for side in sides]
    return math.sqrt(math.prod(max(part, 0.0) for part in parts)) or None


def _apart(side: Result) -> str:
    error = side["standard_error"]
    return f"{side['deviation']:.1f}" + ("" if error is None else f" ± {error:.1f}")
