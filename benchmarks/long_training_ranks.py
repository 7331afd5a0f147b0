"""Check whether the ranks of a tabular benchmark persist if its architectures train for longer.

    python benchmarks/long_training_ranks.py TABLE LONGER [TABLE LONGER …] --json FILE

LONGER has a sample of the same architectures, trained with more epochs
(`train_tabular_benchmark.py --sample 15 --epochs …`). The result has Spearman's correlation of the
means over the seeds that both have, with a 95 % bootstrap interval over the architectures; and the
standard deviation of the architectures with the standard error of such a mean. If the noise is as
large as the differences, ranks cannot agree.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

Result = dict[str, Any]
BOOTSTRAP_DRAWS = 2000


def final_accuracies(table: Result) -> dict[str, dict[int, float]]:
    """Final accuracies by architecture and seed."""
    return {
        row["architecture"]: {
            seed: curve[-1] for seed, curve in zip(row["seeds"], row["accuracy"], strict=True)
        }
        for row in table["architectures"]
        if row["seeds"]
    }


def deviation_and_error(values: np.ndarray[Any, Any]) -> tuple[float, float | None]:
    """Standard deviation of the architectures' means, and standard error of one mean, in points.

    Seed effects are removed from `values` (architectures, seeds). With a single seed the error is
    unknown: None.
    """
    paired = values - values.mean(axis=0)
    deviation = 100 * float(values.mean(axis=1).std(ddof=1))
    degrees_of_freedom = (len(values) - 1) * (values.shape[1] - 1)
    if not degrees_of_freedom:
        return round(deviation, 2), None
    residuals = paired - paired.mean(axis=1, keepdims=True)
    error = np.sqrt((residuals**2).sum() / degrees_of_freedom / values.shape[1])
    return round(deviation, 2), round(100 * float(error), 2)


def compare_ranks(table: Result, longer: Result) -> Result:
    """How well the ranks of a table and of its longer sample agree."""
    short, long = final_accuracies(table), final_accuracies(longer)
    texts = [text for text in long if text in short]
    seeds = sorted(set.intersection(*({*short[t]} & {*long[t]} for t in texts)))
    values = [np.array([[side[t][s] for s in seeds] for t in texts]) for side in (short, long)]
    means = [value.mean(axis=1) for value in values]
    draw = np.random.default_rng(0)
    samples = [draw.integers(len(texts), size=len(texts)) for _ in range(BOOTSTRAP_DRAWS)]
    resampled = [stats.spearmanr(means[0][rows], means[1][rows]).statistic for rows in samples]
    agreement: Result = {"seeds": len(seeds), "architectures": len(texts)}
    for name, side, value in zip(("table", "longer"), (table, longer), values, strict=True):
        deviation, error = deviation_and_error(value)
        agreement[name] = {
            "epochs": side["recipe"]["epochs"],
            "mean": round(100 * float(value.mean()), 1),
            "deviation": deviation,
            "standard_error": error,
        }
    rank = float(stats.spearmanr(*means).statistic)
    agreement["rank_correlation"] = [round(rank, 2), *_interval(resampled)]
    agreement["trials"] = [
        {"architecture": t, "table": short[t], "longer": long[t]} for t in sorted(texts)
    ]
    return agreement


def _interval(resampled: list[float]) -> list[float]:
    return [round(float(q), 2) for q in np.nanquantile(resampled, (0.025, 0.975))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("files", nargs="+", type=Path, help="tables, each with its longer sample")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    pairs = list(zip(options.files[::2], options.files[1::2], strict=True))
    result: Result = {"what": "do the ranks of a table stay if it trains for longer?"}
    agreements = {}
    for path, longer_path in pairs:
        table, longer = (json.loads(file.read_text("utf-8")) for file in (path, longer_path))
        result["environment"] = longer["environments"][0]
        agreements[path.stem] = agreement = compare_ranks(table, longer)
        agreement["device"] = result["environment"]["device"]
        rank, low, high = agreement["rank_correlation"]
        print(f"{path.stem}: ρ = {rank} ({low} to {high}), {agreement['seeds']} seeds")
        for name in ("table", "longer"):
            print(f"  {name}: {agreement[name]}")
    result["tables"] = agreements
    if options.json:
        text = json.dumps(result, indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
