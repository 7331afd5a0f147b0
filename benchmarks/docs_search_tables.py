"""Render the tables of `docs/search.md`, each from one result file; see `docs_tables.py`."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from attentune.benchmarks.markdown_table import Result, format_markdown_table


def render_search(result: Result) -> list[str]:
    """Samplers and pruners on each table; "over" if half of the repetitions failed."""
    lines = []
    for table in result["tables"]:
        rows = []
        for way, summary in table["ways"].items():
            random = way == "random/none"
            last = table["last_epochs_of_random" if random else "budget_epochs"]
            speed, low, high = summary["speed_up"]
            rows.append(
                [
                    f"`{way}`",
                    summary["repetitions"],
                    f"{summary['regret'][0]:.2f} ± {summary['regret'][1]:.2f}",
                    f"{summary['volume'][0]:.3f} ± {summary['volume'][1]:.3f}",
                    f"{summary['after_volume'][0]:.3f} ± {summary['after_volume'][1]:.3f} for "
                    f"{summary['after_epochs'][0]:.0f}",
                    f"{100 * summary['found']:.0f} %",
                    f"over {last:,}" if summary["epochs"] >= last else f"{summary['epochs']:,.0f}",
                    "1" if random else f"under {speed:.1f}" if summary["epochs"] >= last
                    else f"{speed:.1f} ({low:.1f} to {high:.1f})",
                ]
            )  # fmt: skip
        head = ["way", "repetitions", "regret, points", "hypervolume",
                f"after {result['trials']} trials, epochs",
                "found", "epochs until found", "speed-up"]  # fmt: skip
        lines += [
            f"`{table['table']}`: {table['architectures']} architectures, {table['seeds']} seeds, "
            f"a budget of {table['budget_epochs']:,} epochs (random search continues to "
            f"{table['last_epochs_of_random']:,}).",
            "",
            *format_markdown_table(head, rows),
        ]
    return lines


def render_pruning(result: Result) -> list[str]:
    """What pruners save and cost after the same number of trials, on each table."""
    rows = []
    for table in result["tables"]:
        for way, summary in table["ways"].items():
            difference, error = summary.get("after_difference", (None, None))
            rows.append(
                [
                    f"`{table['table']}`",
                    f"`{way}`",
                    summary["repetitions"],
                    f"{summary['after_epochs'][0]:,.0f}",
                    "" if difference is None else f"{100 * summary['saved']:.0f} %",
                    f"{summary['after_volume'][0]:.3f} ± {summary['after_volume'][1]:.3f}",
                    "" if difference is None else f"{difference:+.3f} ± {error:.3f}",
                ]
            )
    head = ["table", "way", "repetitions", f"epochs of {result['trials']} trials", "saved",
            "hypervolume", "difference"]  # fmt: skip
    return format_markdown_table(head, rows)


def render_convergence(result: Result) -> list[str]:
    """Forecasts of the gain of more trials against the real gains, and where searches would end."""
    rows, stops = [], []
    for replays in result["results"]:
        names = [f"`{replays['table']}`", f"`{replays['way']}`"]
        for count, moment in replays["moments"].items():
            gain, error = moment["gain"]
            share = f"{100 * moment['within_two_deviations']:.0f} %"
            forecast, real = f"{moment['forecast']:.2f}", f"{gain:.2f} ± {error:.2f}"
            rows.append([*names, moment["searches"], count, forecast, real, share])
        for stop in replays["stops"]:
            stops.append(
                [
                    *names,
                    f"{stop['threshold']:g}",
                    f"{stop['trials']:.0f}",
                    f"{stop['regret']:.2f}",
                    f"{stop['regret_of_all_trials']:.2f}",
                ]
            )
    head = ["table", "way", "replays", "after trials", "forecast, points", "real gain, points",
            "within two deviations"]  # fmt: skip
    stop_head = ["table", "way", "`--min-gain`", "trials, median", "regret then, points",
                 f"regret after {result['trials']} trials"]  # fmt: skip
    return [*format_markdown_table(head, rows), *format_markdown_table(stop_head, stops)]


def render_estimates(result: Result) -> list[str]:
    """What the estimate chooses beside plain means, and how often its intervals hold the truth."""

    def format_value(value: Sequence[float], digits: int, sign: str = "") -> str:
        return f"{value[0]:{sign}.{digits}f} ± {value[1]:.{digits}f}"

    rows = [
        [
            f"`{row['table']}`",
            f"`{row['way']}`",
            row["trials"],
            format_value(row["regret_of_means"], 2),
            format_value(row["regret"], 2),
            format_value(row["regret_difference"], 2, "+"),
            format_value(row["volume_of_means"], 3),
            format_value(row["volume"], 3),
            f"{100 * row['covered'][0]:.0f} %",
        ]
        for row in result["rows"]
    ]
    head = ["table", "way", "trials", "regret of means", "of the estimate", "difference",
            "hypervolume of means", "of the estimate", "95 % intervals that hold"]  # fmt: skip
    return [
        *format_markdown_table(head, rows),
        f"{result['repetitions']} repetitions, the same searches for both; ± standard errors; "
        "regret in points.",
    ]


def render_live(result: Result) -> list[str]:
    """Searches that trained, and replays of them, after every tenth trial."""
    searches, replays = result["live"], result["replays"]

    def format_percentiles(percentiles: list[float], digits: int) -> str:
        low, middle, high = (f"{value:.{digits}f}" for value in percentiles)
        return f"{middle} ({low} to {high})"

    rows = [
        [
            f"regret after {n + 1} trials, points",
            *(f"{search['regret'][n]:.2f}" for search in searches),
            format_percentiles(replays["regret"][n], 2),
        ]
        for n in range(9, result["trials"], 10)
    ]
    rows += [
        [
            "hypervolume at the end",
            *(f"{search['volume']:.3f}" for search in searches),
            format_percentiles(replays["volume"], 3),
        ],
        [
            "epochs until the best was found",
            *(search["epochs"] or "not found" for search in searches),
            f"{replays['epochs'][1]:.0f}; found by {100 * replays['found']:.0f} %",
        ],
    ]
    names = [
        f"live, seeds from {min(seed for _, seed, *_ in search['trials'])}" for search in searches
    ]
    return [
        *format_markdown_table(
            ["", *names, "replays, median (tenth to ninetieth percentile)"], rows
        ),
        f"`{result['table']}`, {result['seeds']} seeds, `{result['way']}`: {result['trials']} "
        f"trials each; {result['repetitions']} replays.",
    ]


def render_rung(result: Result) -> list[str]:
    """How each epoch's signals correlate with the final accuracy, on each table."""
    names = {"accuracy": "accuracy", "train_loss": "training loss"}
    rows = [
        [
            f"`{table['table']}`",
            names[signal],
            *("–" if interval is None else f"{interval[0]:.2f}" for interval in row),
        ]
        for table in result["tables"]
        for signal, row in table["signals"].items()
    ]
    return format_markdown_table(["table", "signal", *map(str, range(1, len(rows[0]) - 1))], rows)


