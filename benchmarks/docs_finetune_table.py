"""Render the results of `finetune.py` and `finetune_accuracy.py`."""

from __future__ import annotations

from attentune.benchmarks.interleaved_timing import format_summary
from attentune.benchmarks.markdown_table import (
    Result,
    format_gain,
    format_markdown_table,
    format_mean,
)


def render_finetune(result: Result) -> list[str]:
    """A row per network and image size: images per second of each loop, and ratios."""
    rows = []
    for row in result["rows"]:
        speed = row["images_per_second"]
        names = ("ours", "read ahead", "bare", "timm")
        rows.append(
            [
                f"`{row['backbone']}`",
                row["image_size"],
                *(f"{speed[name]['median']:,.0f}" for name in names),
                format_summary(row["ours / bare"], 3),
                format_summary(row["read ahead / bare"], 3),
                format_summary(row["ours / timm"]),
                row["ours"],
            ]
        )
    head = [
        "network",
        "pixels",
        "ours, images/s",
        "reading ahead",
        "best bare loop",
        "timm's script",
    ]
    head += ["ours / bare", "reading ahead / bare", "ours / timm", "ours in"]
    first = result["rows"][0]
    rounds = sorted({row["ours / bare"]["rounds"] for row in result["rows"]})
    return [
        *format_markdown_table(head, rows),
        f"Batches of {first['batch_size']}, {first['threads']} thread(s), augmentation "
        f"{first['augmentation']}; timm's in {first['timm']}; ratios within a round, median "
        f"(quartiles) of {' or '.join(map(str, rounds))} rounds.",
    ]


def render_finetune_accuracy(result: Result) -> list[str]:
    """A row per part of the data: the accuracy with the defaults, and of the plain loop."""
    rows = [
        [
            row["images"],
            row["size"],
            *(format_mean(row[loop], row[f"{loop}_deviation"]) for loop in ("defaults", "plain")),
            f"{row['difference']:+.1f} ± {row['standard_error']:.1f}",
            row["plain_lr"],
            row["seeds"],
        ]
        for row in result["summary"]
    ]
    head = ["images a class", "pixels", "defaults, %", "plain loop, %", "difference, points"]
    return [
        *format_markdown_table([*head, "its rate", "seeds"], rows),
        "Accuracy on 2,000 test images, mean ± deviation of seeds; differences with their standard "
        "errors. Both train for as many epochs.",
    ]


def render_finetune_search(result: Result) -> list[str]:
    """A row per confirmed architecture: the accuracy that the search saw, and that on the test."""
    confirmation = result["confirmation"]
    rows = [
        [
            f"`{row['architecture']}`",
            f"{100 * row['searched_accuracy']:.1f}",
            format_mean(100 * row["accuracy"], 100 * row["standard_error"]),
            "–" if (gain := row["gain"]) is None else format_gain(gain),
        ]
        for row in confirmation["contenders"]
    ]
    head = ["architecture", "in the search, %", "with fresh seeds on the test, %", "gain, points"]
    return [
        *format_markdown_table(head, rows),
        f"{result['counts']['complete']} trials of {result['trials'][0]['epochs']} epochs on 192 "
        f"training and 48 validation images, then {confirmation['seeds']} seeds of "
        f"{confirmation['epochs']} epochs, on {confirmation['images']['count']:,} test images; "
        "mean ± standard error, gains with 95 % intervals. The command says:",
        "",
        f"> {result['recommendation']['sentence']}",
        "",
    ]
