"""Render the result of `yolo_study.py`."""

from __future__ import annotations

from attentune.benchmarks.markdown_table import Result, format_gain, format_markdown_table


def render_yolo_study(result: Result) -> list[str]:
    """A row per variant: its mAP, and the difference from the bare network in points."""
    summary = result["summary"]
    rows = []
    for row in summary["rows"]:
        places = result["variants"][row["variant"]]
        score, lowest, highest = (100 * row[key] for key in ("map50_95", "lowest", "highest"))
        cells = [
            row["variant"],
            f"`{places}`" if places else "–",
            row["epochs"],
            f"{row['params'] / 1e6:.3f} M",
            f"{score:.1f} ({lowest:.1f} to {highest:.1f})",
            f"{100 * row['map50']:.1f}",
        ]
        if "difference" in row:
            difference = {"mean": row["difference"], "low": row["low"], "high": row["high"]}
            cells += [format_gain(difference), f"{row['corrected_p']:.3f}"]
        else:
            cells += ["–", "–"]
        rows.append(cells)
    head = ["variant", "insertions", "epochs", "parameters", "mAP50-95, % (range of seeds)"]
    head += ["mAP50, %", "difference, points (95 % interval)", "corrected p"]
    images, side = result["images"], result["image_side"]
    deviation, detectable = 100 * summary["deviation"], 100 * summary["detectable"]
    return [
        *format_markdown_table(head, rows),
        f"{result['network']} from random weights on {images['train']} training images of "
        f"{side}×{side} pixels, tested on {images['test']}; {len(summary['seeds'])} paired seeds; "
        f"noise of one training beyond its seed {deviation:.1f} points; a difference of "
        f"{detectable:.1f} points would be claimed with a probability of 80 %. Intervals are about "
        f"further seeds on these test images. Ultralytics {result['ultralytics']}.",
    ]