def render_rungs(result: Result) -> list[str]:
    """How each epoch's signals correlate with the trial's final accuracy, by task and backbone."""
    names = {
        "raw": "accuracy, raw weights",
        "ema": "accuracy, averaged weights",
        "loss": "training loss",
        "schedule-free": "accuracy, schedule-free",
    }
    columns = range(1, result["epochs"])
    rows = []
    by_signal: dict[str, list[list[float | None]]] = {}
    for where, correlations in result["correlations"].items():
        task, backbone = where.split(" ", 1)
        head = [f"{task}, `{backbone}` ({correlations['trials']} trials)"]
        for signal, name in names.items():
            if correlations[signal]:
                rows.append([*head, name, *map(_format_correlation, correlations[signal])])
                by_signal.setdefault(name, []).append(correlations[signal])
        finished = [correlations["finished"].get(str(epochs)) for epochs in columns]
        rows.append([*head, "accuracy, finished schedules", *map(_format_correlation, finished)])
        by_signal.setdefault("accuracy, finished schedules", []).append(finished)
    for name, columns_of_rows in by_signal.items():
        means = (_format_correlation(_average(c)) for c in zip(*columns_of_rows, strict=True))
        rows.append(["mean", name, *means])
    return format_markdown_table(["where", "signal", *map(str, columns)], rows)


