"""The tables in the documentation of what was measured on a GPU."""

from __future__ import annotations

from attentune.benchmarks.markdown_table import Result, format_markdown_table


def render_epochs(result: Result) -> list[str]:
    """Seconds of an epoch without and with each attention; failures come last."""
    by_attention = result["seconds_an_epoch"]
    bare = by_attention["none"]["median"]
    ran = {name: row for name, row in by_attention.items() if "median" in row}
    rows = [
        [f"`{name}`", f"{row['median']:.2f}", f"{row['median'] / bare:.2f}", row["steps"]]
        for name, row in sorted(ran.items(), key=lambda item: item[1]["median"])
    ]
    recipe = result["recipe"]
    lines = format_markdown_table(
        ["attention", "seconds per epoch", "relative to none", "steps"], rows
    )
    lines += [f"`{name}`: {row['error']}." for name, row in by_attention.items() if "error" in row]
    return [
        *lines,
        f"`resnet18`, {recipe['stem']} stem, {recipe['data']} at {recipe['image_size']}×"
        f"{recipe['image_size']}, batches of {recipe['batch_size']}, evaluation of the held-out "
        "fifth included; without the first epoch, median of four (`none`, `se`, `eca`, `cbam`, "
        "`ca`) or one.",
    ]


def render_packing(result: Result) -> list[str]:
    """Epochs per second of all workers on one GPU together."""
    rows = []
    for backbone, packed in result["backbones"].items():
        pace = {int(workers): value for workers, value in packed["epochs_a_second"].items()}
        cells = [
            f"{pace[n]:.2f} ({pace[n] / pace[1]:.2f}×)" if n in pace else "–" for n in (1, 2, 4)
        ]
        rows.append([f"`{backbone}`", *cells, packed["workers"]])
    return [
        *format_markdown_table(["backbone", "1 worker", "2 workers", "4 workers", "chosen"], rows),
        "Epochs per second of all workers together, evaluation included; the second epoch of each.",
    ]


def render_bf16(result: Result) -> list[str]:
    """Accuracy by precision."""
    gain, accuracies = result["bf16_minus_float32"], result["accuracy"]
    cells = {
        precision: ", ".join(f"{100 * value:.1f}" for value in values)
        for precision, values in accuracies.items()
    }
    difference = f"{100 * gain['mean']:+.2f} ± {100 * gain['standard_error']:.2f} points"
    row = [cells["float32"], cells["bf16"], difference]
    return [
        *format_markdown_table(["float32, %", "bf16, %", "difference"], [row]),
        "`resnet18`, small stem, five epochs, three paired seeds.",
    ]


def render_graphs(result: Result) -> list[str]:
    rows = [
        [f"`{text}`", row["steps"], f"{row['speed']:.2f}×", f"{row['difference']:g}"]
        for text, row in result["captured_against_eager"].items()
    ]
    head = ["network", "steps", "eager / captured, time of an epoch", "largest difference"]
    return [
        *format_markdown_table(head, rows),
        "Largest difference of a weight after two epochs, between captured and eager steps.",
    ]