def _average(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.fmean(present) if present else None


def _format_correlation(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def render_proxies(result: Result) -> list[str]:
    """Zero-cost proxies and the first epochs of a trial as predictors, on each table."""

    def format_interval(value: list[float] | None) -> str:
        return "–" if value is None else f"{value[0]:.2f} ({value[1]:.2f} to {value[2]:.2f})"

    rows = [
        [name, *(format_interval(table["scores"][name][key]) for table in result["tables"]
                 for key in ("rho", "beyond_controls"))]
        for name in result["tables"][0]["scores"]
    ]  # fmt: skip
    head = [f"`{table['table']}`" for table in result["tables"]]
    columns = [column for name in head for column in (name, "beyond the controls")]
    return format_markdown_table(["score", *columns], rows)


def render_ranks(result: Result) -> list[str]:
    """How the ranks of each table agree with those of a sample that trained for longer."""
    rows = []
    for name, agreement in result["tables"].items():
        sides = [agreement[side] for side in ("table", "longer")]
        rank, low, high = agreement["rank_correlation"]
        max_correlation = _max_correlation(sides)
        rows.append(
            [
                f"`{name}`",
                " → ".join(str(side["epochs"]) for side in sides),
                " → ".join(f"{side['mean']:.1f} %" for side in sides),
                " → ".join(map(_format_deviation, sides)),
                agreement["architectures"],
                agreement["seeds"],
                agreement["device"],
                f"{rank:.2f} ({low:.2f} to {high:.2f})",
                "–" if max_correlation is None else f"{max_correlation:.2f}",
                "–" if max_correlation is None else f"{min(1.0, rank / max_correlation):.2f}",
            ]
        )
    head = ["table", "epochs", "mean accuracy", "deviation, points", "architectures", "seeds",
            "longer on", "rank correlation", "maximum", "without noise"]  # fmt: skip
    note = (
        "Deviation: that of the architectures' means, ± the standard error of one such mean. "
        "Maximum: the correlation of such noisy means if the true order were the same. "
        "Without noise: their ratio, an estimate of the correlation with unlimited seeds."
    )
    return [*format_markdown_table(head, rows), note]


def _max_correlation(sides: Sequence[Result]) -> float | None:
    """The correlation of two noisy means of one quantity (Spearman 1904).

    √(reliability · reliability), where reliability is the share of the variance that is not noise.
    """
    if any(side["standard_error"] is None for side in sides):
        return None
    reliabilities = [1 - (side["standard_error"] / side["deviation"]) ** 2 for side in sides]
    return math.sqrt(math.prod(max(value, 0.0) for value in reliabilities)) or None


def _format_deviation(side: Result) -> str:
    error = side["standard_error"]
    return f"{side['deviation']:.1f}" + ("" if error is None else f" ± {error:.1f}")


def render_end_to_end(result: Result) -> list[str]:
    """How many times as many trials, and as much time, other ways take for the same quality."""
    speed = result["speed"]

    def ratio(row: Result, key: str, factor: float) -> str:
        beyond = f"over {factor * row['budget']:.0f}"
        middle, low, high = ("" if v is None else f"{v:.1f}" for v in row[key])
        if not low:
            return beyond
        interval = f"{low} to {high}" if high else f"{low} or more"
        return f"{middle or beyond} ({interval})"

    rows = [
        [
            f"`{row['table']}`",
            row["trials_of_ours"],
            f"{row['regret_of_ours']:.2f}",
            row["way"],
            f"{row['regret_after_as_many']:.2f}",
            ratio(row, "trials", 1.0),
            ratio(row, "time", speed["median"]),
        ]
        for row in result["rows"]
    ]
    head = ["table", "trials of ours", "regret then, points", "Optuna's example with",
            "its regret after as many", "trials, ratio", "time, ratio"]  # fmt: skip
    return [
        *format_markdown_table(head, rows),
        f"{result['repetitions']} repetitions; ratios with 95 % intervals, over the budget where "
        f"that was not enough. The example takes {speed['median']:.2f} times as long for as many "
        f"trials ({', '.join(f'{each:.2f}' for each in speed['measured'])} on the backbones of "
        "`trials.json`).",
        "",
    ]


def render_end_to_end_live(result: Result) -> list[str]:
    """Searches that trained: time and what they recommended, and when it was as good as ours."""

    def minutes(seconds: float | None) -> str:
        return "not reached" if seconds is None else f"{seconds / 60:.1f} min"

    ours = result["rows"][0]
    rows = [
        [
            row["way"],
            row["trials"],
            minutes(row["seconds"]),
            f"{row['regret']:.2f}",
            minutes(row["seconds_until_as_good"]),
            f"over {row['seconds'] / ours['seconds']:.1f}"
            if row["time_ratio"] is None
            else f"{row['time_ratio']:.1f}",
        ]
        for row in result["rows"]
    ]
    head = ["way", "trials", "time", "regret then, points", "as good as ours at its end after"]
    return [
        *format_markdown_table([*head, "time, ratio"], rows),
        f"One run each on the task of `{result['table']}`, whose truth judges; "
        f"threads: {result['environment']['threads']}.",
        "",
    ]


def render_importances(result: Result) -> list[str]:
    """Whether the intervals of importances hold the truth."""
    rows = [
        [
            f"`{row['table']}`",
            f"`{row['way']}`",
            row["trials"],
            row["intervals"],
            f"{100 * row['coverage']:.0f} %",
            f"{100 * row['width']:.0f}",
            f"{100 * row['bias']:+.1f}",
            f"{100 * row['truth']:.0f}",
        ]
        for row in result["rows"]
    ]
    head = ["table", "way", "trials", "intervals", "hold the truth", "width, points",
            "estimate − truth, points", "truth, %"]  # fmt: skip
    return format_markdown_table(head, rows)
